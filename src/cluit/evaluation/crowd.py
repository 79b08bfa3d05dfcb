"""A crowd of pictures under one feature network, class by class, and the distances between two crowds."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from cluit.core.chance import mixed
from cluit.evaluation.frechet import Gaussian, frechet_distance
from cluit.evaluation.kernel import kernel_distance

KERNEL_MOST = 5000
"""Pictures of a crowd whose features are kept, for the kernel distance. All others are only added up."""


class Crowd:
    """What one pass over a crowd keeps: a Gaussian for each class, and the features of a seeded sample."""

    def __init__(self, count: int, dim: int, classes: int = 1, seed: int = 0) -> None:
        """count: how many pictures will come. seed: of the sample, all of them if there are few."""
        self.classes = [Gaussian(dim) for _ in range(classes)]
        generator = torch.Generator().manual_seed(mixed(seed, "kernel", count))
        chosen = torch.randperm(count, generator=generator)[:KERNEL_MOST]
        self._chosen = torch.zeros(count, dtype=torch.bool).index_fill(0, chosen, True)
        self._kept = list[Tensor]()
        self._seen = 0

    def add(self, features: Tensor, labels: Tensor | None = None) -> None:
        """features: (N, D), the next of the crowd; labels: (N,), their classes, all 0 without."""
        for number, gaussian in enumerate(self.classes):
            rows = features if labels is None else features[labels == number]
            if len(rows):
                gaussian.add(rows)
        self._kept.append(features[self._chosen[self._seen : self._seen + len(features)]].clone())
        self._seen += len(features)
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
        """(M, D), M at most KERNEL_MOST."""
        return torch.cat(self._kept)


def distances(real: Crowd, made: Crowd, classes: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """From a crowd of outputs, by their references' class, to the real pictures, as JSON values.

    classes: the names of the crowds' classes; none where there are no labels.

    frechet: of all; class_frechet: by class, of those with at least two pictures on either side;
    mean_class_frechet: the mean of these (the paper's mFID), None where there are not two such classes;
    kernel, kernel_error (None of one block), kernel_blocks, kernel_block: see `kernel_distance`.
    """
    by_class = {
        name: frechet_distance(p, q)
        for name, p, q in zip(classes, real.classes, made.classes, strict=False)
        if min(p.count, q.count) > 1
    }
    kernel = kernel_distance(real.sample, made.sample, seed=seed)
    return {
        "frechet": frechet_distance(real.whole, made.whole),
        "class_frechet": by_class,
        "mean_class_frechet": sum(by_class.values()) / len(by_class) if len(by_class) > 1 else None,
        "kernel": kernel.value,
        "kernel_error": None if kernel.blocks == 1 else kernel.error,
        "kernel_blocks": kernel.blocks,
        "kernel_block": list(kernel.block),
    }
