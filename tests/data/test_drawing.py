"""Shapes as signed distances, and layers as a painter would lay them."""

import pytest
import torch

from cluit.data.drawing import Sketch, circle, ellipse, lens, polygon, segment, smooth_max, smooth_min

SIDE = (torch.arange(200) + 0.5) / 50 - 2  # 200 pixels over -2 .. 2
X, Y = SIDE.expand(1, 200, 200), SIDE[:, None].expand(1, 200, 200)
PIXEL = torch.full((1, 1, 1), 0.02)
RED, BLUE = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("distance", "area"),
    [
        (circle(X, Y, 1.0), 3.14159),
        (ellipse(X, Y, 1.5, 0.5), 3.14159 * 0.75),
        (polygon(X, Y, [(-1, -1), (1, -1), (1, 1), (-1, 1)]), 4.0),
        (polygon(X, Y, [(0, -1), (1, 1), (-1, 1)]), 2.0),
        (lens(X, Y, 1.0, 1.0), 3.14159),
        (segment(X, Y, (-1.0, 0.0), (1.0, 0.0)) - 0.1, 0.4 + 3.14159 * 0.01),
    ],
)
def test_a_shape_covers_its_area(distance: torch.Tensor, area: float) -> None:
    assert Sketch(PIXEL).cover(distance).sum().item() * 0.02**2 == pytest.approx(area, rel=0.005)


def test_smooth_unions_hold_both_and_smooth_intersections_neither_more() -> None:
    a, b = circle(X - 0.5, Y, 0.8), circle(X + 0.5, Y, 0.8)
    assert (smooth_min(a, b, 0.3) <= torch.minimum(a, b) + 1e-6).all()
    assert (smooth_max(a, b, 0.3) >= torch.maximum(a, b) - 1e-6).all()
    assert torch.equal(smooth_max(a, b, 0.0), torch.maximum(a, b))


def test_later_layers_hide_earlier_ones_by_their_coverage() -> None:
    background = torch.full((1, 3, 200, 200), 0.5)
    sketch = Sketch(PIXEL)
    sketch.fill(circle(X, Y, 1.0), RED)
    sketch.fill(circle(X, Y, 0.5), BLUE, 0.25)
    picture = sketch.render(background)[0]
    assert torch.allclose(picture[:, 100, 100], 0.75 * RED + 0.25 * BLUE)
    assert torch.allclose(picture[:, 100, 140], RED)
    assert torch.allclose(picture[:, 0, 0], background[0, :, 0, 0])
