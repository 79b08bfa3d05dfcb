"""CLUIT's own terms, one function per equation of the paper; the general ones live in `cluit.losses`."""

from collections.abc import Callable

from torch import Tensor

from cluit.losses.contrastive import info_nce, unit_mean


def patches_of(crop: Callable[[Tensor], Tensor], images: Tensor, count: int) -> Tensor:
    """(N, 3, S, S) -> (count · N, 3, S, S): ``count`` random crops of each picture, crop by crop.

    ``count`` 0 gives the pictures themselves, so that Eq. 5 becomes Eq. 4.
    """
    return crop(images.repeat(count, 1, 1, 1)) if count else images


def style_match(fake: Tensor, reference: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Eq. 5: the mean representation of a fake's patches recognises that of its reference's patches.

    fake, reference: (K, N, D) unit vectors of K patches; negatives: (Q, D). With K = 1 and full pictures it
    is Eq. 4. In nats, as `info_nce`.
    """
    return info_nce(unit_mean(fake), unit_mean(reference), negatives, temperature)


def settle(start: float | None, end: float, t: int, steps: int) -> float:
    """A weight that moves in a straight line from ``start`` to ``end`` over ``steps`` and stays there."""
    return end if start is None else start + (end - start) * min(1.0, t / steps)
