"""Who meets whom: every test picture as a source, each with ten random references of the same set.

The paper's section 4: "each input image is translated using 10 reference images randomly sampled from the
test set [...]. We use the same set of random reference images for all the competing approaches."
"""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cluit.core.chance import mixed
from cluit.core.errors import UserError
from cluit.core.files import atomic_file
from cluit.core.images import to_bytes, to_unit
from cluit.core.types import Translator

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Pairs:
    """Which references each source meets. Names are relative to the test folder, with forward slashes."""

    sources: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    """For each source as many, distinct, and never itself."""

    def __post_init__(self) -> None:
        """UserError for what is no such thing."""
        if not self.sources or len(set(self.sources)) < len(self.sources):
            raise UserError("pairs need at least one source, and each source once")
        if len(self.references) != len(self.sources) or len({len(row) for row in self.references}) > 1:
            raise UserError("pairs need one row of references for each source, all of one length")
        if not self.references[0]:
            raise UserError("pairs need at least one reference for each source")
        for source, row in zip(self.sources, self.references, strict=True):
            if source in row or len(set(row)) < len(row):
                raise UserError(
                    f"the references of {source} must be distinct, and none may be the source itself"
                )

    @property
    def each(self) -> int:
        """References for a source."""
        return len(self.references[0])

    def numbers(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Places among ``names``: of the sources (P,), of the references (P, each), long.

        UserError that says which name is missing.
        """
        place = {name: number for number, name in enumerate(names)}
        wanted = [self.sources, *self.references]
        if missing := sorted({name for row in wanted for name in row} - place.keys()):
            raise UserError(
                f"the test set lacks {len(missing)} pictures that the pairs name, {missing[0]} among them; "
                "give the folder that the pairs were made for"
            )
        sources, *references = [[place[name] for name in row] for row in wanted]
        return torch.tensor(sources), torch.tensor(references)

    def write(self, path: Path) -> None:
        """As JSON."""
        record = {"format_version": FORMAT_VERSION, "sources": self.sources, "references": self.references}
        with atomic_file(path) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> "Pairs":
        """What ``write`` wrote. UserError for any other file."""
        try:
            record = json.loads(path.read_bytes())
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}; name a file of pairs") from error
        except ValueError as error:
            raise UserError(f"{path} is no file of pairs: {error}") from error
        version = record.get("format_version") if isinstance(record, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise UserError(f"{path} was written by a newer cluit; upgrade this one, or make the pairs anew")
        if version != FORMAT_VERSION:
            raise UserError(f"{path} is no file of pairs of format version {FORMAT_VERSION}")
        references = record.get("references")
        rows: list[Any] = [record.get("sources"), *references] if isinstance(references, list) else [None]
        if not all(isinstance(row, list) and all(isinstance(name, str) for name in row) for row in rows):
            raise UserError(f"{path} is no file of pairs: it lacks lists of names")
        try:
            return cls(tuple(rows[0]), tuple(map(tuple, rows[1:])))
        except UserError as error:
            raise UserError(f"{path} is no file of pairs: {error}") from error


def random_pairs(names: Sequence[str], each: int = 10, seed: int = 0, limit: int | None = None) -> Pairs:
    """For every name, ``each`` distinct others: a function of the set of names and the numbers alone.

    The same on every machine, in whatever order the names come. limit: only so many sources, drawn at random;
    they keep the references that they have without it. UserError where there are too few names.
    """
    ordered = sorted(set(names))
    if each < 1:
        raise UserError(f"each source needs at least one reference, not {each}")
    if limit is not None and limit < 1:
        raise UserError(f"pairs need at least one source, not {limit}")
    if len(ordered) <= each:
        raise UserError(
            f"{each} references for each source need at least {each + 1} pictures, there are {len(ordered)}; "
            "give more pictures, or fewer references each"
        )
    sources = list(range(len(ordered)))
    if limit is not None and limit < len(ordered):
        sources = sorted(_distinct(limit, len(ordered), "sources", seed))
    others = [_distinct(each, len(ordered) - 1, "references", seed, source) for source in sources]
    return Pairs(
        tuple(ordered[source] for source in sources),
        tuple(
            tuple(ordered[other + (other >= source)] for other in row)  # the source itself is stepped over
            for source, row in zip(sources, others, strict=True)
        ),
    )


def _distinct(count: int, below: int, *key: int | str) -> list[int]:
    """``count`` different numbers from 0 to ``below`` - 1, drawn from a hash of the key."""
    drawn = dict[int, None]()
    for turn in itertools.count():
        drawn[mixed(*key, turn) % below] = None
        if len(drawn) == count:
            break
    return list(drawn)


def style_codes(
    translator: Translator,
    pictures: Tensor,
    precision: torch.dtype = torch.float32,
    batch_size: int = 16,
    domain: Tensor | None = None,
) -> Tensor:
    """uint8 (N, 3, H, W) -> float32 (N, S) on the CPU. domain: (N,), as of ``Translator.domain_numbers``."""
    told = [] if domain is None else [domain]
    return _encoded(translator, translator.encode_style, pictures, precision, batch_size, *told).cpu()


def structure_codes(
    translator: Translator, pictures: Tensor, precision: torch.dtype = torch.float32, batch_size: int = 16
) -> Tensor:
    """uint8 (N, 3, H, W) -> float32 (N, C, h, w) on the translator's device."""
    return _encoded(translator, translator.encode_structure, pictures, precision, batch_size)


@torch.inference_mode()
def translations(
    translator: Translator,
    structures: Tensor,
    styles: Tensor,
    precision: torch.dtype = torch.float32,
    batch_size: int = 16,
) -> Tensor:
    """Each structure in each of its styles.

    structures: (P, C, h, w), as of ``structure_codes``; styles: (P, E, S), as of ``style_codes``. Returns
    uint8 (P, E, 3, H, W), on the CPU.
    """
    count, each = styles.shape[:2]
    codes = styles.flatten(0, 1).to(structures.device)
    outputs = []
    for pairs in torch.arange(count * each, device=structures.device).split(batch_size):
        with _autocast(structures.device, precision):
            outputs.append(to_bytes(translator.decode(structures[pairs // each], codes[pairs])).cpu())
    return torch.cat(outputs).unflatten(0, (count, each))


@torch.inference_mode()
def _encoded(
    translator: Translator,
    half: Callable[..., Tensor],
    pictures: Tensor,
    precision: torch.dtype,
    batch_size: int,
    *told: Tensor,
) -> Tensor:
    """told: what ``half`` takes beside the pictures, one row for each."""
    device = translator.device
    parts = []
    for part, *rest in zip(*(column.split(batch_size) for column in (pictures, *told)), strict=True):
        images = to_unit(part.to(device)).contiguous(memory_format=torch.channels_last)
        with _autocast(device, precision):
            parts.append(half(images, *(one.to(device) for one in rest)).float())
    return torch.cat(parts)


def _autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)
