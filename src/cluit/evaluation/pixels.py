"""Pictures decoded once for as many processes and passes as there are."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cluit.core.files import atomic_file
from cluit.data.folder import ImageFolder
from cluit.evaluation.cache import content


class Pixels:
    """Decoded pictures in a file that every process reads: it takes the memory that nobody else wants."""

    def __init__(
        self, path: Path, shape: tuple[int, int, int, int], classes: list[str], labels: list[int]
    ) -> None:
        """path: a file of uint8 numbers, of this shape (N, 3, H, W). classes, labels: an ImageFolder's."""
        self.path, self.shape = path, shape
        self.classes, self.labels = classes, labels
        self._pixels = np.memmap(path, np.uint8, "r", shape=shape)

    def __len__(self) -> int:
        return self.shape[0]

    def batch(self, indices: Sequence[int]) -> Tensor:
        """uint8 (N, 3, H, W), in the order of ``indices``."""
        return torch.from_numpy(self._pixels[np.asarray(indices, dtype=np.int64)])

    def __reduce__(self) -> tuple[Callable[..., "Pixels"], tuple[object, ...]]:
        return Pixels, (
            self.path,
            self.shape,
            self.classes,
            self.labels,
        )  # another process maps the file, nobody sends it


def decode_once(pictures: ImageFolder, path: Path) -> tuple[Pixels, str]:
    """All pictures, decoded into the file ``path``, and their `content`. After it all damage is known."""
    with atomic_file(path) as file:
        digest = content(pictures, file)
    shape = (len(pictures), 3, pictures.size, pictures.size)
    return Pixels(path, shape, pictures.classes, list(pictures.labels)), digest
