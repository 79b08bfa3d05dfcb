"""Ranks descend as one process does that has the whole batch."""

import functools

import pytest
import torch
from ranks import Ended, on_ranks
from torch import Tensor
from without_chance import ALONE, all_drawn_gradients, all_gradients

from cluit.methods import CONFIGS

ROUNDING = 1e-9
"""Relative, of float64."""


@functools.cache
def ended(world: int) -> list[Ended]:
    ranks = on_ranks(world, all_gradients, list(CONFIGS))
    assert {rank.code for rank in ranks} == {0}, "".join(rank.said for rank in ranks)
    return ranks


def relative_error(ours: Tensor, value: Tensor) -> float:
    return float((ours.double() - value.double()).norm() / value.double().norm().clamp(min=1e-12))


@pytest.mark.parametrize("name", CONFIGS)
def test_two_ranks_have_the_gradients_of_one_process_with_the_whole_batch(name: str) -> None:
    (alone,), (first, _) = ended(1), ended(2)
    assert alone.result[name].keys() == first.result[name].keys()
    descents = {key: value for key, value in alone.result[name].items() if key.startswith("step ")}
    assert len(descents) >= 3
    for key, value in descents.items():
        assert relative_error(first.result[name][key], value) < ROUNDING, key


@pytest.mark.parametrize("name", CONFIGS)
def test_but_for_rounding_two_ranks_are_one_process_step_after_step(name: str) -> None:
    """All gradients, weights, running statistics, lagging networks and keys."""
    (alone,), (first, second) = ended(1), ended(2)
    for key, value in alone.result[name].items():
        ours = first.result[name][key]
        assert torch.equal(ours, second.result[name][key]), key
        if key == "queue.keys":  # ranks push one after the other, not in the order of the whole batch
            value, ours = value.sort(dim=0).values, ours.sort(dim=0).values
        torch.testing.assert_close(ours, value, rtol=ROUNDING, atol=1e-11, msg=key)


def test_parts_of_a_batch_have_the_gradients_of_ranks_and_draw_alike() -> None:
    """Where no weight moves, and no loss is of several pictures."""
    names = list(ALONE)
    (parts,), (first, _) = (
        on_ranks(1, all_drawn_gradients, names, 2),
        on_ranks(2, all_drawn_gradients, names, 1),
    )
    assert {parts.code, first.code} == {0}, parts.said + first.said
    for name in names:
        for key, value in first.result[name].items():
            if key.startswith("step "):
                assert relative_error(parts.result[name][key], value) < ROUNDING, (name, key)
