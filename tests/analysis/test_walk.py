import math

import pytest
import torch

from cluit.analysis.walk import smoothness, steps, walk
from cluit.core.errors import UserError


def test_a_walk_meets_every_end_and_is_straight_between() -> None:
    start, first, second = torch.randn(3, 6)
    line = walk(start, first, second, frames=5)
    assert line.shape == (9, 6)
    assert torch.equal(line[0], start)
    assert torch.equal(line[4], first)
    assert torch.equal(line[8], second)
    assert torch.allclose(line[2], (start + first) / 2)
    assert torch.allclose(line[5], first + (second - first) / 4)


def test_a_walk_of_two_frames_is_its_ends() -> None:
    start, end = torch.randn(2, 4)
    assert torch.equal(walk(start, end, frames=2), torch.stack([start, end]))


def test_a_walk_without_a_way_is_one_sentence() -> None:
    with pytest.raises(UserError, match="at least 2 frames"):
        walk(torch.zeros(3), torch.ones(3), frames=1)
    with pytest.raises(UserError, match="at least one end"):
        walk(torch.zeros(3), frames=5)


def test_even_steps_have_smoothness_one() -> None:
    line = walk(torch.zeros(4), torch.ones(4), frames=9)
    assert torch.allclose(steps(line), torch.full((8,), 2 / 8))
    assert smoothness(line) == pytest.approx(1, abs=1e-5)


def test_a_single_jump_has_the_number_of_steps_as_smoothness() -> None:
    jump = torch.tensor([0.0, 0, 0, 1, 1, 1])[:, None]
    assert smoothness(jump) == pytest.approx(5)


def test_where_nothing_moves_smoothness_is_no_number() -> None:
    assert math.isnan(smoothness(torch.ones(5, 3)))
