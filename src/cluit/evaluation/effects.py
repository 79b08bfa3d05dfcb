"""Whether translations depend on what they should: how much they differ by source, and by reference."""

import torch
from torch import Tensor


def effect(outputs: Tensor, inputs: Tensor) -> float:
    """How much outputs differ over their first dimension, as a share of how much the inputs differ.

    outputs: (A, B, 3, H, W) in [-1, 1], made from ``inputs`` (A, 3, H, W) and B other things. 0 where the
    inputs change nothing; 1 where outputs differ as much as inputs do. NaN for a single input, or equal ones.
    """
    by_other = outputs.float().clamp(-1, 1).flatten(2).transpose(0, 1)  # (B, A, D)
    return float(spread(by_other).mean() / spread(inputs.float().flatten(1)))


def spread(points: Tensor) -> Tensor:
    """(..., A, D) -> (...): the mean absolute difference between two of A points."""
    count = points.shape[-2]
    return torch.cdist(points, points, p=1).sum(dim=(-2, -1)) / (points.shape[-1] * count * (count - 1))
