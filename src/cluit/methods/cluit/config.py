"""The settings of CLUIT, at the paper's values where the paper states them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from cluit.core.config import MethodConfig

if TYPE_CHECKING:
    from cluit.methods.cluit.networks import CluitTranslator
    from cluit.methods.cluit.plain import PlainCluit
    from cluit.methods.cluit.step import Cluit


@dataclass(frozen=True, kw_only=True)
class CluitConfig(MethodConfig):
    """Every number that CLUIT's networks and losses depend on."""

    critic_width: int | None = None
    """The same for the critic alone; the default is `width`."""
    style_dim: int = 128
    """Numbers in a style code (appendix A.1)."""
    contrast_dim: int = 256
    """Numbers in a contrastive representation (appendix A.1)."""

    temperature: float = 0.07
    """Of both contrastive losses (appendix A.2)."""
    queue_size: int = 2048
    """Keys that the memory bank holds, over all processes (appendix A.2)."""
    patches: int = 4
    """Patches whose mean representation is matched (Eq. 5, Table 3); 0 matches the full image (Eq. 4)."""
    crop_min: float = 0.125
    """Smallest side of a random crop, as a fraction of the picture's (Table 2)."""
    crop_max: float = 1.0
    """Largest side of a random crop, as a fraction of the picture's (Table 2)."""
    crop_by: Literal["side", "area"] = "side"
    """Whether the crop's fraction is drawn evenly in its side or in its area."""
    augmentation: Literal["color", "color+affine"] = "color+affine"
    """What else changes in the keys' views, beside crop and flip: the two sets of Table 2."""
    view_reference: bool = False
    """Show the style encoder views, so that no code holds a place, size or side (not in the paper)."""

    contrast_weight: float = 1.0
    """λ of the critic's contrastive loss (Eq. 1)."""
    style_weight: float = 1.0
    """λ of the style match (Eq. 4 and 5)."""
    cycle_weight: float = 1.0
    """λ of the cycle consistency (Eq. 3)."""
    cycle_weight_start: float | None = None
    """Where the cycle's λ begins before it moves to its value; by default it begins there."""
    cycle_noise: float = 0.0
    """Deviation of noise on the fake before its way back: so it hides no faint code (not in the paper)."""
    critic_noise: float = 0.0
    """Deviation of noise on all that the critic sees: faint patterns are no style (not in the paper)."""
    equivariance_weight: float = 0.0
    """λ of equivariance: a deformed source gives the deformed fake (not in the paper)."""
    reconstruction_weight_start: float = 0.0
    """λ of self-reconstruction at step 0, from where it falls to nothing (not in the paper)."""
    settle_steps: int = 2000
    """Steps over which the two starting weights give way."""
    r1_gamma: float = 10.0
    """γ of R1, (γ/2)·E‖∇D‖²; 10 for AFHQ and 1 for CelebA are inferred."""
    r1_interval: int = 16
    """Steps from one R1 to the next, whose strength is multiplied by as much (lazy regularisation)."""

    learning_rate: float = 1e-4
    """Of Adam, for every network."""
    beta1: float = 0.0
    """Adam's first moment."""
    beta2: float = 0.99
    """Adam's second moment."""
    average_decay: float = 0.999
    """Of the moving average of every network (appendix A.2)."""

    has_plain: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "style_dim", "contrast_dim", "queue_size", "r1_interval", "settle_steps")
        if self.critic_width is not None:
            self.at_least(1, "critic_width")
        self.positive("temperature", "learning_rate")
        self.at_least(0, "contrast_weight", "style_weight", "cycle_weight", "reconstruction_weight_start")
        self.at_least(0, "r1_gamma", "equivariance_weight", "cycle_noise", "critic_noise", "patches")
        if self.cycle_weight_start is not None:
            self.at_least(0, "cycle_weight_start")
        if not 0 < self.crop_min <= self.crop_max <= 1:
            raise ValueError(
                f"crop_min and crop_max must satisfy 0 < crop_min <= crop_max <= 1, "
                f"got {self.crop_min} and {self.crop_max}"
            )
        self.fraction("beta1", "beta2", "average_decay")
        for name, choices in (("crop_by", ("side", "area")), ("augmentation", ("color", "color+affine"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be {' or '.join(choices)}, got {getattr(self, name)!r}")

    def build(self) -> Cluit:
        from cluit.methods.cluit.step import Cluit

        return Cluit(self)

    def build_plain(self) -> PlainCluit:
        from cluit.methods.cluit.plain import PlainCluit

        return PlainCluit(self)

    def build_translator(self) -> CluitTranslator:
        from cluit.methods.cluit.networks import CluitTranslator

        return CluitTranslator(self)
