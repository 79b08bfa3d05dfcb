"""Walks through the style space, and how even they look (the paper's section 4.2, Figure 7)."""

from itertools import pairwise

import torch
from torch import Tensor

from cluit.core.errors import UserError


def walk(start: Tensor, *ends: Tensor, frames: int) -> Tensor:
    """Straight lines from ``start`` (S,) through each of ``ends`` (S,), evenly spaced -> (F, S).

    frames: of one line, both its ends among them; where two lines meet there is one frame, so that
    F = (frames - 1) · ends + 1, and every end is met exactly.
    """
    if frames < 2:
        raise UserError(f"a walk needs at least 2 frames, its two ends, got {frames}")
    if not ends:
        raise UserError("a walk needs at least one end; name a reference")
    stops = torch.stack([start, *ends])
    share = torch.linspace(0, 1, frames, device=stops.device, dtype=stops.dtype)[:-1, None]
    lines = [torch.lerp(a, b, share) for a, b in pairwise(stops)]
    return torch.cat([*lines, stops[-1:]])


def steps(features: Tensor) -> Tensor:
    """(F, D) of successive frames -> (F - 1,): the Euclidean distance from each frame to the next.

    With a network's features it is a perceptual distance, in that network's units.
    """
    return (features[1:].float() - features[:-1].float()).norm(dim=1)


def smoothness(features: Tensor) -> float:
    """The largest step over the mean step of a walk's frames, (F, D).

    1 where all steps are equal; F - 1, the number of steps, where everything happens at one of them. NaN
    where nothing happens.
    """
    sizes = steps(features)
    return (sizes.max() / sizes.mean()).item()
