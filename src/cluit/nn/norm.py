"""Instance norm, its scale and the activation that follows: one operation, with a gradient of its own."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-5


def instance_norm(
    x: Tensor, gain: Tensor | None = None, bias: Tensor | None = None, slope: float = 1.0
) -> Tensor:
    """(N, C, H, W) -> the same: leaky ReLU of gain · IN(x) + bias.

    IN brings each channel of each picture to mean 0 and variance 1. gain, bias: (N, C, 1, 1) or (C, 1, 1), by
    default 1 and 0. slope: of the activation, in [0, 1]; 0 is ReLU, 1 none.

    Means are taken in float32, or in float64 where ``x`` is. It can be differentiated once: the gradient is
    written down rather than traced, and nothing between ``x`` and the result is kept for it.
    """
    gain = x.new_ones(x.shape[1], 1, 1) if gain is None else gain
    bias = x.new_zeros(x.shape[1], 1, 1) if bias is None else bias
    if torch.is_grad_enabled() and (x.requires_grad or gain.requires_grad or bias.requires_grad):
        return Normed.apply(x, gain, bias, slope)  # type: ignore[no-untyped-call]
    return forwards(x, gain, bias, slope)[0]


def forwards(x: Tensor, gain: Tensor, bias: Tensor, slope: float) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and of each channel of each picture mean and 1 / deviation (N, C, 1, 1)."""
    mean = mean_of(x)
    centred = x - mean.to(x.dtype)
    rate = torch.rsqrt(mean_of(centred.square()) + EPSILON)
    y = torch.addcmul(bias.to(x.dtype), centred, (gain * rate).to(x.dtype))
    return torch.nn.functional.leaky_relu_(y, slope), mean, rate


def mean_of(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 1, 1) means over the pixels, in float32 at least. Far faster than `var_mean`."""
    return x.mean(dim=(2, 3), keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))


class Normed(torch.autograd.Function):
    """`instance_norm`, remembering its input and its result alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor, slope: float) -> Tensor:
        y, mean, rate = forwards(x, gain, bias, slope)
        ctx.save_for_backward(x, y, gain, mean, rate)
        ctx.slope, ctx.bias = slope, (bias.shape, bias.dtype)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_of_y: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """With n = IN(x) and g the gradient of gain · n + bias, that of x is
        gain / deviation · (g − mean g − n · mean(g · n))."""
        x, y, gain, mean, rate = ctx.saved_tensors
        g = torch.ops.aten.leaky_relu_backward(slope_of_y, y, ctx.slope, True)  # a slope of 0 leaves y's sign
        pixels = x[0, 0].numel()
        mean_g = mean_of(g)
        mean_gn = mean_of((x - mean.to(x.dtype)).mul_(g)) * rate
        scale = gain * rate
        along = -scale * rate * mean_gn
        beside = -scale * mean_g - along * mean
        slope_of_x = torch.addcmul(beside.to(x.dtype), x, along.to(x.dtype)).addcmul_(g, scale.to(x.dtype))
        shape, dtype = ctx.bias
        return (
            slope_of_x,
            (mean_gn * pixels).sum_to_size(gain.shape).to(gain.dtype),
            (mean_g * pixels).sum_to_size(shape).to(dtype),
            None,
        )
