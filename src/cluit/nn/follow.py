"""Moving averages of weights."""

import torch
from torch import nn


def warm_decay(decay: float, t: int) -> float:
    """``decay``, approached from 0.1 on, so that an early average is not mostly the first weights.

    A function of ``t`` alone: a resumed run needs to remember nothing.
    """
    return min(decay, (1 + t) / (10 + t))


@torch.no_grad()
def follow(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """``averaged`` ← decay · ``averaged`` + (1 − decay) · ``model``; buffers are copied."""
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - decay)
    for old, new in zip(averaged.buffers(), model.buffers(), strict=True):
        old.copy_(new)
