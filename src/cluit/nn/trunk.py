"""From a picture down to 4×4, and from there to a vector: what critics and style encoders are made of."""

import math

from torch import Tensor, nn

from cluit.nn.blocks import Down, act, act_

WIDEST = 8  # no layer is wider than 8 times the first (the paper's 64 and 512)


def widths(width: int, halvings: int) -> list[int]:
    """Channels at each level: ``width`` doubles with every halving, up to 8 times itself."""
    return [width * min(2**level, WIDEST) for level in range(halvings + 1)]


class Trunk(nn.Module):
    """(N, 3, S, S) -> (N, C, 4, 4): a 1×1 convolution and log2(S) − 2 residual blocks, without norm."""

    def __init__(self, image_size: int, width: int) -> None:
        super().__init__()
        channels = widths(width, int(math.log2(image_size)) - 2)
        self.stem = nn.Conv2d(3, channels[0], 1)
        self.blocks = nn.Sequential(*map(Down, channels[:-1], channels[1:]))
        self.channels = channels[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x))


class Head(nn.Module):
    """(N, C, 4, 4) -> (N, outputs): LReLU, 4×4 convolution, LReLU, linear."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 4)
        self.linear = nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(act_(self.conv(act(x))).flatten(1))
