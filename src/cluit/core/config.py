"""What the settings of every method have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from cluit.core.types import Method, Translator

SIZES = (32, 64, 128, 256, 512)


@dataclass(frozen=True, kw_only=True)
class MethodConfig(ABC):
    """Every number that a method's networks and losses depend on. ValueError for one that is out of range."""

    image_size: int = 128
    """Side of the square pictures, in pixels: 32, 64, 128, 256 or 512."""
    width: int = 64
    """Of the networks, in units of 1/64: 64 is the paper's, and every layer scales with it."""

    has_plain: ClassVar[bool] = False
    """Whether there is a ``build_plain``."""

    def __post_init__(self) -> None:
        if self.image_size not in SIZES:
            raise ValueError(f"image_size must be one of {', '.join(map(str, SIZES))}, got {self.image_size}")
        self.at_least(1, "width")

    @property
    def labelled_share(self) -> float:
        """Of how many of its training pictures the method is told the class."""
        return 0.0

    @property
    def balanced(self) -> bool:
        """Whether it learns from batches in which all classes come equally often, in pairs of one class."""
        return False

    def with_classes(self, names: Sequence[str]) -> Self:
        """This configuration for data with these classes, where it depends on them at all.

        ValueError where it cannot be had for them. Only asked of a method with a ``labelled_share``.
        """
        return self

    @abstractmethod
    def build(self) -> Method:
        """The method in training, its weights drawn from torch's random state."""

    def build_plain(self) -> Method:
        """The same method as public code computes it, with no saving: what benchmarks compare with."""
        raise NotImplementedError(f"{type(self).__name__} says has_plain = {self.has_plain}")

    @abstractmethod
    def build_translator(self) -> Translator:
        """The networks that a saved model holds."""

    def at_least(self, least: float, *names: str) -> None:
        """ValueError for the first of these settings that is less, or no number."""
        for name in names:
            if not getattr(self, name) >= least:
                what = "not be negative" if least == 0 else f"be at least {least}"
                raise ValueError(f"{name} must {what}, got {getattr(self, name)}")

    def positive(self, *names: str) -> None:
        """ValueError for the first of these settings that is not above 0."""
        for name in names:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    def fraction(self, *names: str) -> None:
        """ValueError for the first of these settings that is not in [0, 1)."""
        for name in names:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
