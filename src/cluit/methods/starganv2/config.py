"""The settings of StarGAN v2, at the published values for AFHQ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cluit.core.config import MethodConfig

if TYPE_CHECKING:
    from cluit.methods.starganv2.networks import StarGANv2Translator
    from cluit.methods.starganv2.step import StarGANv2


@dataclass(frozen=True, kw_only=True)
class StarGANv2Config(MethodConfig):
    """Every number that StarGAN v2's networks and losses depend on."""

    domains: tuple[str, ...] = ()
    """Names of the classes that it translates between; by default those of the data."""
    latent_dim: int = 16
    """Numbers in a latent code, from which the mapping network makes a style."""
    style_dim: int = 64
    """Numbers in a style code."""

    style_weight: float = 1.0
    """λ of the style reconstruction (Eq. 2)."""
    cycle_weight: float = 1.0
    """λ of the cycle consistency (Eq. 4)."""
    diversity_weight: float = 2.0
    """λ of the style diversification (Eq. 3) at step 0; 2 for AFHQ, 1 for CelebA-HQ."""
    diversity_steps: int = 100_000
    """Steps over which the diversity's λ falls, in a straight line, to nothing."""
    r1_gamma: float = 1.0
    """γ of R1, (γ/2)·E‖∇D‖², at every turn of the critic."""
    crop_share: float = 0.5
    """Probability that a picture is cropped to 0.8 to 1 of its area; half of all pictures are mirrored."""

    learning_rate: float = 1e-4
    """Of Adam, for every network but the mapping."""
    mapping_learning_rate: float = 1e-6
    """Of Adam, for the mapping network."""
    beta1: float = 0.0
    """Adam's first moment."""
    beta2: float = 0.99
    """Adam's second moment."""
    weight_decay: float = 1e-4
    """Of Adam, added to the gradient, for every network."""
    average_decay: float = 0.999
    """Of the moving average of generator, mapping network and style encoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = self.domains
        if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
            raise ValueError(f"domains must be different names, got {names}")
        if len(names) == 1:
            raise ValueError(f"domains must be two or more, to translate between, got only {names[0]!r}")
        self.at_least(1, "latent_dim", "style_dim", "diversity_steps")
        self.positive("r1_gamma", "learning_rate", "mapping_learning_rate")
        self.at_least(0, "style_weight", "cycle_weight", "diversity_weight", "weight_decay")
        self.fraction("beta1", "beta2", "average_decay")
        if not 0 <= self.crop_share <= 1:
            raise ValueError(f"crop_share must lie in [0, 1], got {self.crop_share}")

    @property
    def labelled_share(self) -> float:
        """It is supervised: every picture's class is told."""
        return 1.0

    @property
    def balanced(self) -> bool:
        """Every domain is drawn equally often; a reference's neighbour is the second one of its domain."""
        return True

    def with_classes(self, names: Sequence[str]) -> Self:
        """These domains, where none are named yet; otherwise the classes have to be among those named.

        ValueError for fewer than two classes, and for one that is not among the domains.
        """
        if len(names) < 2:
            raise ValueError(
                "starganv2 translates between classes: put the pictures into two or more subfolders named "
                f"after their class, got {len(names)}"
            )
        if not self.domains:
            return dataclasses.replace(self, domains=tuple(names))
        if strange := sorted(set(names) - set(self.domains)):
            raise ValueError(
                f"the domains are {', '.join(self.domains)}, but the pictures also have the classes "
                f"{', '.join(strange)}; name those in --domains too, or take pictures without them"
            )
        return self

    def require_domains(self) -> None:
        """ValueError where none are named: the networks have an output for each."""
        if not self.domains:
            raise ValueError(
                "starganv2 has no domains yet: name two or more in domains, or take them from the data's "
                "classes (with_classes)"
            )

    def build(self) -> StarGANv2:
        from cluit.methods.starganv2.step import StarGANv2

        self.require_domains()
        return StarGANv2(self)

    def build_translator(self) -> StarGANv2Translator:
        from cluit.methods.starganv2.networks import StarGANv2Translator

        self.require_domains()
        return StarGANv2Translator(self)
