"""Steps whose views and pairings are not drawn, so that ranks compare with one process number by number."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import torch
from tiny_methods import batch, built
from torch import Tensor
from torch.optim import SGD, Optimizer

from cluit.core import distributed
from cluit.core.types import Method
from cluit.data import augment
from cluit.data.augment import Views
from cluit.engine.descent import Descent
from cluit.engine.fit import step

STEPS = 2


@contextmanager
def without_chance() -> Iterator[None]:
    """What is drawn depends on the picture alone, or on whether it is a source or a reference."""
    with (
        patch.object(Views, "__call__", lambda self, images: 0.9 * images.flip(3) if self.color else images),
        patch("torch.randperm", lambda count, **_: torch.arange(count).roll(count // 2)),
        patch("cluit.methods.swapae.step.mirrored", lambda images: images),
        patch("cluit.methods.swapae.step.random_patches", shifted),
        patch("cluit.methods.starganv2.step.view", lambda images, _: images),
        patch("torch.randn", two_codes),
        patch("torch.randn_like", ramp),
    ):
        yield


def shifted(images: Tensor, count: int, *_: object) -> Tensor:
    """(N, 3, S, S) -> (N, count, 3, S, S), each patch the picture shifted farther than the one before."""
    return torch.stack([images.roll((i, 2 * i), dims=(2, 3)) for i in range(count)], dim=1)


def two_codes(count: int, dim: int, **_: object) -> Tensor:
    """One code for the first half of the rows and one for the second."""
    codes = torch.linspace(-1, 1, 2 * dim).view(2, dim)
    return codes.repeat_interleave(count // 2, dim=0)


def ramp(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> the same shape, alike in every picture."""
    return torch.linspace(-1, 1, maps[0].numel(), dtype=maps.dtype).view(maps.shape[1:]).expand_as(maps)


@contextmanager
def exactly() -> Iterator[None]:
    """All that is computed in float32 is in float64: what is then left of a difference is no rounding.

    In float32 a value near zero may change its sign, and with it the slope of a ReLU or of an absolute value:
    by how much that changes the gradients is another matter on each machine.
    """
    with (
        patch.object(Tensor, "float", Tensor.double),
        patch.object(augment, "FROM_YIQ", augment.FROM_YIQ.double()),
        patch.object(augment, "TO_YIQ", augment.TO_YIQ.double()),
        default_type(torch.float64),
    ):
        yield


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    """Within it, tensors are of this type where none is named."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def gradients(method: Method, name: str, rate: float, parts: int = 1) -> dict[str, Tensor]:
    """Of every descent in a few steps on this rank's share: all weights in one, by step and number.

    They are plain descents at this ``rate``, as Adam would magnify rounding. With them comes what the method
    then remembers.
    """
    told: dict[str, Tensor] = {}
    t = 0

    def hear(optimizer: Optimizer, *_: object) -> None:
        slopes = [weight.grad for group in optimizer.param_groups for weight in group["params"]]
        found = torch.cat([slope.flatten() for slope in slopes if slope is not None])
        told[f"step {t}, descent {len(told)}"] = found

    optimizers: dict[str, Optimizer] = {}
    for who, optimizer in method.optimizers().items():
        optimizers[who] = SGD(optimizer.param_groups[0]["params"], rate)
        optimizers[who].register_step_pre_hook(hear)
    descend = Descent(optimizers, parts)
    for t in range(STEPS):
        whole = batch(name, t)
        whole = replace(whole, images=whole.images.to(torch.get_default_dtype()))
        step(method, whole.share(distributed.rank(), distributed.world()), descend, t, seed=0)
    return told | {key: value.clone() for key, value in method.state_dict().items()}


def all_gradients(names: list[str]) -> dict[str, dict[str, Tensor]]:
    """On this rank, without chance; weights move."""
    with distributed.joined(), exactly():
        methods = {name: built(name).double() for name in names}
        with without_chance():
            return {name: gradients(method, name, rate=0.01) for name, method in methods.items()}


def all_drawn_gradients(names: list[str], parts: int) -> dict[str, dict[str, Tensor]]:
    """On this rank, with what each share of the batch draws; no weight moves."""
    with distributed.joined(), exactly():
        methods = {name: built(name, **ALONE[name]).double() for name in names}
        return {name: gradients(method, name, 0.0, parts) for name, method in methods.items()}


ALONE: dict[str, dict[str, float]] = {
    "cluit": {"contrast_weight": 0, "style_weight": 0},
    "swapae": {},
    "starganv2": {},
}
"""Methods, or what is left of them, in which a picture's losses do not depend on others of its batch."""
