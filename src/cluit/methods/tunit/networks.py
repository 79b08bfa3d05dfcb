"""The guiding network, the generator and the multi-task critic."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from torch import Tensor, nn

from cluit.core.types import Translator
from cluit.methods.tunit.config import TunitConfig
from cluit.nn.batch_norm import BatchNorm2d
from cluit.nn.blocks import act, act_, shortcut, united
from cluit.nn.filter_response import FilterResponseNorm
from cluit.nn.norm import instance_norm
from cluit.nn.resample import HalvingConv, double, halve

GROUPS = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # of VGG11's convolutions: widths in units of the first
CRITIC_WIDEST = 16  # no layer of the critic is wider than 16 times the first (the paper's 64 and 1024)
RESIDUAL = 0.1  # how much of each residual branch the generator adds


class Guide(nn.Module):
    """VGG11 with batch norm (Simonyan and Zisserman, 2015) and two linear heads on its mean features."""

    def __init__(self, config: TunitConfig) -> None:
        super().__init__()
        layers, inputs = list[nn.Module](), 3
        for group in GROUPS:
            for outputs in (config.width * multiple for multiple in group):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.trunk = nn.Sequential(*layers)
        self.cluster_head = nn.Linear(inputs, config.clusters)
        self.style_head = nn.Linear(inputs, config.style_dim)
        self.apply(start_guide)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) -> cluster logits (N, K), style codes (N, style_dim), which have any length."""
        features = self.trunk(images).mean(dim=(2, 3))
        return self.cluster_head(features), self.style_head(features)


@contextmanager
def unrecorded(network: nn.Module) -> Iterator[None]:
    """Inside, batch norm goes by its batch and keeps no trace of it: for pictures that are not met in use."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


class Reflected(nn.Conv2d):
    """Convolution of stride 1 that keeps the size; beyond the edge lies the reflection."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")


