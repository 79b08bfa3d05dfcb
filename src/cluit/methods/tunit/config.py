"""The settings of TUNIT, at the paper's values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cluit.core.config import MethodConfig

if TYPE_CHECKING:
    from cluit.methods.tunit.networks import TunitTranslator
    from cluit.methods.tunit.step import Tunit


@dataclass(frozen=True, kw_only=True)
class TunitConfig(MethodConfig):
    """Every number that TUNIT's networks and losses depend on."""

    clusters: int = 10
    """K: groups into which the guiding network sorts the pictures, and logits of the critic."""
    labelled: float = 0.0
    """Share of the training pictures whose class is told: 0 unsupervised, 1 supervised, else in between."""
    style_dim: int = 128
    """Numbers in a style code."""

    warmup_steps: int = 65_000
    """Steps that the guiding network learns alone, before the generator joins; none where `labelled` is 1."""
    information_from: int = 0
    """First step at which pictures without a label are clustered; 20,000 where some have one."""
    joint_weight: float = 0.1
    """Of the guiding network's own objective once the generator has joined; 1 until then."""

    temperature: float = 0.07
    """Of both contrastive losses."""
    queue_size: int = 1024
    """Keys that the memory bank holds, over all processes."""
    information_weight: float = 5.0
    """λ of the mutual information between the clusters of two views."""
    label_weight: float = 1.0
    """λ of the cross-entropy that takes its place where a picture has a label (not stated; inferred)."""
    style_weight: float = 0.01
    """λ of the contrast between the style of an output and its reference's."""
    reconstruction_weight: float = 0.1
    """λ of the self-reconstruction."""
    r1_gamma: float = 20.0
    """γ of R1, (γ/2)·E‖∇D‖², at every step."""

    learning_rate: float = 1e-4
    """Of RMSprop, for generator and critic."""
    weight_decay: float = 1e-4
    """Of generator and critic, added to the gradient."""
    guide_learning_rate: float = 1e-4
    """Of Adam, for the guiding network."""
    guide_weight_decay: float = 1e-3
    """Of the guiding network, added to the gradient."""
    average_decay: float = 0.999
    """Of the lagging guide, and of the moving average of generator and guide."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(2, "clusters")
        self.at_least(1, "style_dim", "queue_size")
        self.at_least(0, "warmup_steps", "information_from", "joint_weight", "information_weight")
        self.at_least(0, "label_weight", "style_weight", "reconstruction_weight", "r1_gamma")
        self.at_least(0, "weight_decay", "guide_weight_decay")
        self.positive("temperature", "learning_rate", "guide_learning_rate")
        self.fraction("average_decay")
        if not 0 <= self.labelled <= 1:
            raise ValueError(f"labelled must lie in [0, 1], got {self.labelled}")

    @property
    def labelled_share(self) -> float:
        return self.labelled

    @property
    def joint_from(self) -> int:
        """First step of generator and critic: with every label told, there is no clustering to wait for."""
        return 0 if self.labelled == 1 else self.warmup_steps

    def with_classes(self, names: Sequence[str]) -> Self:
        if self.labelled and self.clusters < len(names):
            raise ValueError(
                f"clusters must be at least the number of classes, which is {len(names)}, got {self.clusters}"
            )
        return self

    def build(self) -> Tunit:
        from cluit.methods.tunit.step import Tunit

        return Tunit(self)

    def build_translator(self) -> TunitTranslator:
        from cluit.methods.tunit.networks import TunitTranslator

        return TunitTranslator(self)
