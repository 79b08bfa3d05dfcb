"""The kernel distance: the plain formula, no bias, and an honest error."""

import pytest
import torch

from cluit.core.errors import UserError
from cluit.evaluation.kernel import kernel_distance, squared_mmd


def test_it_is_the_plain_double_sum() -> None:
    x, y = torch.randn(7, 5).double(), torch.randn(9, 5).double() + 0.3

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return ((a @ b).item() / 5 + 1) ** 3

    within_x = sum(k(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    within_y = sum(k(y[i], y[j]) for i in range(9) for j in range(9) if i != j) / (9 * 8)
    between = sum(k(a, b) for a in x for b in y) / (7 * 9)
    assert squared_mmd(x, y) == pytest.approx(within_x + within_y - 2 * between, rel=1e-12)
    whole = kernel_distance(x, y)
    assert whole.value == pytest.approx(squared_mmd(x, y), rel=1e-12)
    assert (whole.blocks, whole.block) == (1, (7, 9))
    assert whole.error != whole.error


def test_it_agrees_with_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.image.kid")
    x, y = torch.randn(60, 16).double(), 1.2 * torch.randn(60, 16).double()
    assert squared_mmd(x, y) == pytest.approx(image.poly_mmd(x, y).item(), rel=1e-4)


def test_blocks_are_disjoint_and_as_large_as_stated() -> None:
    x, y = torch.randn(250, 4), torch.randn(1000, 4)
    found = kernel_distance(x, y, block=60)
    assert (found.blocks, found.block) == (4, (62, 250))


def test_without_a_difference_it_is_zero_within_its_error() -> None:
    scores = [kernel_distance(torch.randn(400, 8), torch.randn(400, 8), block=50) for _ in range(20)]
    values = torch.tensor([score.value for score in scores])
    errors = torch.tensor([score.error for score in scores])
    assert values.min() < 0 < values.max()
    assert values.mean().abs() < 4 * values.std() / 20**0.5
    assert 0.6 < errors.mean() / values.std() < 1.6


def test_the_seed_says_which_blocks() -> None:
    x, y = torch.randn(200, 4), torch.randn(200, 4)
    assert kernel_distance(x, y, 50, seed=1) == kernel_distance(x, y, 50, seed=1)
    assert kernel_distance(x, y, 50, seed=1) != kernel_distance(x, y, 50, seed=2)


def test_one_picture_is_refused() -> None:
    with pytest.raises(UserError, match="at least 2 pictures, got 1"):
        kernel_distance(torch.randn(1, 4), torch.randn(5, 4))