class Residual(nn.Module):
    """(N, C, H, W) -> the same, with instance norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Reflected(channels, channels, 3)
        self.conv2 = Reflected(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = instance_norm(self.conv1(x), slope=0)
        return x + RESIDUAL * instance_norm(self.conv2(h))


def styled(x: Tensor, style: Tensor, slope: float = 1.0) -> Tensor:
    """AdaIN: (N, C, H, W), (N, 2C) -> scale · IN(x) + bias, where the style's first half are the biases.

    slope: of a leaky ReLU that follows; 0 for ReLU, 1 for none.
    """
    bias, scale = style[:, :, None, None].chunk(2, dim=1)
    return instance_norm(x, scale, bias, slope)


class Encoder(nn.Module):
    """(N, 3, S, S) -> (N, C, s, s): the structure of a source."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.stem = Reflected(3, channels[0], 7)
        self.down = nn.ModuleList(
            nn.Conv2d(slim, wide, 4, stride=2, padding=1, padding_mode="reflect")
            for slim, wide in pairwise(channels)
        )
        self.blocks = nn.Sequential(*(Residual(channels[-1]) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.stem, *self.down):
            x = instance_norm(conv(x), slope=0)
        return self.blocks(x)


class Decoder(nn.Module):
    """(N, C, s, s) and the parameters of every AdaIN -> (N, 3, S, S) in [-1, 1]."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        middle = channels[-1]
        self.blocks = nn.ModuleList(Residual(middle) for _ in range(2))
        self.up = nn.ModuleList(
            Reflected(wide, slim, 5) for wide, slim in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.rgb = Reflected(channels[0], 3, 7)
        self.styled_widths = [middle] * 4 + channels[-2::-1]

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:  # styles: (N, 2 · the sum of styled_widths)
        affine = iter(styles.split([2 * width for width in self.styled_widths], dim=1))
        for block in self.blocks:
            assert isinstance(block, Residual)
            h = styled(block.conv1(x), next(affine), 0)
            x = x + RESIDUAL * styled(block.conv2(h), next(affine))
        for conv in self.up:
            x = styled(conv(double(x)), next(affine), 0)
        return self.rgb(x).tanh()


class Generator(nn.Module):
    """Structure from the source, and a decoder whose every norm is set by the style."""

    def __init__(self, config: TunitConfig) -> None:
        super().__init__()
        halvings = max(2, int(math.log2(config.image_size)) - 4)
        channels = [stem_width(config) << level for level in range(halvings + 1)]
        hidden = 4 * config.width
        self.encoder = Encoder(channels)
        self.decoder = Decoder(channels)
        self.mlp = nn.Sequential(
            nn.Linear(config.style_dim, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * sum(self.decoder.styled_widths)),
        )
        self.apply(start)

    def encode(self, source: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, C, s, s)."""
        return self.encoder(source)

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        """(N, C, s, s), (N, style_dim) -> (N, 3, S, S)."""
        return self.decoder(structure, self.mlp(style))


class Same(nn.Module):
    """(N, C, H, W) -> the same: a residual block of the critic."""

    def __init__(self, inputs: int, outputs: int, conv1: nn.Conv2d | None = None) -> None:
        super().__init__()
        self.norm1 = FilterResponseNorm(inputs)
        self.conv1 = conv1 or nn.Conv2d(inputs, inputs, 3, padding=1)
        self.norm2 = FilterResponseNorm(inputs)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = shortcut(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.norm2(self.conv1(self.norm1(x))))
        return united(h, self.skip(x))


class Down(Same):
    """(N, C, H, W) -> (N, C', H/2, W/2). The shortcut pools first: its convolution commutes with that."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, HalvingConv(inputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.norm2(self.conv1(self.norm1(x))))
        return united(h, self.skip(halve(x)))


class Critic(nn.Module):
    """Real or fake, by a logit for each cluster, of which a picture is asked the one of its own."""

    def __init__(self, config: TunitConfig) -> None:
        super().__init__()
        halvings, first = int(math.log2(config.image_size)) - 2, stem_width(config)
        most = CRITIC_WIDEST * config.width
        channels = [min(first << level, most) for level in range(halvings + 1)]
        last = channels[-1]
        self.stem = nn.Conv2d(3, first, 3, padding=1)
        self.blocks = nn.Sequential(
            *(block for a, b in pairwise(channels) for block in (Same(a, a), Down(a, b)))
        )
        self.conv = nn.Conv2d(last, last, 4)
        self.logits = nn.Conv2d(last, config.clusters, 1)
        self.apply(start)

    def forward(self, images: Tensor, cluster: Tensor) -> Tensor:
        """(N, 3, S, S), (N,) long -> (N, 1) logits, high for a real picture of its ``cluster``."""
        h = self.conv(act(self.blocks(self.stem(images))))
        return self.logits(act_(h)).flatten(1).gather(1, cluster[:, None])


class TunitTranslator(Translator):
    """Generator and guiding network: all that is needed once training is over. Also a `ClusterAssigner`."""

    def __init__(self, config: TunitConfig) -> None:
        super().__init__()
        self.image_size = config.image_size
        self.clusters = config.clusters
        self.generator = Generator(config)
        self.guide = Guide(config)

    def encode_structure(self, source: Tensor) -> Tensor:
        return self.generator.encode(source)

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        return self.guide(reference)[1]

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return self.generator.decode(structure, style)

    def assign(self, images: Tensor) -> Tensor:
        return self.guide(images)[0]


def stem_width(config: TunitConfig) -> int:
    """Of generator and critic: the paper halves it with every doubling of the size beyond 128 px."""
    return max(1, config.width * 128 // max(128, config.image_size))


def start(layer: nn.Module) -> None:
    """First weights of generator and critic: He et al. 2015 (fan-in), biases zero."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def start_guide(layer: nn.Module) -> None:
    """First weights of the guide: He et al. 2015 (fan-out) in convolutions, N(0, 0.01²) in the two heads."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.01)
    if isinstance(layer, nn.Conv2d | nn.Linear):
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
