"""Flat drawing with signed distances: many pictures at once, smooth edges, no sampling.

A shape is a function from coordinates (N, H, W) to the approximate distance to its edge, negative inside. A
``Sketch`` collects shapes back to front as pairs of coverage and colour, and only ``render`` turns them into
pixels: one matrix product per picture over all its layers, so that a layer costs one channel and not three.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Number = float | Tensor


def ellipse(x: Tensor, y: Tensor, width: Number, height: Number) -> Tensor:
    """Distance to the ellipse with these half axes around the origin; exact to first order near its edge."""
    u, v = x / width, y / height
    radius = (u * u + v * v).sqrt_()
    steepness = ((u / width).square_() + (v / height).square_()).sqrt_().clamp_(min=1e-4)
    return (radius - 1).mul_(radius).div_(steepness)


def circle(x: Tensor, y: Tensor, radius: Number) -> Tensor:
    """Distance to the circle of this radius around the origin."""
    return (x * x + y * y).sqrt_() - radius


def polygon(x: Tensor, y: Tensor, corners: Sequence[tuple[float, float]], rounding: float = 0.0) -> Tensor:
    """Distance to a convex polygon, its corners clockwise as seen (y points down), the creases rounded."""
    distance = None
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5
        nx, ny = (by - ay) / length, -(bx - ax) / length
        side = x * nx + y * ny - (ax * nx + ay * ny)
        distance = side if distance is None else smooth_max(distance, side, rounding)
    assert distance is not None
    return distance


def lens(x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    """Distance to the leaf shape with tips at y = ±height: what two equal discs have in common."""
    radius = (width**2 + height**2) / (2 * width)
    return circle(x.abs() + (radius - width), y, radius)


def segment(x: Tensor, y: Tensor, start: tuple[Number, Number], end: tuple[Number, Number]) -> Tensor:
    """Distance to a straight line from start to end."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    u, v = x - start[0], y - start[1]
    along = ((u * dx + v * dy) / (dx * dx + dy * dy)).clamp_(0, 1)
    return circle(u - along * dx, v - along * dy, 0.0)


def smooth_max(a: Tensor, b: Tensor, width: float) -> Tensor:
    """The larger of both, the crease between them rounded over ``width``: a soft intersection."""
    if width == 0:
        return torch.maximum(a, b)
    return torch.maximum(a, b) + (width - (a - b).abs()).clamp_(min=0).square_() / (4 * width)


def smooth_min(a: Tensor, b: Tensor, width: float) -> Tensor:
    """The smaller of both, rounded over ``width``: a union without a crease."""
    return torch.minimum(a, b) - (width - (a - b).abs()).clamp_(min=0).square_() / (4 * width)


class Sketch:
    """Layers of N pictures of one size, back to front."""

    def __init__(self, pixel: Tensor) -> None:
        """pixel: (N, 1, 1), the width of one pixel in the unit in which distances are given."""
        self.per_pixel = 1 / pixel
        self._coverages: list[Tensor] = []
        self._colours: list[Tensor] = []

    def cover(self, distance: Tensor) -> Tensor:
        """(N, H, W) in [0, 1]: how much of each pixel lies inside."""
        return (0.5 - distance * self.per_pixel).clamp_(0, 1)

    def fill(
        self, distance: Tensor, colour: Tensor, opacity: Number = 1.0, *, within: Tensor | None = None
    ) -> None:
        """Paint the inside in one colour per picture, (N, 3) or (3,), perhaps only ``within`` a coverage."""
        coverage = self.cover(distance).mul_(opacity)
        self.layer(coverage if within is None else coverage.mul_(within), colour)

    def layer(self, coverage: Tensor, colour: Tensor) -> None:
        """Paint by coverage directly."""
        self._coverages.append(coverage)
        self._colours.append(colour.expand(len(coverage), 3))

    def render(self, background: Tensor) -> Tensor:
        """All layers over the background, both (N, 3, H, W)."""
        clear = torch.ones_like(self._coverages[0])  # what still shows through, front to back
        for coverage in reversed(self._coverages):
            seen = coverage * clear
            clear.sub_(seen)
            coverage.copy_(seen)
        # Rounded so, all products and sums are exact in single precision: no order of summation, and hence no
        # size of a batch, changes the result.
        weights = torch.stack(self._coverages, dim=1).flatten(2)  # (N, layers, H*W)
        weights.mul_(4096).round_().div_(4096)
        colours = torch.stack(self._colours, dim=2).mul_(1024).round_().div_(1024)  # (N, 3, layers)
        return (colours @ weights).view_as(background) + background * clear[:, None]
