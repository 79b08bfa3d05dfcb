"""A crowd of pictures under one feature network, class by class, and the distances between two crowds."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from cluit.core.chance import mixed
from cluit.evaluation.frechet import Gaussian, frechet_distance
from cluit.evaluation.kernel import Block, kernel_distance

KERNEL_MOST = 5000
"""Pictures of a crowd whose features are kept, for the kernel distance. All others are only added up."""


def some_of(count: int, seed: int) -> Tensor:
    """Ascending numbers of a sample of so many pictures, of all of them if there are few."""
    generator = torch.Generator().manual_seed(mixed(seed, "kernel", count))
    return torch.randperm(count, generator=generator)[:KERNEL_MOST].sort().values


class Crowd:
    """What one pass over a crowd keeps: a Gaussian for each class, and the features of some."""

    def __init__(self, dim: int, classes: int = 1, kept: Tensor | None = None) -> None:
        """kept: ascending numbers of the pictures whose features are kept; without it of none."""
        self.classes = [Gaussian(dim) for _ in range(classes)]
        self._numbers = torch.empty(0, dtype=torch.long) if kept is None else kept
        self._kept = [torch.empty(0, dim)]
        self._seen = 0

    def add(self, features: Tensor, labels: Tensor | None = None) -> None:
        """features: (N, D), the next of the crowd; labels: (N,), their classes, all 0 without."""
        for number, gaussian in enumerate(self.classes):
            rows = features if labels is None else features[labels == number]
            if len(rows):
                gaussian.add(rows)
        end = self._seen + len(features)
        coming = (self._numbers >= self._seen) & (self._numbers < end)
        self._kept.append(features[self._numbers[coming] - self._seen])
        self._seen = end
        self.__dict__.pop("whole", None)

    @cached_property
    def whole(self) -> Gaussian:
        """Of all classes together."""
        if len(self.classes) == 1:
            return self.classes[0]
        whole = Gaussian(len(self.classes[0].total))
        for gaussian in self.classes:
            whole.merge(gaussian)
        return whole

    @property
    def sample(self) -> Tensor:
        """(M, D), of those that are kept."""
        self._kept = [torch.cat(self._kept)]
        return self._kept[0]

    def rows(self, numbers: Tensor) -> Tensor:
        """(N,) numbers of pictures that are kept -> (N, D)."""
        return self.sample[torch.searchsorted(self._numbers, numbers)]


def distances(real: Crowd, made: Crowd, classes: Sequence[str], blocks: Sequence[Block]) -> dict[str, Any]:
    """From a crowd of outputs, by their references' class, to the real pictures, as JSON values.

    classes: the names of the crowds' classes; none where there are no labels. blocks: of the kernel distance,
    see `independent_blocks`; both crowds have kept them.

    frechet: of all; class_frechet: by class, of those with at least two pictures on either side;
    mean_class_frechet: the mean of these (the paper's mFID), None where there are not two such classes;
    kernel, kernel_error (None of one block), kernel_blocks, kernel_block: see `KernelDistance`; None without
    blocks.
    """
    by_class = {
        name: frechet_distance(p, q)
        for name, p, q in zip(classes, real.classes, made.classes, strict=False)
        if min(p.count, q.count) > 1
    }
    kernel = kernel_distance((real.rows(block.real), made.rows(block.outputs)) for block in blocks)
    return {
        "frechet": frechet_distance(real.whole, made.whole),
        "class_frechet": by_class,
        "mean_class_frechet": sum(by_class.values()) / len(by_class) if len(by_class) > 1 else None,
        "kernel": kernel and kernel.value,
        "kernel_error": kernel and kernel.error,
        "kernel_blocks": kernel.blocks if kernel else 0,
        "kernel_block": kernel and list(kernel.block),
    }
