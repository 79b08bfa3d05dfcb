"""The three networks of appendix A.1, table for table."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.core.types import Translator
from cluit.methods.cluit.config import CluitConfig
from cluit.nn.blocks import NormDown, NormSame, StyledSame, StyledUp, he_init
from cluit.nn.trunk import Head, Trunk, widths


class Critic(nn.Module):
    """One trunk, two branches: who made the picture, and what style it has."""

    def __init__(self, config: CluitConfig) -> None:
        super().__init__()
        self.trunk = Trunk(config.image_size, config.critic_width or config.width)
        self.realness_head = Head(self.trunk.channels, 1)
        self.contrast_head = Head(self.trunk.channels, config.contrast_dim)
        he_init(self)

    def realness(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, 1) logits, high for real."""
        return self.realness_head(self.trunk(images))

    def embed(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, D) unit vectors: the contrastive representation."""
        return self.embed_trunk(self.trunk(images))

    def embed_trunk(self, features: Tensor) -> Tensor:
        """(N, C, 4, 4) trunk features -> (N, D) unit vectors."""
        return F.normalize(self.contrast_head(features).float(), dim=1)

    def judge_both(self, seen: Tensor, styled: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, 1) of ``seen`` and representations (M, D) of ``styled``, through the trunk at once."""
        features = self.trunk(torch.cat([seen, styled]))
        return self.realness_head(features[: len(seen)]), self.embed_trunk(features[len(seen) :])


class StyleEncoder(nn.Module):
    """(N, 3, S, S) -> (N, style_dim)."""

    def __init__(self, config: CluitConfig) -> None:
        super().__init__()
        self.trunk = Trunk(config.image_size, config.width)
        self.head = Head(self.trunk.channels, config.style_dim)
        he_init(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.trunk(images))


class Generator(nn.Module):
    """Down with instance norm, through the middle, up with AdaIN; no norm before RGB, as in A.1's table."""

    def __init__(self, config: CluitConfig) -> None:
        super().__init__()
        channels = widths(config.width, max(2, int(math.log2(config.image_size)) - 4))
        middle, style = channels[-1], config.style_dim
        self.stem = nn.Conv2d(3, channels[0], 1)
        self.down = nn.ModuleList(map(NormDown, channels[:-1], channels[1:]))
        self.plain = nn.ModuleList(NormSame(middle) for _ in range(2))
        self.styled = nn.ModuleList(StyledSame(middle, style) for _ in range(2))
        self.up = nn.ModuleList(
            StyledUp(wide, slim, style) for wide, slim in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
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
        return self.rgb(x)


class CluitTranslator(Translator):
    """Generator and style encoder: all that is needed once training is over."""

    def __init__(self, config: CluitConfig) -> None:
        super().__init__()
        self.image_size = config.image_size
        self.generator = Generator(config)
        self.style_encoder = StyleEncoder(config)

    def encode_structure(self, source: Tensor) -> Tensor:
        return self.generator.encode(source)

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        return self.style_encoder(reference)

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return self.generator.decode(structure, style)
