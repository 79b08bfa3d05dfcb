"""Style codes kept in a file: used again for the same model and pictures, made anew for any others."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from cluit.apps.api import Painter
from cluit.apps.gallery import Gallery
from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors
from cluit.core.weights import fingerprint

FORMAT = 1
SUFFIX = ".safetensors"
OTHER = {
    "model": "another model",
    "pictures": "other pictures",
    "precision": "another precision",
    "domains": "other domains",
}
"""How a change of what codes depend on is told, see `tie`."""


@dataclass(frozen=True)
class CodeIndex:
    """Codes of pictures: FILE.safetensors has the numbers, FILE.names.json says of which pictures."""

    names: Sequence[str]
    codes: Tensor
    """(N, S) float32, one per name."""
    tie: Mapping[str, str]
    """What the codes depend on, see `tie`."""
    graph: Tensor | None = None
    """An `ApproximateIndex` as bytes, where one was made."""

    def write(self, path: Path) -> None:
        """Both files, each whole or as it was."""
        card = {"format_version": FORMAT, "tie": dict(self.tie), "names": list(self.names)}
        tensors = {"codes": self.codes.contiguous()} | ({} if self.graph is None else {"graph": self.graph})
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        numbers = to_bytes(tensors, {"tie": json.dumps(dict(self.tie))})
        for target, data in ((path, numbers), (card_of(path), json.dumps(card).encode())):
            with atomic_file(target) as file:
                file.write(data)


def card_of(path: Path) -> Path:
    """The file of names beside an index."""
    return path.with_suffix(".names.json")


def read_index(path: Path) -> CodeIndex:
    """What ``write`` wrote; one whose writing was interrupted is tied to nothing.

    UserError for a damaged one, and for whatever else is there: it is not ours to replace.
    """
    card, unfinished = read_card(path), CodeIndex([], torch.empty(0, 1), {})
    if not path.exists():
        return unfinished
    try:
        with safe_open(path, framework="pt") as file:
            tie = json.loads((file.metadata() or {})["tie"])
            codes = file.get_tensor("codes")
            graph = file.get_tensor("graph") if "graph" in file.keys() else None  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, RecursionError) as error:
        if card is None:
            raise UserError(f"{path} is there and no index of cluit; choose another --index") from error
        raise UserError(
            f"the index {path} is damaged; delete it and {card_of(path)}, and it is made anew"
        ) from error
    if card is None or card["tie"] != tie or len(card["names"]) != len(codes):
        return unfinished
    return CodeIndex(card["names"], codes, tie, graph)


def read_card(path: Path) -> dict[str, Any] | None:
    """The file of names beside the index at ``path``, None without one. UserError for another file."""
    file = card_of(path)
    if not file.exists():
        return None
    try:
        card = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        card = None
    version = card.get("format_version") if isinstance(card, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise UserError(f"{file} was written by a newer cluit; upgrade this one, or choose another --index")
    if version != FORMAT or not isinstance(card.get("tie"), dict) or not isinstance(card.get("names"), list):
        raise UserError(f"{file} is there and not of an index of cluit; choose another --index")
    return dict(card)


def tie(painter: Painter, gallery: Gallery, domains: Sequence[str] | None) -> dict[str, str]:
    """What codes depend on. domains: of all pictures, None for a model that tells none apart."""
    told = {}
    if domains is not None:
        names = "\n".join(domains).encode(errors="surrogateescape")
        told["domains"] = blake2b(names, digest_size=16).hexdigest()
    return {
        "model": fingerprint(painter.translator),
        "pictures": gallery.fingerprint(),
        "precision": str(painter.dtype).removeprefix("torch."),
        **told,
    }


def codes_of(
    painter: Painter, gallery: Gallery, path: Path | None, domain: str | None = None
) -> tuple[CodeIndex, bool]:
    """The codes of all pictures that can be read, and whether they come from the index at ``path``.

    domain: see `domains_of`. An index of another model, other pictures or another precision is made anew,
    which is said in a line.
    """
    domains = gallery.domains(painter, domain)
    if path is None:
        good, codes = gallery.encode(painter, range(len(gallery)), domains)
        return CodeIndex([gallery.names[i] for i in good], codes, {}), False
    if path.suffix != SUFFIX:
        raise UserError(f"an index is a {SUFFIX} file; name it --index {path.with_suffix(SUFFIX)}")
    wanted = tie(painter, gallery, domains)
    if path.exists() or card_of(path).exists():
        index = read_index(path)
        changed = [name for name, value in wanted.items() if index.tie.get(name) != value]
        if not changed:
            return index, True
        others = " and ".join(OTHER[name] for name in changed)
        reason = f"is of {others}" if index.tie else "is not whole"
        print(f"the index {path} {reason}; it is made anew", flush=True)
    good, codes = gallery.encode(painter, range(len(gallery)), domains)
    index = CodeIndex([gallery.names[i] for i in good], codes, wanted)
    index.write(path)
    return index, False
