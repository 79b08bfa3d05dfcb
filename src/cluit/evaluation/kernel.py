"""The kernel distance between two clouds of features: KID when they are Inception's.

Bińkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs", ICLR 2018: the squared maximum mean
discrepancy under a cubic kernel. Unlike the Fréchet distance it has no bias for few pictures.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from cluit.core.errors import UserError


def cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(N, D), (M, D) -> (N, M): (x·y / D + 1)³."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate from (N, D) and (M, D), each with at least two rows; it may be negative.

    Gretton et al., "A kernel two-sample test", JMLR 2012, equation 3: no row meets itself.
    """
    x, y = x.double(), y.double()
    n, m = len(x), len(y)
    xx, yy = cubic_kernel(x, x), cubic_kernel(y, y)
    within_x = (xx.sum() - xx.diagonal().sum()) / (n * (n - 1))
    within_y = (yy.sum() - yy.diagonal().sum()) / (m * (m - 1))
    return (within_x + within_y - 2 * cubic_kernel(x, y).mean()).item()


class KernelDistance(NamedTuple):
    """A mean over blocks."""

    value: float
    error: float  # standard error of the mean; NaN for one block
    blocks: int
    block: tuple[int, int]  # rows of either cloud in the smallest block


def kernel_distance(x: Tensor, y: Tensor, block: int = 100, seed: int = 0) -> KernelDistance:
    """The mean of ``squared_mmd`` over disjoint blocks, and its standard error.

    x: (N, D), y: (M, D). Both are shuffled by the seed and dealt out to as many blocks as leave each at least
    ``block`` rows of either; with fewer rows there is one block of all. UserError for fewer than two rows.
    """
    fewest = min(len(x), len(y))
    if block < 2 or fewest < 2:
        raise UserError(f"a kernel distance needs blocks of at least 2 pictures, got {min(block, fewest)}")
    blocks = max(1, fewest // block)
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randperm(len(rows), generator=generator).tensor_split(blocks) for rows in (x, y)]
    values = torch.tensor([squared_mmd(x[i], y[j]) for i, j in zip(*parts, strict=True)], dtype=torch.float64)
    error = values.std().item() / blocks**0.5 if blocks > 1 else float("nan")
    return KernelDistance(
        values.mean().item(), error, blocks, (min(map(len, parts[0])), min(map(len, parts[1])))
    )
