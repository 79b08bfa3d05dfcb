"""Six animal faces in flat colours. They differ in silhouette, eyes, nose and mouth alike.

Coordinates are the head's own: the origin in its middle, y down, the silhouette within about ±1.2. ``Head``
knows where a feature lies when the head turns, so that each animal below reads as a list of shapes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cluit.data.drawing import Sketch, circle, ellipse, polygon, segment, smooth_max, smooth_min

LINE = 0.05  # width of outlines
WHITE = torch.tensor([1.0, 0.99, 0.97])
BLACK = torch.tensor([0.11, 0.09, 0.10])
PINK = torch.tensor([0.94, 0.58, 0.58])
TONGUE = torch.tensor([0.91, 0.42, 0.45])
MOUTH = torch.tensor([0.36, 0.12, 0.14])
GLASSES = torch.tensor([0.72, 0.16, 0.22])


@dataclass
class Head:
    """N heads of one species to be drawn: one number per picture is (N, 1, 1), one colour (N, 3)."""

    sketch: Sketch
    x: Tensor  # (N, H, W), head coordinates of each pixel
    y: Tensor
    sine: Tensor  # of the turn to the side
    cosine: Tensor
    mouth: Tensor  # 0 closed .. 1 wide open
    lids: Tensor  # 0 shut .. 1 open
    gaze: Tensor  # -1 .. 1, to the side
    base: Tensor  # the coat's colours
    light: Tensor
    mark: Tensor
    line: Tensor
    iris: Tensor
    markings: Tensor  # (N, H, W), coverage of the coat's pattern
    silhouette: Tensor  # (N, H, W), coverage of all fur drawn so far

    def local(self, x: float, y: float, depth: float, angle: float = 0.0) -> tuple[Tensor, Tensor]:
        """Coordinates around a feature at (x, y), ``depth`` before the axis on which the head turns."""
        middle = x * self.cosine + depth * self.sine
        squeeze = (self.cosine - 0.7 * x * self.sine).clamp(0.45, 1.1)
        u, v = (self.x - middle) / squeeze, self.y - y
        if angle == 0:
            return u, v
        c, s = math.cos(angle), math.sin(angle)
        return u * c + v * s, v * c - u * s

    def fur(self, distance: Tensor, colour: Tensor | None = None, *, plain: bool = False) -> Tensor:
        """A part of the coat: outline, pattern, darker rim. Returns its coverage inside the outline."""
        coverage = self.sketch.cover(distance)
        self.silhouette = torch.maximum(self.silhouette, coverage)
        self.sketch.layer(coverage, self.line)
        inside = self.sketch.cover(distance + LINE)
        self.sketch.layer(inside, self.base if colour is None else colour)
        if not plain:
            self.sketch.layer(inside * self.markings, self.mark)
        rim = (1 + distance * 3).clamp_(0, 1).square_().mul_(inside).mul_(0.22)
        self.sketch.layer(rim, self.line)
        return inside

    def glow(self, inside: Tensor) -> None:
        """Soft light from above on the forehead."""
        nearness = (1 - circle(self.x + 0.25, self.y + 0.45, 0.0)).clamp_(0, 1)
        self.sketch.layer(nearness.mul_(inside).mul_(0.22), WHITE)

    def blush(self, x: float, y: float, within: Tensor) -> None:
        """Pink cheeks."""
        for side in (-1, 1):
            u, v = self.local(side * x, y, 0.6)
            nearness = (1.1 - circle(u, v, 0.0) / 0.2).clamp_(0, 1)
            self.sketch.layer(nearness.mul_(within).mul_(0.55), PINK)

    def eyes(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        slit: bool = False,
        slant: float = 0.0,
        white: bool = False,
    ) -> None:
        """Two eyes: outline, iris (within the white of the eye or filling it), pupil and highlight."""
        opening = height * (0.25 + 0.75 * self.lids)
        for side in (-1, 1):
            u, v = self.local(side * x, y, 0.75, slant * side)
            self.sketch.fill(ellipse(u, v, width + 0.045, opening + 0.045), BLACK)
            inside = self.sketch.cover(ellipse(u, v, width, opening))
            self.sketch.layer(inside, WHITE if white else self.iris)
            u = u - 0.3 * width * self.gaze
            if white:
                self.sketch.fill(circle(u, v, 0.72 * width), self.iris, within=inside)
            pupil = ellipse(u, v, 0.28 * width, 0.85 * height) if slit else circle(u, v, 0.5 * width)
            self.sketch.fill(pupil, BLACK, within=inside)
            self.sketch.fill(circle(u + 0.3 * width, v + 0.35 * height, 0.28 * width), WHITE, within=inside)

    def smile(self, y: float, depth: float, width: float, drop: float, tongue: float = 0.0) -> None:
        """A mouth that opens downwards from ``y``; the tongue hangs out by ``tongue``."""
        u, v = self.local(0, y, depth)
        low = drop * (0.18 + 0.82 * self.mouth)
        if tongue:
            length = tongue * (0.55 + 0.45 * self.mouth)
            shape = smooth_max(ellipse(u, v, 0.62 * width, low + length), -v, 0.05)
            self.sketch.fill(shape - 0.03, self.line)
            self.sketch.fill(shape, TONGUE)
        cup = smooth_max(ellipse(u, v, width, low), -v - 0.01, 0.04)
        self.sketch.fill(cup - 0.025, self.line)
        inside = self.sketch.cover(cup)
        self.sketch.layer(inside, MOUTH)
        self.sketch.fill(ellipse(u, v - low, 0.6 * width, 0.6 * low + tongue), TONGUE, within=inside)

    def whiskers(self, x: float, y: float, depth: float, reach: float) -> None:
        """Two on each side."""
        for side in (-1, 1):
            u, v = self.local(side * x, y, depth)
            for rise in (-0.16, 0.1):
                self.sketch.fill(segment(u, v, (0.0, rise * 0.3), (side * reach, rise)) - 0.022, self.line)


def cat(head: Head) -> None:
    """Pointed upright ears, a broad round face, slit pupils, a small muzzle and whiskers."""
    for side in (-1, 1):
        u, v = head.local(side * 0.6, -0.55, -0.1)
        ear = [(-0.42, 0.45), (side * 0.16, -0.62), (0.42, 0.45)]
        head.fur(polygon(u, v, ear, 0.12))
        head.sketch.fill(polygon(u, v - 0.08, [(a * 0.52, b * 0.6) for a, b in ear], 0.08), PINK)
    skull = ellipse(head.x, head.y - 0.2, 0.9, 0.74)
    cheeks = ellipse(head.x, head.y - 0.42, 1.0, 0.46)
    head.glow(head.fur(smooth_min(skull, cheeks, 0.2)))
    head.whiskers(0.4, 0.5, 0.7, 0.85)
    head.eyes(0.42, 0.12, 0.22, 0.24, slit=True, slant=-0.25)
    head.smile(0.68, 0.9, 0.13, 0.2)
    for side in (-1, 1):
        u, v = head.local(side * 0.15, 0.56, 0.9)
        head.sketch.fill(circle(u, v, 0.2), head.light)
    u, v = head.local(0, 0.42, 0.98)
    head.sketch.fill(polygon(u, v, [(-0.16, -0.09), (0.16, -0.09), (0, 0.13)], 0.06) - 0.02, PINK * 0.85)


def dog(head: Head) -> None:
    """Long hanging ears at the sides, a tall head, a large muzzle with a broad dark nose, the tongue out."""
    skull = ellipse(head.x, head.y + 0.15, 0.74, 0.78)
    jaw = ellipse(head.x, head.y - 0.42, 0.6, 0.56)
    head.glow(head.fur(smooth_min(skull, jaw, 0.3)))
    for side in (-1, 1):
        u, v = head.local(side * 0.84, 0.0, 0.0, -side * 0.2)
        ear = smooth_min(ellipse(u, v - 0.25, 0.31, 0.5), ellipse(u + side * 0.08, v + 0.4, 0.22, 0.4), 0.25)
        head.fur(ear, head.mark, plain=True)
    head.eyes(0.32, -0.16, 0.16, 0.18, white=True)
    head.smile(0.76, 0.85, 0.24, 0.16, tongue=0.3)
    u, v = head.local(0, 0.48, 0.85)
    muzzle = ellipse(u, v, 0.48, 0.36)
    head.sketch.fill(muzzle - 0.03, head.line, 0.5)
    head.sketch.fill(muzzle, head.light)
    u, v = head.local(0, 0.3, 1.0)
    head.sketch.fill(ellipse(u, v, 0.25, 0.18), BLACK)
    head.sketch.fill(ellipse(u + 0.07, v + 0.07, 0.08, 0.04), WHITE, 0.8)
    head.sketch.fill(segment(u, v, (0.0, 0.1), (0.0, 0.4)) - 0.025, head.line)


def fox(head: Head) -> None:
    """A shield of a head: pale cheeks that taper to a pointed chin, big ears with dark tips, slanted eyes."""
    for side in (-1, 1):
        u, v = head.local(side * 0.62, -0.5, -0.1)
        ear = [(-0.4, 0.5), (side * 0.2, -0.72), (0.4, 0.5)]
        inside = head.fur(polygon(u, v, ear, 0.06))
        head.sketch.fill(v + 0.2, BLACK, within=inside)
        head.sketch.fill(polygon(u, v - 0.2, [(a * 0.45, b * 0.5) for a, b in ear], 0.06), head.light)
    right = [(0.36, -0.62), (1.1, 0.16), (0.98, 0.42), (0.1, 1.06)]
    left = [(-a, b) for a, b in reversed(right)]
    shield = [left[-1], *right, *left[:-1]]
    inside = head.fur(polygon(head.x, head.y, shield, 0.2) - 0.02)
    u, v = head.local(0, 0.0, 0.55)
    cheeks = torch.maximum(circle(u.abs() - 0.72, v - 0.72, 0.62), 0.1 - u.abs() + 0.16 * (1 - v))
    head.sketch.fill(cheeks, head.light, within=inside)
    head.glow(inside)
    head.eyes(0.4, 0.1, 0.2, 0.13, slit=True, slant=0.4)
    head.smile(0.86, 0.7, 0.15, 0.16)
    u, v = head.local(0, 0.74, 0.85)
    head.sketch.fill(ellipse(u, v, 0.18, 0.14), BLACK)
    head.sketch.fill(ellipse(u + 0.05, v + 0.05, 0.06, 0.035), WHITE, 0.8)


def mouse(head: Head) -> None:
    """Huge round ears, a small head that runs out into a pointed snout with a pink ball of a nose."""
    for side in (-1, 1):
        u, v = head.local(side * 0.68, -0.42, -0.15)
        head.fur(circle(u, v, 0.56))
        head.sketch.fill(circle(u, v - 0.02, 0.38), PINK)
    u, v = head.local(0, 0.74, 0.35)
    skull = ellipse(head.x, head.y - 0.16, 0.58, 0.54)
    inside = head.fur(smooth_min(skull, ellipse(u, v, 0.25, 0.34), 0.5))
    head.glow(inside)
    head.whiskers(0.14, 0.74, 0.5, 0.66)
    head.eyes(0.26, 0.2, 0.14, 0.16)
    head.blush(0.36, 0.5, inside)
    u, v = head.local(0, 0.9, 0.45)
    head.sketch.fill(ellipse(u, v - 0.1, 0.12, 0.05 + 0.14 * head.mouth), MOUTH)
    head.sketch.fill(circle(u, v + 0.03, 0.17), head.line)
    head.sketch.fill(circle(u, v + 0.03, 0.14), PINK)
    head.sketch.fill(circle(u + 0.05, v + 0.09, 0.045), WHITE, 0.9)


def pig(head: Head) -> None:
    """A big round head with folded ears, small eyes far apart and a disc of a snout with two nostrils."""
    inside = head.fur(ellipse(head.x, head.y - 0.14, 0.98, 0.88))
    head.glow(inside)
    for side in (-1, 1):
        u, v = head.local(side * 0.68, -0.62, 0.05)
        right = [(-0.34, -0.22), (0.28, -0.34), (0.42, 0.42)]
        ear = right if side > 0 else [(-a, b) for a, b in (right[1], right[0], right[2])]
        head.fur(polygon(u, v, ear, 0.12) - 0.04)
        head.sketch.fill(polygon(u, v, [(a * 0.5, b * 0.5) for a, b in ear], 0.08), PINK)
    head.eyes(0.52, 0.0, 0.13, 0.14, white=True)
    head.blush(0.66, 0.42, inside)
    head.smile(0.7, 0.7, 0.28, 0.2)
    u, v = head.local(0, 0.4, 0.9)
    snout = ellipse(u, v, 0.42, 0.31)
    head.sketch.fill(snout - 0.05, head.line)
    head.sketch.fill(snout, 0.45 * head.base + 0.55 * PINK)
    head.sketch.fill(ellipse(u + 0.1, v + 0.17, 0.2, 0.06), WHITE, 0.4)
    for side in (-1, 1):
        head.sketch.fill(ellipse(u - side * 0.16, v, 0.075, 0.13), MOUTH)


def rabbit(head: Head) -> None:
    """Two very tall ears over a small narrow head, eyes at its sides, cheeks and two big front teeth."""
    for side in (-1, 1):
        u, v = head.local(side * 0.34, -0.52, -0.1, side * 0.16)
        head.fur(ellipse(u, v, 0.23, 0.74))
        head.sketch.fill(ellipse(u, v - 0.02, 0.11, 0.56), PINK)
    skull = ellipse(head.x, head.y - 0.42, 0.56, 0.6)
    inside = head.fur(smooth_min(skull, ellipse(head.x, head.y - 0.66, 0.66, 0.42), 0.2))
    head.glow(inside)
    head.eyes(0.36, 0.32, 0.13, 0.2)
    head.blush(0.44, 0.68, inside)
    u, v = head.local(0, 0.92, 0.7)
    drop = 0.06 * head.mouth
    head.sketch.fill(ellipse(u, v + 0.06, 0.2, 0.14 + drop), MOUTH)
    v = v - drop
    gum = [(-0.15, -0.15), (0.15, -0.15), (0.13, 0.13), (-0.13, 0.13)]
    teeth = [(-0.14, -0.15), (0.14, -0.15), (0.12, 0.12), (-0.12, 0.12)]
    head.sketch.fill(polygon(u, v, gum, 0.05) - 0.03, head.line)
    head.sketch.fill(polygon(u, v, teeth, 0.04), WHITE)
    head.sketch.fill(segment(u, v, (0.0, -0.1), (0.0, 0.12)) - 0.014, head.line)
    for side in (-1, 1):
        u, v = head.local(side * 0.14, 0.74, 0.75)
        head.sketch.fill(ellipse(u, v, 0.18, 0.14), head.light)
    u, v = head.local(0, 0.61, 0.82)
    head.sketch.fill(ellipse(u, v, 0.11, 0.075), PINK * 0.85)


def glasses(head: Head, worn: Tensor, x: float, y: float, radius: float) -> None:
    """Round glasses over eyes at ±x, y, where ``worn`` (N, 1, 1) is 1."""
    for side in (-1, 1):
        u, v = head.local(side * x, y, 0.85)
        ring = circle(u, v, radius)
        head.sketch.fill(ring, WHITE, 0.22 * worn)
        head.sketch.fill(ring.abs_() - 0.045, GLASSES, worn)
    u, v = head.local(0, y, 0.9)
    gap = x - radius
    head.sketch.fill(segment(u, v, (-gap, 0.0), (gap, 0.0)) - 0.04, GLASSES, worn)


ANIMALS: dict[str, Callable[[Head], None]] = {
    "cat": cat,
    "dog": dog,
    "fox": fox,
    "mouse": mouse,
    "pig": pig,
    "rabbit": rabbit,
}
EYES: dict[str, tuple[float, float, float]] = {  # where glasses sit: x, y and the radius of a lens
    "cat": (0.42, 0.12, 0.36),
    "dog": (0.32, -0.16, 0.29),
    "fox": (0.4, 0.1, 0.34),
    "mouse": (0.27, 0.2, 0.25),
    "pig": (0.52, 0.0, 0.3),
    "rabbit": (0.34, 0.32, 0.28),
}
