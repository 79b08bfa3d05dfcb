"""The generator's layers: StyleGAN2's, but for a style that multiplies activations rather than weights."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.methods.swapae.layers import LATER, ROOT2, TAPS, Active, Blur, Conv, Linear
from cluit.nn.blocks import UNIT_VARIANCE, act

EPSILON = 1e-8


class Style(Linear):
    """(N, T) texture -> (N, C, 1, 1), a number for each channel that begins near ``start``.

    In float32 also under autocast: the first textures differ by less than half precision tells apart.
    """

    def __init__(self, texture_dim: int, channels: int, start: float = 1.0) -> None:
        super().__init__(texture_dim, channels)
        nn.init.constant_(self.get_parameter("bias"), start)

    def forward(self, texture: Tensor) -> Tensor:
        with torch.autocast(texture.device.type, enabled=False):
            return super().forward(texture.to(self.weight.dtype))[:, :, None, None]


class StyledConv(nn.Module):
    """3×3 convolution of activations that the style scales, then noise, bias and leaky ReLU.

    The factors have a mean square of 1 over the channels, and each output's weights, whatever the style, have
    a sum of squares of 1: so pictures share one kernel, and no variance has to be divided out afterwards.
    Noise comes only in training; in use its mean, none, stands for it.
    """

    def __init__(self, inputs: int, outputs: int, texture_dim: int, scale: float = ROOT2) -> None:
        super().__init__()
        self.style = Style(texture_dim, inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = scale

    def forward(self, x: Tensor, texture: Tensor) -> Tensor:  # (N, C, H, W), (N, T) -> (N, C', H', W')
        factors = self.style(texture)
        factors = factors * torch.rsqrt(factors.square().mean(dim=1, keepdim=True) + EPSILON)
        norm = torch.rsqrt(self.weight.square().sum(dim=(1, 2, 3), keepdim=True) + EPSILON)
        x = self.convolve(x * factors.to(x.dtype), self.weight * (norm * self.scale), self.bias * self.scale)
        return act(self.noisy(x))

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(x, weight, bias, padding=1)

    def noisy(self, x: Tensor) -> Tensor:
        """``x`` with one noise for all channels, as strong as learned."""
        if not self.training:
            return x
        return x + self.noise.to(x.dtype) * self.scale * torch.randn_like(x[:, :1])


class StyledUpConv(StyledConv):
    """The same, to twice the size: a transposed convolution, then a blur, which also adds the bias."""

    def __init__(self, inputs: int, outputs: int, texture_dim: int, scale: float = ROOT2) -> None:
        super().__init__(inputs, outputs, texture_dim, scale)
        self.blur = Blur(TAPS, 1, gain=4.0)  # three pixels of four were nothing

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), bias)


class StyledSame(nn.Module):
    """(N, C, H, W), (N, T) -> (N, C', H, W): the generator's residual block at the structure's size."""

    def __init__(self, inputs: int, outputs: int, texture_dim: int) -> None:
        super().__init__()
        self.conv1 = StyledConv(inputs, outputs, texture_dim)
        self.conv2 = StyledConv(outputs, outputs, texture_dim, scale=LATER)
        self.skip = Conv(inputs, outputs, 1, scale=UNIT_VARIANCE, bias=False)

    def forward(self, x: Tensor, texture: Tensor) -> Tensor:
        return self.conv2(self.conv1(x, texture), texture) + self.skip(x)


class StyledUp(nn.Module):
    """(N, C, H, W), (N, T) -> (N, C', 2H, 2W): the generator's residual block on the way to the picture.

    The shortcut is enlarged bilinearly; where widths differ, a 1×1 convolution with activation comes before.
    """

    def __init__(self, inputs: int, outputs: int, texture_dim: int) -> None:
        super().__init__()
        self.conv1 = StyledUpConv(inputs, outputs, texture_dim)
        self.conv2 = StyledConv(outputs, outputs, texture_dim, scale=LATER)
        self.skip = Lessen() if inputs == outputs else Active(Conv(inputs, outputs, 1, scale=LATER))

    def forward(self, x: Tensor, texture: Tensor) -> Tensor:
        h = self.conv2(self.conv1(x, texture), texture)
        return h + F.interpolate(self.skip(x), scale_factor=2.0, mode="bilinear", align_corners=False)


class Lessen(nn.Module):
    """A shortcut without weights: its input, times the 1/√2 of the sum."""

    def forward(self, x: Tensor) -> Tensor:
        return x * UNIT_VARIANCE


class ToRGB(nn.Module):
    """(N, C, H, W), (N, T) -> (N, 3, H, W): styled, but neither factors nor weights are normalised."""

    def __init__(self, inputs: int, texture_dim: int) -> None:
        super().__init__()
        self.style = Style(texture_dim, inputs)
        self.conv = Conv(inputs, 3, 1, scale=1.0)

    def forward(self, x: Tensor, texture: Tensor) -> Tensor:
        return self.conv(x * self.style(texture).to(x.dtype))
