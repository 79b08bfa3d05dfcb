"""Residual networks for recognition (He, Zhang, Ren and Sun, "Deep residual learning", CVPR 2016, table 1).

Two habits are later than the paper and common since: a bottleneck halves the picture in its 3×3 convolution
rather than in the 1×1 before it, so that no pixel is passed over, and every branch starts as zero by the
scale of its last batch norm (Goyal et al. 2017, section 5.1). Neither changes the number of weights.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

LEAST_SIDE = 4  # of the last stage: a smaller one would be mostly padding


class Conv(nn.Module):
    """Convolution without bias, then batch norm; the size is kept, or divided by ``stride``.

    A 1×1 convolution that passes over pixels is given the others alone: as a strided one its gradient writes
    beyond its memory on CPUs with AVX2 alone, where channels come last and are fewer than eight (oneDNN in
    PyTorch 2.13).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.thinned, stride = (stride, 1) if kernel == 1 else (1, stride)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x[..., :: self.thinned, :: self.thinned]))


class Residual(nn.Module):
    """(N, C, H, W) -> (N, C', H/stride, W/stride): relu(branch(x) + shortcut(x)).

    widths: channels from the input to the output of the branch's convolutions. The shortcut is the identity
    where shapes agree, else a 1×1 projection (the paper's option B).
    """

    def __init__(self, widths: Sequence[int], kernels: Sequence[int], stride: int) -> None:
        super().__init__()
        strides = [1] * len(kernels)
        strides[kernels.index(3)] = stride
        first, *others = (
            Conv(*ends, kernel, step)
            for ends, kernel, step in zip(pairwise(widths), kernels, strides, strict=True)
        )
        self.branch = nn.Sequential(first, *(part for conv in others for part in (nn.ReLU(), conv)))
        nn.init.zeros_(others[-1].norm.weight)
        same = widths[0] == widths[-1] and stride == 1
        self.shortcut = nn.Identity() if same else Conv(widths[0], widths[-1], 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.shortcut(x))


class Basic(Residual):
    """Two 3×3 convolutions: the block of depths 18 and 34."""

    EXPANSION = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__((inputs, width, width), (3, 3), stride)


class Bottleneck(Residual):
    """1×1 down to ``width``, 3×3, 1×1 up to four times ``width``: the block of depth 50."""

    EXPANSION = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__((inputs, width, width, 4 * width), (1, 3, 1), stride)


DEPTHS: dict[int, tuple[type[Basic] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (Basic, (2, 2, 2, 2)),
    34: (Basic, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}
"""The block and how many of them in each of the four stages."""


def fitting_stride(image_size: int) -> int:
    """The stem's stride that leaves the last stage, an eighth of what the stem gives, at least 4×4 pixels.

    1 below 64 px, 2 below 128 px, else the paper's 4: at 32, 64 and 128 px the last stage has 4×4 pixels.
    """
    return next((stride for stride in (4, 2) if image_size // (8 * stride) >= LEAST_SIDE), 1)


def stem(width: int, stride: int) -> nn.Module:
    """From RGB to ``width`` channels, at 1/``stride`` of the size.

    4: the paper's for ImageNet, a 7×7 convolution and 3×3 max pooling, each with stride 2. 1 or 2: one 3×3
    convolution with that stride, as the paper has it for small pictures (section 4.2, with stride 1).
    """
    if stride == 4:
        return nn.Sequential(Conv(3, width, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
    return nn.Sequential(Conv(3, width, 3, stride), nn.ReLU())


class ResNet(nn.Module):
    """(N, 3, H, W) -> (N, outputs), whatever the size.

    depth: 18, 34 or 50. width: channels of the first stage, doubled with each of the other three; the paper's
    64 with the stride 4 and 1000 outputs gives the published network. stride: of the stem, see `stem`.
    """

    def __init__(self, depth: int = 50, width: int = 64, stride: int = 4, outputs: int = 1000) -> None:
        if depth not in DEPTHS or width < 1 or stride not in (1, 2, 4) or outputs < 1:
            raise ValueError(
                f"a residual network has a depth of {', '.join(map(str, DEPTHS))}, a width and outputs of at "
                f"least 1 and a stride of 1, 2 or 4, got {depth}, {width}, {outputs} and {stride}"
            )
        super().__init__()
        block, counts = DEPTHS[depth]
        self.stem = stem(width, stride)
        blocks, inputs = list[nn.Module](), width
        for stage, count in enumerate(counts):
            for i in range(count):
                blocks.append(block(inputs, width << stage, 2 if stage and not i else 1))
                inputs = (width << stage) * block.EXPANSION
        self.blocks = nn.Sequential(*blocks)
        self.dim = inputs
        self.linear = nn.Linear(inputs, outputs)
        self.apply(start)

    def features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, dim): what the last, linear layer sees, a mean over the picture."""
        return self.blocks(self.stem(x)).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))


def start(layer: nn.Module) -> None:
    """First weights: He et al. 2015 (fan-out) in convolutions, none in the last layer."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(layer, nn.Linear):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
