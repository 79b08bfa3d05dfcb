"""Features of real pictures, kept between evaluations: found by what the pictures and the network are."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch
from torch import Tensor

from cluit.core.files import atomic_file, cache_folder
from cluit.data.dataset import Pictures

if TYPE_CHECKING:
    from cluit.evaluation.features import Features

BLOCK = 64  # pictures held at once


def content(pictures: Pictures, keep: BinaryIO | None = None) -> str:
    """A digest of all pixels, in order: of what is seen, whatever the files are called and how compressed.

    keep: a file that the pixels are written to as they come, uint8 (N, 3, H, W).
    """
    digest = hashlib.blake2b(digest_size=16)
    for first in range(0, len(pictures), BLOCK):
        block = pictures.batch(range(first, min(first + BLOCK, len(pictures))))
        digest.update(repr(tuple(block.shape)).encode())
        pixels = block.numpy().tobytes()
        digest.update(pixels)
        if keep is not None:
            keep.write(pixels)
    return digest.hexdigest()


def cache_file(network: "Features", pictures: str, device: torch.device) -> Path:
    """Where the features of pictures with this ``content`` are kept.

    A network is known by its name and by what it answers to one fixed picture of noise, since two files may
    have one name. Another machine's rounding may answer otherwise: then it is merely computed again.
    """
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        answer = network(noise.to(device)).float().cpu().numpy().tobytes()
    digest = hashlib.blake2b(answer, digest_size=8).hexdigest()
    name = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in network.name)[:60]
    return cache_folder("features") / f"{name}-{digest}-{pictures}.npy"


def cached_rows(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The float32 rows kept there, read from the disk where they are looked at; None if there are none."""
    try:
        rows: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.shape == shape and rows.dtype == np.float32 else None


@contextmanager
def writing_rows(path: Path, shape: tuple[int, int]) -> Iterator[Callable[[Tensor], None]]:
    """Write rows block by block; the file appears once all are there, or not at all."""
    with atomic_file(path) as file:

        def write(rows: Tensor) -> None:
            file.write(rows.numpy().astype("<f4").tobytes())

        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield write
