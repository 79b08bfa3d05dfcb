"""Encoder, generator, and the critics of whole pictures and of patches.

Channels are given as at width 64; `SwapAEConfig.channels` says how many they are at another.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.core.types import Translator
from cluit.methods.swapae.config import SwapAEConfig
from cluit.methods.swapae.layers import ROOT2, Active, Conv, Down, Linear, Same, pixels_first
from cluit.methods.swapae.styled import Style, StyledSame, StyledUp, ToRGB

PATCH_WIDTHS = (32, 64, 128, 256, 384, 384)


def halvings(larger: int, smaller: int) -> int:
    """How often ``larger`` is halved to become ``smaller``; both are powers of two."""
    return larger.bit_length() - smaller.bit_length()


def unit(code: Tensor) -> Tensor:
    """(N, C, ...) brought to unit length over its channels, in float32."""
    return F.normalize(code.float(), dim=1)


class Encoder(nn.Module):
    """(N, 3, S, S) -> structure (N, 8, s, s), of unit length in every place, and unit texture (N, T).

    512 channels at the structure's size, half as many with each doubling of the size, but no less than 32.
    """

    def __init__(self, config: SwapAEConfig) -> None:
        super().__init__()
        levels = halvings(config.image_size, config.structure_side)
        widths = [config.channels(max(32, 512 >> level)) for level in range(levels, -1, -1)]
        inside, wider, texture = (config.channels(published) for published in (512, 1024, 2048))
        self.stem = Active(Conv(3, widths[0], 1))
        self.down = nn.Sequential(*(Down(*ends, taps=(1, 2, 1), reflect=True) for ends in pairwise(widths)))
        self.structure = nn.Sequential(
            Active(Conv(inside, inside, 1)), Conv(inside, config.structure_channels, 1, scale=1.0)
        )
        self.texture = nn.Sequential(
            Active(Conv(inside, wider, 3, stride=2)), Active(Conv(wider, texture, 3, stride=2))
        )
        self.texture_code = Linear(texture, texture)

    def trunk(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, C, s, s): what both codes are read from."""
        return self.down(self.stem(pixels_first(images)))

    def structure_of(self, features: Tensor) -> Tensor:
        return unit(self.structure(features))

    def texture_of(self, features: Tensor) -> Tensor:
        return unit(self.texture_code(self.texture(features).mean(dim=(2, 3))))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(images)
        return self.structure_of(features), self.texture_of(features)


class Generator(nn.Module):
    """(N, 8, s, s) structure, (N, T) texture -> (N, 3, S, S).

    128 channels at the picture's size, twice as many with each halving of it, but no more than 512.
    """

    def __init__(self, config: SwapAEConfig) -> None:
        super().__init__()
        levels = halvings(config.image_size, config.structure_side)
        widths = [config.channels(min(512, 128 << level)) for level in range(levels, -1, -1)]
        half, texture = max(1, widths[0] // 2), config.channels(2048)
        self.factor = Style(texture, config.structure_channels)
        self.shift = Style(texture, config.structure_channels, start=0.0)
        self.base = nn.ModuleList(
            [StyledSame(config.structure_channels, half, texture), StyledSame(half, widths[0], texture)]
        )
        self.up = nn.ModuleList(StyledUp(*ends, texture) for ends in pairwise(widths))
        self.rgb = ToRGB(widths[-1], texture)

    def forward(self, structure: Tensor, texture: Tensor) -> Tensor:
        x = pixels_first(torch.addcmul(self.shift(texture), self.factor(texture), structure))
        for block in (*self.base, *self.up):
            x = block(x, texture)
        return self.rgb(x, texture)


class Critic(nn.Module):
    """(N, 3, S, S) -> (N, 1) logits, high for real pictures.

    256 channels at up to 128 px, half as many with each doubling of a larger picture, 512 after the first
    halving from 128 px on. No statistics over the batch, so pictures of several kinds share one pass.
    """

    def __init__(self, config: SwapAEConfig) -> None:
        super().__init__()
        levels = halvings(config.image_size, 4)
        first = min(256, 256 * 128 // config.image_size)
        widths = [config.channels(min(512, first << level)) for level in range(levels + 1)]
        inside = widths[-1]
        self.stem = Active(Conv(3, widths[0], 1))
        self.blocks = nn.Sequential(*(Down(*ends) for ends in pairwise(widths)))
        self.conv = Active(Conv(inside, inside, 3, padding=1))
        self.head = nn.Sequential(Active(Linear(16 * inside, inside, ROOT2)), Linear(inside, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.conv(self.blocks(self.stem(pixels_first(images)))).flatten(1))


class PatchCritic(nn.Module):
    """Whether target patches have the texture of a reference's patches (co-occurrence statistics)."""

    def __init__(self, config: SwapAEConfig) -> None:
        super().__init__()
        levels = halvings(config.patch_side, 4)
        widths = [config.channels(published) for published in PATCH_WIDTHS[: levels + 1]]
        wide, slim = config.channels(768), config.channels(384)
        first, second = config.channels(2048), config.channels(1024)
        self.stem = Active(Conv(3, widths[0], 3, padding=1))
        self.blocks = nn.Sequential(*(Down(*ends) for ends in pairwise(widths)))
        self.last = nn.Sequential(Same(widths[-1], wide), Active(Conv(wide, slim, 3)), nn.Flatten())
        self.pair = nn.Sequential(
            Active(Linear(2 * 4 * slim, first, ROOT2)),
            Active(Linear(first, first, ROOT2)),
            Active(Linear(first, second, ROOT2)),
            Linear(second, 1),
        )

    def embed(self, patches: Tensor) -> Tensor:
        """(N, K, 3, P, P) -> (N, K, F) features of K patches of each of N pictures."""
        features = self.last(self.blocks(self.stem(pixels_first(patches.flatten(0, 1)))))
        return features.unflatten(0, patches.shape[:2])

    def compare(self, reference: Tensor, target: Tensor) -> Tensor:
        """(N, K, F), (N, L, F) features -> (N, L) logits, high where one picture's.

        Each target patch is held against the mean of its reference's.
        """
        mean = reference.mean(dim=1, keepdim=True).expand(-1, target.shape[1], -1)
        return self.pair(torch.cat([mean, target], dim=2)).squeeze(2)


class SwapAETranslator(Translator):
    """Encoder and generator: all that is needed once training is over. The style is the texture code."""

    def __init__(self, config: SwapAEConfig) -> None:
        super().__init__()
        self.image_size = config.image_size
        self.encoder = Encoder(config)
        self.generator = Generator(config)

    def encode_structure(self, source: Tensor) -> Tensor:
        return self.encoder.structure_of(self.encoder.trunk(source))

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        return self.encoder.texture_of(self.encoder.trunk(reference))

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return self.generator(structure, style)
