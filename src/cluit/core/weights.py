"""A network as two files: ``KIND.safetensors`` (the weights) and ``KIND.json`` (what they are weights of).

Reading either executes nothing.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors
from cluit.core.release import release

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
"""Endings of files that others keep weights in. Opening a pickle can run whatever its writer put there."""


@dataclass(frozen=True)
class Format:
    """What a pair of files holds, e.g. a model, and the newest version of its card that this cluit knows."""

    kind: str
    version: int

    @property
    def weights(self) -> str:
        """The name of the file of weights."""
        return f"{self.kind}.safetensors"

    @property
    def card(self) -> str:
        """The name of the card."""
        return f"{self.kind}.json"

    def __str__(self) -> str:
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"

    def save(
        self, folder: Path, state: Mapping[str, Tensor], card: Mapping[str, Any], *, half: bool = False
    ) -> None:
        """Write both files into ``folder``, made if need be; each is replaced whole or not at all.

        state: of a network. card: JSON values; the versions and the type of the numbers are added.
        half: store float16, which halves the file. UserError for weights that are not finite, with nothing
        written, and where the disk refuses.
        """
        dtype = torch.float16 if half else torch.float32
        weights = {name: stored(tensor, dtype) for name, tensor in state.items()}
        if broken := [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]:
            raise UserError(f"{self} with weights that are not finite is not saved: {', '.join(broken[:3])}")
        card = {**card, "format_version": self.version, "cluit_version": release(), "dtype": str(dtype)[6:]}
        text = json.dumps(card, indent=2, allow_nan=False) + "\n"
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        # The card comes last: where it is, the weights are.
        for name, data in (
            (self.weights, to_bytes(weights)),
            (self.card, text.encode()),
        ):
            with atomic_file(folder / name) as file:
                file.write(data)

    def read_card(self, folder: Path) -> dict[str, Any]:
        """The card, if it is of a version that this cluit knows."""
        path = folder / self.card
        if not path.is_file() or not (folder / self.weights).is_file():
            raise UserError(
                f"{folder} is not {self}: it must be a folder with {self.weights} and {self.card}"
                f"{beside_pickles(folder)}"
            )
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is not readable as JSON; save the {self.kind} again") from error
        number = card.get("format_version") if isinstance(card, dict) else None
        if type(number) is not int or number < 1:  # true is an int too
            raise UserError(f"{path} does not describe {self} of cluit: it has no format_version")
        if number > self.version:
            raise UserError(
                f"{folder} has format version {number}, newer than this cluit knows ({self.version}); "
                "upgrade cluit"
            )
        return card

    def read_weights(self, folder: Path, network: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors, if names, shapes and kinds are those of ``network``, a state, and all are finite."""
        path = folder / self.weights
        shapes = {name: tensor.shape for name, tensor in network.items()}
        try:
            path.open("rb").close()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error
        try:
            with safe_open(path, framework="pt") as file:
                found = {name: torch.Size(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if found == shapes:
                weights = load_file(path)
                refuse_unusable(path, weights, network)
                return weights
        except (OSError, SafetensorError) as error:
            if is_pickle(path):
                raise UserError(
                    f"{path} is a pickle by another name, which cluit never opens, as that can run code; "
                    f"take the {self.kind} from somebody who gives it as safetensors"
                ) from error
            raise UserError(f"{path} is not a whole safetensors file ({error}); download it again") from error
        raise UserError(
            f"{path} does not fit its {self.card}: {differences(found, shapes)}; save the {self.kind} again"
        )


def stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """As safetensors wants it: on the CPU, contiguous, sharing memory with nothing."""
    tensor = tensor.detach().cpu()
    return tensor.to(dtype if tensor.is_floating_point() else tensor.dtype).contiguous().clone()


def is_pickle(path: Path) -> bool:
    """Whether the file begins as what torch.save or pickle writes; nothing in it is looked at further."""
    with path.open("rb") as file:
        start = file.read(4)
    return start == b"PK\3\4" or (start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5"))


def beside_pickles(folder: Path) -> str:
    """How a sentence on what ``folder`` lacks goes on where it holds pickles; nothing otherwise."""
    return about_pickles(path.name for path in folder.glob("*"))


def about_pickles(names: Iterable[str]) -> str:
    """The same of a list of files."""
    pickles = sorted(name for name in names if name.lower().endswith(PICKLES))
    if not pickles:
        return ""
    return f" ({', '.join(pickles[:3])}: cluit never opens pickles, as that can run code)"


def differences(found: Mapping[str, torch.Size], shapes: Mapping[str, torch.Size]) -> str:
    """The first three things that are wrong with the shapes of a file, and how many more there are."""
    wrong = [f"{name} is missing" for name in shapes if name not in found]
    wrong += [f"{name} is not of this network" for name in found if name not in shapes]
    wrong += [
        f"{name} is {tuple(found[name])} instead of {tuple(shape)}"
        for name, shape in shapes.items()
        if name in found and found[name] != shape
    ]
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return ", ".join(wrong[:3]) + more


def refuse_unusable(path: Path, weights: Mapping[str, Tensor], network: Mapping[str, Tensor]) -> None:
    """UserError for numbers of another kind than belong there, and for what is not finite."""
    for name, tensor in weights.items():
        both_real = tensor.is_floating_point() and network[name].is_floating_point()
        if not both_real and tensor.dtype != network[name].dtype:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(f"{name} in {path} is of type {kind}; save the {path.stem} again")
        if not torch.isfinite(tensor.float()).all():
            raise UserError(f"{name} in {path} is not finite; take an earlier {path.stem}")


def fingerprint(network: nn.Module) -> str:
    """Of the network's weights: what changes one of them changes this. They count as float32."""
    digest = blake2b(digest_size=16)
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
