"""The critics' and the encoder's layers: StyleGAN2's (Karras et al., 2020), each differentiable twice.

Weights begin as N(0, 1) and are multiplied by 1/√fan-in wherever they are used, so that Adam moves all layers
at one relative speed (equalised learning rate). The constants on a layer's output, √2 after an activation
and 1/√2 after a residual sum, are its ``scale``. They are multiplied into weight and bias, which are small
where pictures are large: leaky ReLU lets a positive factor through.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.nn.blocks import UNIT_VARIANCE, act

ROOT2 = math.sqrt(2)  # keeps a unit variance through the activation
LATER = 1.0  # √2 of the activation, times 1/√2 of the sum that follows
TAPS = (1, 3, 3, 1)


def pixels_first(x: Tensor) -> Tensor:
    """The same, its channels adjacent in memory: blurs and convolutions are several times as fast so."""
    return x.contiguous(memory_format=torch.channels_last)


class Equalized(nn.Module):
    """A weight N(0, 1) and a bias 0, used as ``scale``/√fan-in and ``scale`` times themselves."""

    def __init__(self, *shape: int, scale: float = 1.0, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None
        self.scale = scale
        self.gain = scale / math.sqrt(math.prod(shape[1:]))

    def scaled(self) -> tuple[Tensor, Tensor | None]:
        return self.weight * self.gain, None if self.bias is None else self.bias * self.scale


class Linear(Equalized):
    """(N, inputs) -> (N, outputs)."""

    def __init__(self, inputs: int, outputs: int, scale: float = 1.0) -> None:
        super().__init__(outputs, inputs, scale=scale)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, *self.scaled())


class Conv(Equalized):
    """(N, inputs, H, W) -> (N, outputs, H', W'). padding: zeros on each side; reflect: or reflections."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        reflect: bool = False,
        scale: float = ROOT2,
        bias: bool = True,
    ) -> None:
        super().__init__(outputs, inputs, kernel, kernel, scale=scale, bias=bias)
        self.reflect = nn.ReflectionPad2d(padding) if reflect else nn.Identity()
        self.padding = 0 if reflect else padding
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.reflect(x), *self.scaled(), stride=self.stride, padding=self.padding)


class Active(nn.Module):
    """A layer, then leaky ReLU."""

    def __init__(self, layer: Linear | Conv) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return act(self.layer(x))


class Blur(nn.Module):
    """Each channel filtered by the outer product of ``taps``, whose sum becomes ``gain``."""

    kernel: Tensor

    def __init__(
        self, taps: tuple[int, ...], padding: int, *, reflect: bool = False, gain: float = 1.0
    ) -> None:
        super().__init__()
        line = torch.tensor(taps, dtype=torch.float32) / sum(taps)
        self.register_buffer("kernel", gain * torch.outer(line, line)[None, None], persistent=False)
        self.reflect = nn.ReflectionPad2d(padding) if reflect else nn.Identity()
        self.padding = 0 if reflect else padding

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.expand(channels, -1, -1, -1)
        return F.conv2d(self.reflect(x), kernel, bias, padding=self.padding, groups=channels)


class Same(nn.Module):
    """(N, C, H, W) -> (N, C', H, W): the residual block of critics, its size kept."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Conv(inputs, inputs, 3, padding=1)
        self.conv2 = Conv(inputs, outputs, 3, padding=1, scale=LATER)
        self.skip = Conv(inputs, outputs, 1, scale=UNIT_VARIANCE, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return act(self.conv2(act(self.conv1(x)))) + self.skip(x)


class Down(nn.Module):
    """(N, C, H, W) -> (N, C', H/2, W/2): the residual block of critics and encoder; both ways blur first."""

    def __init__(
        self, inputs: int, outputs: int, taps: tuple[int, ...] = TAPS, reflect: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = Conv(inputs, inputs, 3, padding=1, reflect=reflect)
        self.blur = Blur(taps, 2, reflect=reflect)
        self.conv2 = Conv(inputs, outputs, 3, stride=2, scale=LATER)
        self.skip_blur = Blur(taps, 1, reflect=reflect)
        self.skip = Conv(inputs, outputs, 1, stride=2, scale=UNIT_VARIANCE, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = act(self.conv2(self.blur(act(self.conv1(x)))))
        return h + self.skip(self.skip_blur(x))
