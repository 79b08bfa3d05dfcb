"""The settings of the Swapping Autoencoder, at the published values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluit.core.config import MethodConfig

if TYPE_CHECKING:
    from cluit.methods.swapae.networks import SwapAETranslator
    from cluit.methods.swapae.step import SwapAE


@dataclass(frozen=True, kw_only=True)
class SwapAEConfig(MethodConfig):
    """Every number that the Swapping Autoencoder's networks and losses depend on."""

    structure_side: int = 8
    """Height and width of a structure code; the published network's is a sixteenth of the picture's."""
    structure_channels: int = 8
    """Numbers in each place of a structure code, whatever the width."""
    crops: int = 8
    """Patches of each picture that the patch critic sees together."""
    crop_min: float = 0.125
    """Smallest side of a patch, as a fraction of the picture's."""
    crop_max: float = 0.25
    """Largest side of a patch, as a fraction of the picture's."""

    flip: bool = True
    """Learn from each picture's mirror image as often as from itself."""
    reconstruction_weight: float = 1.0
    """λ of the L1 distance between a picture and its reconstruction."""
    realism_weight: float = 1.0
    """λ of the game with the critic of whole pictures."""
    patch_weight: float = 1.0
    """λ of the game with the critic of patches."""
    r1_gamma: float = 10.0
    """γ of R1 on the critic of whole pictures, (γ/2)·E‖∇D‖²."""
    patch_r1_gamma: float = 1.0
    """γ of R1 on the critic of patches, whose ‖∇D‖² is the mean of those at reference and target."""
    r1_interval: int = 16
    """Turns of the critics from one R1 to the next, whose strength is multiplied by as much."""

    learning_rate: float = 2e-3
    """Of Adam; the critics' is multiplied by r1_interval / (r1_interval + 1)."""
    beta1: float = 0.0
    """Adam's first moment; the critics' is raised to that power."""
    beta2: float = 0.99
    """Adam's second moment; the critics' is raised to that power."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "structure_channels", "crops", "r1_interval")
        sides = [8 << level for level in range(self.image_size.bit_length() - 4)]
        if self.structure_side not in sides:
            raise ValueError(
                f"structure_side must be {' or '.join(map(str, sides))} at {self.image_size} px, "
                f"got {self.structure_side}"
            )
        if not 0 < self.crop_min <= self.crop_max <= 1:
            raise ValueError(
                f"crop_min and crop_max must satisfy 0 < crop_min <= crop_max <= 1, "
                f"got {self.crop_min} and {self.crop_max}"
            )
        self.at_least(0, "reconstruction_weight", "realism_weight", "patch_weight")
        self.at_least(0, "r1_gamma", "patch_r1_gamma")
        self.positive("learning_rate")
        self.fraction("beta1", "beta2")

    @property
    def patch_side(self) -> int:
        """Pixels that a side of a patch is resampled to."""
        return min(self.image_size, 128)

    def channels(self, published: int) -> int:
        """How many channels a layer has here that has ``published`` at width 64."""
        return max(1, published * self.width // 64)

    def build(self) -> SwapAE:
        from cluit.methods.swapae.step import SwapAE

        return SwapAE(self)

    def build_translator(self) -> SwapAETranslator:
        from cluit.methods.swapae.networks import SwapAETranslator

        return SwapAETranslator(self)
