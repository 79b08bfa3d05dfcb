import pytest
import torch

from cluit.methods.starganv2.losses import cycle, diversity, falling, style_reconstruction


def test_a_style_that_is_read_as_it_was_given_costs_nothing() -> None:
    style = torch.randn(4, 8)
    assert style_reconstruction(style, style).item() == 0
    assert style_reconstruction(style + 0.25, style).item() == pytest.approx(0.25)


def test_diversity_is_the_mean_distance_and_moves_only_the_first_fake() -> None:
    fake, other = (
        torch.zeros(2, 3, 4, 4, requires_grad=True),
        torch.full((2, 3, 4, 4), 0.5, requires_grad=True),
    )
    distance = diversity(fake, other)
    distance.backward()
    assert distance.item() == pytest.approx(0.5)
    assert fake.grad is not None
    assert other.grad is None


def test_a_cycle_that_comes_back_costs_nothing() -> None:
    source = torch.randn(2, 3, 4, 4)
    assert cycle(source, source).item() == 0
    assert cycle(-source, source).item() == pytest.approx(2 * source.abs().mean().item())


def test_style_and_gradient_of_a_half_precision_loss_are_single() -> None:
    style = torch.full((2, 8), 1 / 3, dtype=torch.bfloat16)
    assert style_reconstruction(style, torch.zeros(2, 8)).dtype == torch.float32


def test_the_diversity_weight_falls_in_a_straight_line_to_nothing_and_stays_there() -> None:
    assert [falling(2.0, t, steps=4) for t in (0, 1, 2, 4, 9)] == [2.0, 1.5, 1.0, 0.0, 0.0]
