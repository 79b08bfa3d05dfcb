"""The Fréchet distance between two clouds of features, whatever network they come from."""

import torch
from torch import Tensor

from cluit.core.errors import UserError


class Gaussian:
    """Mean and covariance of all features added so far, in float64 on the CPU."""

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.total = torch.zeros(dim, dtype=torch.float64)
        self.products = torch.zeros(dim, dim, dtype=torch.float64)

    def add(self, features: Tensor) -> "Gaussian":
        """features: (N, D). Returns itself."""
        features = features.detach().cpu().double()
        self.count += len(features)
        self.total += features.sum(dim=0)
        self.products += features.T @ features
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


def frechet_distance(p: Gaussian, q: Gaussian) -> float:
    """Squared 2-Wasserstein distance; FID when the features are Inception's."""
    values, vectors = torch.linalg.eigh(p.cov)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    overlap = torch.linalg.eigvalsh(root @ q.cov @ root).clamp(min=0).sqrt().sum()
    return float((p.mean - q.mean).square().sum() + p.cov.trace() + q.cov.trace() - 2 * overlap)
