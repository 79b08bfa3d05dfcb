"""The two narrow doors: all that training knows of a method, all that anything later knows of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

Metrics = dict[str, Tensor]
"""Named scalars of one step, detached, still on the device: nobody waits for them until they are printed."""

Descend = Callable[..., None]
"""``descend(loss, "critic")``: the weights of the named optimizers take one step down ``loss``."""


@dataclass(frozen=True)
class Batch:
    """What one step learns from: (N, 3, H, W) pictures in [-1, 1], on the device. No labels."""

    images: Tensor


class Translator(nn.Module, ABC):
    """A model in use: the structure of a source, the style of a reference, the picture that has both.

    The structure never depends on the style, so one source meets many references, or one style a whole
    folder, without doing either half twice.
    """

    image_size: int

    @abstractmethod
    def encode_structure(self, source: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, C, h, w)."""

    @abstractmethod
    def encode_style(self, reference: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, S)."""

    @abstractmethod
    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        """(N, C, h, w), (N, S) -> (N, 3, H, W), nominally in [-1, 1]."""

    def translate(self, source: Tensor, style: Tensor) -> Tensor:
        """(N, 3, H, W), (N, S) -> (N, 3, H, W): ``source`` repainted in ``style``."""
        return self.decode(self.encode_structure(source), style)


class Method(nn.Module, ABC):
    """A system in training. ``state_dict()`` is everything that it remembers from step to step."""

    translator: Translator

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """The optimizers by name, the same objects at every call."""

    @abstractmethod
    def step(self, batch: Batch, descend: Descend, t: int) -> Metrics:
        """Learn from one batch. ``t`` counts steps from 0; all that varies in time is computed from it."""

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, D): what the method judges style by, for probes of what it has learned."""
