"""The Fréchet distance between two clouds of features, whatever network they come from."""

from typing import Self

import torch
from torch import Tensor

from cluit.core.errors import UserError


class Gaussian:
    """Mean and covariance of all features added so far, in float64 on the CPU.

    In whatever blocks and order rows are added or parts merged, the sums differ by rounding alone: by about
    1e-16 of the sum of absolute values for each addition.
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.total = torch.zeros(dim, dtype=torch.float64)
        self.products = torch.zeros(dim, dim, dtype=torch.float64)
        self._root: Tensor | None = None

    def add(self, features: Tensor) -> Self:
        """features: (N, D). Returns itself."""
        features = features.detach().cpu().double()
        self.count += len(features)
        self.total += features.sum(dim=0)
        self.products.addmm_(features.T, features)
        self._root = None
        return self

    def merge(self, other: "Gaussian") -> Self:
        """Add all that ``other`` has seen. Returns itself."""
        self.count += other.count
        self.total += other.total
        self.products += other.products
        self._root = None
        return self

    @property
    def mean(self) -> Tensor:
        """(D,)."""
        return self.total / self.count

    @property
    def cov(self) -> Tensor:
        """(D, D), unbiased. UserError where fewer than two rows were added."""
        if self.count < 2:
            raise UserError(f"a covariance needs at least 2 pictures, got {self.count}")
        return (self.products - self.count * torch.outer(self.mean, self.mean)) / (self.count - 1)

    @property
    def root(self) -> Tensor:
        """(D, R) with root @ root.T = cov, R at most D and the number of rows less one: fewer rows than
        features span no more. Kept until something is added, as it is most of a distance's work."""
        if self._root is None:
            values, vectors = torch.linalg.eigh(self.cov)  # in ascending order
            rank = min(len(values), self.count - 1)
            self._root = vectors[:, -rank:] * values[-rank:].clamp(min=0).sqrt()
        return self._root


def frechet_distance(p: Gaussian, q: Gaussian) -> float:
    """Squared 2-Wasserstein distance; FID when the features are Inception's. ``p`` keeps its root.

    The trace of (cov_p cov_q)^½ is the sum of the roots of the eigenvalues of root_pᵀ cov_q root_p.
    """
    overlap = torch.linalg.eigvalsh(p.root.T @ q.cov @ p.root).clamp(min=0).sqrt().sum()
    return float((p.mean - q.mean).square().sum() + p.cov.trace() + q.cov.trace() - 2 * overlap)
