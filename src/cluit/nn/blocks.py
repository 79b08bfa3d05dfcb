"""Pre-activation residual blocks (StarGAN v2's, as CLUIT's appendix A.1 uses them), with and without norm.

Every block divides its sum by √2, so that two unit variances add up to one.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.nn.norm import instance_norm
from cluit.nn.resample import DoublingConv, HalvingConv, double, halve

SLOPE = 0.2  # of every leaky ReLU
UNIT_VARIANCE = 1 / math.sqrt(2)


def act(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2."""
    return F.leaky_relu(x, SLOPE)


def act_(x: Tensor) -> Tensor:
    """The same in place: for what a convolution or a pooling gave and nobody else looks at."""
    return F.leaky_relu_(x, SLOPE)


def united(branch: Tensor, skipped: Tensor) -> Tensor:
    """The sum of both, divided by √2, in the place of ``branch``, which nobody else looks at."""
    return branch.add_(skipped).mul_(UNIT_VARIANCE)


class AdaIN(nn.Module):
    """(1 + γ) · IN(x) + β, with γ and β one linear function of the style (Huang and Belongie, 2017)."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.affine = nn.Linear(style_dim, 2 * channels)

    def forward(self, x: Tensor, style: Tensor, slope: float = 1.0) -> Tensor:
        """(N, C, H, W), (N, S) -> (N, C, H, W); slope: of a leaky ReLU that follows, 1 for none."""
        gamma, beta = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        return instance_norm(x, 1 + gamma, beta, slope)


def norm_act(x: Tensor) -> Tensor:
    """Instance norm and leaky ReLU."""
    return instance_norm(x, slope=SLOPE)


def shortcut(inputs: int, outputs: int) -> nn.Module:
    """The identity where widths agree, else a 1×1 convolution without bias."""
    return nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)


class Down(nn.Module):
    """(N, C, H, W) -> (N, C', H/2, W/2), without norm: the block of critic and style encoder.

    The shortcut pools before its 1×1 convolution: they commute, and so it works on a quarter of the pixels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = HalvingConv(inputs, inputs)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = shortcut(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(act_(self.conv1(act(x))))
        return united(h, self.skip(halve(x)))


class NormDown(Down):
    """(N, C, H, W) -> (N, C', H/2, W/2), with instance norm: the generator's way in; weights as `Down`'s."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(norm_act(x))
        h = self.conv2(norm_act(h))
        return united(h, self.skip(halve(x)))


class NormSame(nn.Module):
    """(N, C, H, W) -> the same, with instance norm: the generator's middle, before the style."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(norm_act(x))
        h = self.conv2(norm_act(h))
        return united(h, x)


class StyledSame(nn.Module):
    """(N, C, H, W) and a style -> the same shape, with AdaIN: the generator's middle, from the style on."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.norm1 = AdaIN(channels, style_dim)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = AdaIN(channels, style_dim)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x, style, SLOPE))
        h = self.conv2(self.norm2(h, style, SLOPE))
        return united(h, x)


class StyledUp(nn.Module):
    """(N, C, H, W) and a style -> (N, C', 2H, 2W), with AdaIN: the generator's way out.

    The shortcut's 1×1 convolution comes before the doubling, which it commutes with.
    """

    def __init__(self, inputs: int, outputs: int, style_dim: int) -> None:
        super().__init__()
        self.norm1 = AdaIN(inputs, style_dim)
        self.conv1 = DoublingConv(inputs, outputs)
        self.norm2 = AdaIN(outputs, style_dim)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = shortcut(inputs, outputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x, style, SLOPE))
        h = self.conv2(self.norm2(h, style, SLOPE))
        return united(h, double(self.skip(x)))


@torch.no_grad()
def he_init(module: nn.Module) -> None:
    """He initialisation (fan-in, leaky ReLU) of every convolution and linear layer; biases start at zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE, nonlinearity="leaky_relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
