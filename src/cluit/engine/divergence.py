"""A run whose numbers are no longer finite is stopped before it overwrites anything good."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from cluit.core.errors import UserError


class Diverged(UserError):  # noqa: N818 (the state of a run, not a mistake in a call)
    """A loss, a weight or anything else that a run remembers is NaN or infinite."""

    def __init__(self, what: str, t: int) -> None:
        super().__init__(
            f"training diverged: {what} is not finite at step {t}; begin another run with a lower "
            "--learning-rate or --precision float32, and with --init-from this one if it has a checkpoint"
        )


def require_finite(state: Any, t: int) -> None:
    """Diverged if any tensor in nested ``state`` is NaN or infinite. Waits for the device."""
    for name, tensor in tensors_in(state):
        if not bool(torch.isfinite(tensor).all()):
            raise Diverged(name, t)


def tensors_in(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of nested dicts and lists, by its dotted name."""
    if isinstance(state, dict):
        for key, value in state.items():
            yield from tensors_in(value, f"{name}.{key}" if name else str(key))
    elif isinstance(state, list | tuple):
        for i, value in enumerate(state):
            yield from tensors_in(value, f"{name}.{i}")
    elif isinstance(state, Tensor):
        yield name, state
