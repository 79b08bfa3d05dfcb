"""The kernel distance between two clouds of features: KID when they are Inception's.

Bińkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs", ICLR 2018: the squared maximum mean
discrepancy under a cubic kernel. Unlike the Fréchet distance it has no bias for few pictures, provided that
all rows are independent. Under the protocol they are not: each source and each reference gives many outputs,
and the real pictures may be the very same ones. Hence `independent_blocks`.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from cluit.core.chance import mixed

BLOCK = 100
"""Outputs in a block, where there are pictures enough."""


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


class Block(NamedTuple):
    """Who is compared with whom, by number."""

    real: Tensor  # (M,)
    outputs: Tensor  # (N,), source · E + place of the reference


def independent_blocks(
    sources: Tensor, references: Tensor, real: Tensor, size: int = BLOCK, seed: int = 0
) -> list[Block]:
    """Blocks in which no picture takes part twice, be it as a source, as a reference or as a real picture.

    So rows of a block are independent where test pictures are. A block has up to ``size`` outputs and at
    least as many real pictures. There are as many blocks as it takes to use the real pictures or the outputs
    once. Sources and real pictures come again in another block once others had their turn; outputs never.

    sources: (P,) and references: (P, E), numbers of pictures; real: (R,), likewise, negative for a real
    picture that is none of these. Blocks depend on the orders of sources and real pictures and on the seed,
    never on what pictures show. Empty where a block of two outputs would leave fewer than two real pictures.
    """
    involved = torch.cat([sources, references.flatten()]).unique()
    shared = int(torch.isin(real, involved).sum())
    most = min(size, len(sources), len(involved) // 2)
    while most > 1 and len(real) - min(2 * most, shared) < most:
        most -= 1
    if most < 2:
        return []
    count = min(len(real), references.numel()) // most
    generator = torch.Generator().manual_seed(mixed(seed, "blocks"))
    outputs = _Outputs(sources, references, generator)
    queue, blocks = torch.randperm(len(real), generator=generator), list[Block]()
    for _ in range(count):
        numbers, taken = outputs.next(most)
        free = ~torch.isin(real[queue], torch.tensor(taken, dtype=torch.long))
        chosen = free & (free.cumsum(dim=0) <= len(real) // count)
        if min(len(numbers), int(chosen.sum())) < 2:
            break
        blocks.append(Block(queue[chosen], torch.tensor(numbers)))
        queue = torch.cat([queue[~chosen], queue[chosen]])
    return blocks


class _Outputs:
    """Sources in a queue: who was dealt goes to its end, with one reference fewer left."""

    def __init__(self, sources: Tensor, references: Tensor, generator: torch.Generator) -> None:
        self._sources, self._references = sources.tolist(), references.tolist()
        self._left = torch.rand(references.shape, generator=generator).argsort(dim=1).tolist()
        self._queue = torch.randperm(len(sources), generator=generator).tolist()

    def next(self, most: int) -> tuple[list[int], list[int]]:
        """Numbers of up to ``most`` outputs that have no picture in common, and all of their pictures."""
        soon = {self._sources[row] for row in self._queue[:most]}
        numbers, taken, dealt = list[int](), set[int](), dict[int, None]()
        for row in self._queue:
            worn = self._references[row]
            free = [place for place in self._left[row] if worn[place] not in taken]
            if self._sources[row] in taken or not free:
                continue
            place = min(free, key=lambda one: worn[one] in soon)  # leaves coming sources free
            self._left[row].remove(place)
            numbers.append(row * len(worn) + place)
            taken |= {self._sources[row], worn[place]}
            dealt[row] = None
            if len(numbers) == most:
                break
        self._queue = [*(row for row in self._queue if row not in dealt), *dealt]
        return numbers, sorted(taken)


class KernelDistance(NamedTuple):
    """A mean over blocks."""

    value: float
    error: float | None
    """Standard error of the mean as if blocks were independent: pictures that they share are not allowed for.
    None for one block."""
    blocks: int
    block: tuple[int, int]  # real pictures and outputs of the smallest block


def kernel_distance(blocks: Iterable[tuple[Tensor, Tensor]]) -> KernelDistance | None:
    """The mean of ``squared_mmd`` over blocks, unbiased where the rows of each are independent.

    blocks: features of real pictures (M, D) and of outputs (N, D), at least two of either. None for no block.
    """
    values, sizes = list[float](), list[tuple[int, int]]()
    for x, y in blocks:
        values.append(squared_mmd(x, y))
        sizes.append((len(x), len(y)))
    if not values:
        return None
    each = torch.tensor(values, dtype=torch.float64)
    error = each.std().item() / len(each) ** 0.5 if len(each) > 1 else None
    real, outputs = zip(*sizes, strict=True)
    return KernelDistance(each.mean().item(), error, len(each), (min(real), min(outputs)))
