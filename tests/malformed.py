"""Ways to harm a network that was saved as two files, KIND.safetensors and KIND.json."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

Harm = Callable[[Path], None]
"""Harms what is saved in a folder."""


def only(folder: Path, suffix: str) -> Path:
    """The folder's one file of this kind."""
    (path,) = folder.glob(f"*{suffix}")
    return path


def without(suffix: str) -> Harm:
    return lambda folder: only(folder, suffix).unlink()


def change_card(**changes: Any) -> Harm:
    def harm(folder: Path) -> None:
        path = only(folder, ".json")
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return harm


def change_config(**changes: Any) -> Harm:
    """Of the card's config, keeping the rest of it."""

    def harm(folder: Path) -> None:
        card = json.loads(only(folder, ".json").read_text())
        change_card(config=card["config"] | changes)(folder)

    return harm


def change_weights(change: Callable[[dict[str, Tensor]], Any]) -> Harm:
    def harm(folder: Path) -> None:
        path = only(folder, ".safetensors")
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return harm


def write(suffix: str, data: bytes) -> Harm:
    def harm(folder: Path) -> None:
        only(folder, suffix).write_bytes(data)

    return harm


def truncate(folder: Path) -> None:
    path = only(folder, ".safetensors")
    path.write_bytes(path.read_bytes()[:-10])


class Trap:
    """Makes the folder ``place`` wherever it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.place),)
