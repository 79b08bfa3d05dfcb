"""The four networks of the paper's appendix: generator, mapping network, style encoder, critic."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from cluit.core.errors import UserError
from cluit.core.types import Translator
from cluit.methods.starganv2.config import StarGANv2Config
from cluit.nn.blocks import SLOPE, Down, NormSame, StyledSame, StyledUp, act, act_, he_init, united
from cluit.nn.norm import instance_norm
from cluit.nn.resample import halve
from cluit.nn.trunk import WIDEST

PIXELS = 2**14  # the first layer's channels times the picture's side, at width 64
MOST = 128  # channels of the first layer at width 64, whatever the size: those at 128 px


def widths(config: StarGANv2Config, halvings: int) -> list[int]:
    """Channels at each level: the first has 2¹⁴ / size, those doubled with every halving, up to 512.

    All of these at width 64, and in proportion to the width. Below 128 px the first stays at 128.
    """
    first = max(1, min(PIXELS // config.image_size, MOST) * config.width // 64)
    return [min(first * 2**level, WIDEST * config.width) for level in range(halvings + 1)]


def of_domain(answers: Tensor, domain: Tensor) -> Tensor:
    """(N, K, S) answers of K heads, (N,) the head that each row asks for -> (N, S)."""
    return answers.gather(1, domain[:, None, None].expand(-1, 1, answers.shape[2])).squeeze(1)


class InstanceNorm(nn.Module):
    """weight · IN(x) + bias, one learned pair for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor, slope: float = 1.0) -> Tensor:
        """(N, C, H, W) -> the same; slope: of a leaky ReLU that follows, 1 for none."""
        return instance_norm(x, self.weight, self.bias, slope)


class AffineDown(Down):
    """(N, C, H, W) -> (N, C', H/2, W/2), with affine instance norm: the generator's way in."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.norm1, self.norm2 = InstanceNorm(inputs), InstanceNorm(inputs)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x, SLOPE))
        h = self.conv2(self.norm2(h, SLOPE))
        return united(h, self.skip(halve(x)))


class AffineSame(NormSame):
    """(N, C, H, W) -> the same, with affine instance norm: the generator's middle, before the style."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.norm1, self.norm2 = InstanceNorm(channels), InstanceNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x, SLOPE))
        h = self.conv2(self.norm2(h, SLOPE))
        return united(h, x)


class Generator(nn.Module):
    """G: down with instance norm, through the middle, up with AdaIN; norm, LReLU and 1×1 to RGB."""

    def __init__(self, config: StarGANv2Config) -> None:
        super().__init__()
        channels = widths(config, max(2, int(math.log2(config.image_size)) - 4))
        middle, style = channels[-1], config.style_dim
        self.stem = nn.Conv2d(3, channels[0], 3, padding=1)
        self.down = nn.ModuleList(map(AffineDown, channels[:-1], channels[1:]))
        self.plain = nn.ModuleList(AffineSame(middle) for _ in range(2))
        self.styled = nn.ModuleList(StyledSame(middle, style) for _ in range(2))
        self.up = nn.ModuleList(
            StyledUp(wide, slim, style) for wide, slim in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.norm = InstanceNorm(channels[0])
        self.rgb = nn.Conv2d(channels[0], 3, 1)
        he_init(self)

    def encode(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, C, s, s): what is kept of a source."""
        x = self.stem(x)
        for block in (*self.down, *self.plain):
            x = block(x)
        return x

    def decode(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, C, s, s), (N, style_dim) -> (N, 3, S, S)."""
        for block in (*self.styled, *self.up):
            x = block(x, style)
        return self.rgb(self.norm(x, SLOPE))


def dense(inputs: int, outputs: int, count: int) -> list[nn.Module]:
    """``count`` linear layers, each with its ReLU."""
    sizes = [inputs, *[outputs] * count]
    return [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU(inplace=True))]


class MappingNetwork(nn.Module):
    """F: (N, latent_dim) and (N,) domains -> (N, style_dim). Four shared layers, four of each domain."""

    def __init__(self, config: StarGANv2Config) -> None:
        super().__init__()
        hidden = WIDEST * config.width
        self.shared = nn.Sequential(*dense(config.latent_dim, hidden, 4))
        self.heads = nn.ModuleList(
            nn.Sequential(*dense(hidden, hidden, 3), nn.Linear(hidden, config.style_dim))
            for _ in config.domains
        )
        he_init(self)

    def forward(self, latent: Tensor, domain: Tensor) -> Tensor:
        h = self.shared(latent)
        return of_domain(torch.stack([head(h) for head in self.heads], dim=1), domain)


class Trunk(nn.Module):
    """(N, 3, S, S) -> (N, C): 3×3 convolution, residual blocks down to 4×4, LReLU, 4×4 convolution, LReLU."""

    def __init__(self, config: StarGANv2Config) -> None:
        super().__init__()
        channels = widths(config, int(math.log2(config.image_size)) - 2)
        self.channels = channels[-1]
        self.stem = nn.Conv2d(3, channels[0], 3, padding=1)
        self.blocks = nn.Sequential(*map(Down, channels[:-1], channels[1:]))
        self.conv = nn.Conv2d(self.channels, self.channels, 4)

    def forward(self, x: Tensor) -> Tensor:
        return act_(self.conv(act(self.blocks(self.stem(x))))).flatten(1)


class StyleEncoder(nn.Module):
    """E: (N, 3, S, S) and (N,) domains -> (N, style_dim). One linear layer holds the heads of all domains."""

    def __init__(self, config: StarGANv2Config) -> None:
        super().__init__()
        self.trunk = Trunk(config)
        self.domains = len(config.domains)
        self.heads = nn.Linear(self.trunk.channels, self.domains * config.style_dim)
        he_init(self)

    def forward(self, images: Tensor, domain: Tensor) -> Tensor:
        return of_domain(self.heads(self.trunk(images)).unflatten(1, (self.domains, -1)), domain)


class Critic(nn.Module):
    """D: (N, 3, S, S) and (N,) domains -> (N, 1) logits, high for real pictures of that domain."""

    def __init__(self, config: StarGANv2Config) -> None:
        super().__init__()
        self.trunk = Trunk(config)
        self.heads = nn.Linear(self.trunk.channels, len(config.domains))
        he_init(self)

    def forward(self, images: Tensor, domain: Tensor) -> Tensor:
        return of_domain(self.heads(self.trunk(images))[:, :, None], domain)


class StarGANv2Translator(Translator):
    """Generator, mapping network and style encoder: all that is needed once training is over.

    A `StyleSampler`. Whoever asks for a style has to say of which domain.
    """

    def __init__(self, config: StarGANv2Config) -> None:
        super().__init__()
        self.image_size = config.image_size
        self.latent_dim = config.latent_dim
        self.domains = config.domains
        self.generator = Generator(config)
        self.mapping = MappingNetwork(config)
        self.style_encoder = StyleEncoder(config)

    def encode_structure(self, source: Tensor) -> Tensor:
        return self.generator.encode(source)

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        """UserError where no domain is given: the encoder has a head for each."""
        if domain is None:
            raise UserError(
                f"the model tells apart the domains {', '.join(self.domains)}; say of which one each "
                "reference is"
            )
        return self.style_encoder(reference, domain)

    def sample_style(self, latent: Tensor, domain: Tensor) -> Tensor:
        return self.mapping(latent, domain)

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return self.generator.decode(structure, style)
