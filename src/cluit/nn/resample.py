"""Half and twice the size, and the 3×3 convolutions beside them.

To average after a 3×3 convolution, and to double before one, is linear as well: either pair is one
convolution of 4×4 with stride 2, or one transposed, with 16 multiplications where there were 36. That pays
on a CPU whose time goes into multiplications; with AMX, as on a GPU, 3×3 is so much better served that it
does not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.core.machine import cpu_class

LEAST_SIDE = 16
"""Of the larger picture, from which on one convolution pays: a smaller one leaves a kernel too few pixels."""

LINE = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
SPREAD = torch.kron(LINE, LINE)
"""(16, 9): the sum of a 3×3 kernel at four places of 4×4, 0 or 1 to the right and downwards."""

as_written = ContextVar("as_written", default=False)


def halve(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H/2, W/2), by averages of 2×2."""
    return F.avg_pool2d(x, 2)


def double(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W), nearest neighbour."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class HalvingConv(nn.Conv2d):
    """(N, C, H, W) -> (N, C', H/2, W/2): a 3×3 convolution that keeps the size, then averages of 2×2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return (halve_at_once if pays(x, x.shape[-1]) else halve_after)(x, self.weight, self.bias)


class DoublingConv(nn.Conv2d):
    """(N, C, H, W) -> (N, C', 2H, 2W): each pixel fourfold, then a 3×3 convolution that keeps the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return (double_at_once if pays(x, 2 * x.shape[-1]) else double_before)(x, self.weight, self.bias)


def halve_after(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return halve(F.conv2d(x, weight, bias, padding=1))


def halve_at_once(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(x, spread(weight, SPREAD / 4), bias, stride=2, padding=1)


def double_before(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(double(x), weight, bias, padding=1)


def double_at_once(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    turned = spread(weight, SPREAD.flip(0)).transpose(0, 1)
    return F.conv_transpose2d(x, turned, bias, stride=2, padding=1)


def spread(weight: Tensor, places: Tensor) -> Tensor:
    """(O, I, 3, 3) and (16, 9), what each weight does in each place -> (O, I, 4, 4), channels last."""
    lines = weight.permute(0, 2, 3, 1).flatten(1, 2)  # (O, 9, I), in one pass where channels come last
    return (places.to(weight.dtype) @ lines).unflatten(1, (4, 4)).permute(0, 3, 1, 2)


def pays(x: Tensor, side: int) -> bool:
    """Whether one convolution is the faster; side: of the larger picture."""
    return side >= LEAST_SIDE and x.device.type == "cpu" and counts_products() and not as_written.get()


@cache
def counts_products() -> bool:
    """Whether this machine's CPU spends its time on multiplications."""
    return cpu_class() != "AMX"


@contextmanager
def written() -> Iterator[None]:
    """Inside, every convolution is computed as it is written, on any machine: for what outlives this one."""
    token = as_written.set(True)
    try:
        yield
    finally:
        as_written.reset(token)
