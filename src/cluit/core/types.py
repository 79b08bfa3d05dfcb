"""The two narrow doors: all that training knows of a method, all that anything later knows of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cluit.core.errors import UserError

Metrics = dict[str, Tensor]
"""Named scalars of one step, detached, still on the device: nobody waits for them until they are printed."""

Descend = Callable[..., bool]
"""``descend(loss, "critic")``: the weights of the named optimizers take one step down ``loss``.

True where they have moved. Where a batch is taken in parts (``--accumulate``), they only do in its last one:
what is to happen once a step, such as following a network's weights, has to wait for that."""


@dataclass(frozen=True)
class Batch:
    """What one step learns from: (N, 3, H, W) pictures in [-1, 1], on the device."""

    images: Tensor
    labels: Tensor | None = None
    """(N,) long, the class of each picture, -1 where it is not told. Only for a method whose configuration
    has a ``labelled_share``: None for all others, so that they cannot but learn without."""

    def share(self, number: int, of: int) -> Batch:
        """The ``number``-th of ``of`` equal shares, with its part of either half."""
        labels = None if self.labels is None else share(self.labels, number, of)
        return Batch(share(self.images, number, of), labels)


def share(rows: Tensor, number: int, of: int) -> Tensor:
    """(N, ...) -> (N/of, ...): the ``number``-th of ``of`` equal pieces of either half of the rows.

    Rows 2i and 2i + 1 stay neighbours where half a share is even. A share of a share is one of more shares:
    ``share(share(rows, r, R), p, P)`` is ``share(rows, r · P + p, R · P)``.
    """
    return rows if of == 1 else rows.unflatten(0, (2, of, -1))[:, number].flatten(0, 1)


class Translator(nn.Module, ABC):
    """A model in use: the structure of a source, the style of a reference, the picture that has both.

    The structure never depends on the style, so one source meets many references, or one style a whole
    folder, without doing either half twice.

    Where a method can do more, its translator also is a `StyleSampler` or a `ClusterAssigner`.
    """

    image_size: int
    domains: tuple[str, ...] = ()
    """Names of the domains that ``encode_style`` has to be told apart by; none where it sees for itself."""

    @abstractmethod
    def encode_structure(self, source: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, C, h, w)."""

    @abstractmethod
    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, S).

        domain: (N,) long, each reference's place in ``domains``; not looked at where there are none.
        """

    @abstractmethod
    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        """(N, C, h, w), (N, S) -> (N, 3, H, W), nominally in [-1, 1]."""

    def translate(self, source: Tensor, style: Tensor) -> Tensor:
        """(N, 3, H, W), (N, S) -> (N, 3, H, W): ``source`` repainted in ``style``."""
        return self.decode(self.encode_structure(source), style)

    @property
    def device(self) -> torch.device:
        """Where its weights are; the CPU for one that has none, as one of exported graphs."""
        return next((weight.device for weight in self.parameters()), torch.device("cpu"))

    def domain_numbers(self, names: Sequence[str]) -> Tensor | None:
        """Places (N,) of ``names`` in ``domains``, None where there are none. UserError for a strange one."""
        if not self.domains:
            return None
        require_known(self.domains, names)
        return torch.tensor([self.domains.index(name) for name in names])


def require_known(domains: Sequence[str], names: Sequence[str]) -> None:
    """UserError where some of ``names`` are none of a model's ``domains``."""
    if strange := sorted(set(names) - set(domains)):
        raise UserError(
            f"the model knows the domains {', '.join(domains)}, not "
            f"{', '.join(name or 'an empty name' for name in strange)}; name one that it knows, or keep "
            "its pictures in subfolders of these names"
        )


@runtime_checkable
class StyleSampler(Protocol):
    """A translator that can make up styles, without a reference."""

    latent_dim: int

    def sample_style(self, latent: Tensor, domain: Tensor) -> Tensor:
        """latent: (N, latent_dim), standard normal; domain: (N,) long, places in ``domains`` -> (N, S)."""


@runtime_checkable
class ClusterAssigner(Protocol):
    """A translator that has sorted its training pictures into ``clusters`` groups by itself."""

    clusters: int

    def assign(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, clusters) logits."""


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
    def average_decay(self, t: int) -> float:
        """How much of the averaged translator stays at step ``t``; the rest is the translator after it."""

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, D): what the method judges style by, for probes of what it has learned."""
