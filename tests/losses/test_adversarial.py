import math

import pytest
import torch

from cluit.losses.adversarial import critic_loss, forger_loss, r1_penalty


def test_a_critic_that_cannot_tell_pays_two_ln_two() -> None:
    blank = torch.zeros(4, 1)
    assert critic_loss(blank, blank).item() == pytest.approx(2 * math.log(2))
    assert critic_loss(blank + 20, blank - 20).item() == pytest.approx(0, abs=1e-6)


def test_a_forger_that_fools_pays_nothing_and_one_that_does_not_keeps_its_gradient() -> None:
    assert forger_loss(torch.full((4, 1), 20.0)).item() == pytest.approx(0, abs=1e-6)
    caught = torch.full((4, 1), -20.0, requires_grad=True)
    forger_loss(caught).backward()
    assert caught.grad is not None
    torch.testing.assert_close(caught.grad, torch.full((4, 1), -0.25))  # non-saturating: 1/N each


def test_r1_is_half_the_squared_slope_summed_over_pixels() -> None:
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    slope = torch.randn(3, 4, 4)
    logits = (images * slope).sum(dim=(1, 2, 3))[:, None]
    assert r1_penalty(logits, images).item() == pytest.approx(0.5 * slope.square().sum().item(), rel=1e-5)


def test_r1_teaches_the_weights_that_make_the_slope() -> None:
    weight = torch.ones((), requires_grad=True)
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    r1_penalty((weight * images).sum(dim=(1, 2, 3))[:, None], images).backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(48)  # d/dw of w²/2 over 48 pixels, at w = 1
