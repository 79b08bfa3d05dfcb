"""Weights move where they are asked to, and nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from cluit.engine.descent import Descent


def two_layers() -> tuple[nn.Linear, nn.Linear, Descent]:
    torch.manual_seed(0)
    first, second = nn.Linear(4, 4), nn.Linear(4, 1)
    return (
        first,
        second,
        Descent({"first": SGD(first.parameters(), 0.1), "second": SGD(second.parameters(), 0.1)}),
    )


def copies(module: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in module.parameters()]


def moved(module: nn.Module, before: list[Tensor]) -> list[bool]:
    return [not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True)]


def test_only_the_named_weights_move() -> None:
    first, second, descend = two_layers()
    was_first, was_second = copies(first), copies(second)
    descend(second(first(torch.ones(2, 4))).mean(), "first")
    assert all(moved(first, was_first))
    assert not any(moved(second, was_second))
    descend(second(first(torch.ones(2, 4))).mean(), "first", "second")
    assert all(moved(second, was_second))


def test_a_step_is_the_optimizers_own() -> None:
    first, second, descend = two_layers()
    (expected,) = torch.autograd.grad(second(first(torch.ones(2, 4))).mean(), [first.weight])
    before = first.weight.detach().clone()
    descend(second(first(torch.ones(2, 4))).mean(), "first")
    torch.testing.assert_close(first.weight, before - 0.1 * expected)


def test_a_weight_out_of_reach_is_not_moved_by_a_stale_gradient() -> None:
    first, _, descend = two_layers()
    for weight in first.parameters():
        weight.grad = torch.ones_like(weight)
    before = copies(first)
    descend(first.weight.square().sum(), "first")
    assert moved(first, before) == [True, False]


def test_no_gradient_outlives_the_call() -> None:
    first, second, descend = two_layers()
    descend(second(first(torch.ones(2, 4))).mean(), "first", "second")
    assert all(weight.grad is None for layer in (first, second) for weight in layer.parameters())


def test_half_precision_copies_of_moved_weights_are_forgotten() -> None:
    first, second, descend = two_layers()
    x = torch.ones(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        descend(second(first(x)).float().mean(), "first", "second")
        within = second(first(x))
    with torch.autocast("cpu", torch.bfloat16):
        afresh = second(first(x))
    assert torch.equal(within, afresh)


def test_a_gradient_of_a_gradient_descends() -> None:
    first, _, descend = two_layers()
    x = torch.ones(2, 4, requires_grad=True)
    (slope,) = torch.autograd.grad(first(x).square().sum(), [x], create_graph=True)
    before = copies(first)
    descend(slope.square().sum(), "first")
    assert all(moved(first, before))


def test_parts_of_a_batch_descend_once_by_their_mean_gradient() -> None:
    """A weight out of reach stays, and what two calls of a step gather is kept apart."""
    inputs = torch.randn(3, 2, 4)

    def losses(first: nn.Linear, second: nn.Linear, x: Tensor) -> tuple[Tensor, Tensor]:
        return first(x).square().mean() + second.weight.sum() * 0, second(x).square().mean()

    expected = []
    for number in range(2):
        first, second, descend = two_layers()
        mean = torch.stack([losses(first, second, x)[number] for x in inputs]).mean()
        assert descend(mean, ("first", "second")[number])
        expected += copies((first, second)[number])

    first, second, descend = two_layers()
    descend, before = Descent(descend.optimizers, parts=3), copies(first) + copies(second)
    for part, x in enumerate(inputs):
        assert all(map(torch.equal, copies(first) + copies(second), before))
        descend.begin(part)
        for name, loss in zip(("first", "second"), losses(first, second, x), strict=True):
            assert descend(loss, name) == (part == 2)
        assert all(weight.grad is None for layer in (first, second) for weight in layer.parameters())
    torch.testing.assert_close(copies(first) + copies(second), expected)
    assert not descend.kept


def test_an_unknown_name_is_an_error() -> None:
    first, _, descend = two_layers()
    with pytest.raises(KeyError, match="third"):
        descend(first(torch.ones(2, 4)).mean(), "third")


RANK = """
import sys, torch, torch.distributed as dist
from cluit.engine.descent import Descent
rank, meeting, result = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
weight, idle = torch.zeros(2, requires_grad=True), torch.ones(1, requires_grad=True)
descend = Descent({"all": torch.optim.SGD([idle, weight], 1.0)})
descend((weight * torch.tensor([[1.0, 2.0], [3.0, 6.0]][rank])).sum(), "all")
torch.save([weight.detach(), idle.detach()], f"{result}{rank}")
dist.destroy_process_group()
"""


def test_two_ranks_descend_by_their_mean_gradient(tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    paths = str(tmp_path / "meeting"), str(tmp_path / "weights")
    ranks = [subprocess.Popen([sys.executable, "-c", RANK, str(rank), *paths], env=env) for rank in range(2)]
    assert [rank.wait(60) for rank in ranks] == [0, 0]
    for rank in range(2):
        weight, idle = torch.load(tmp_path / f"weights{rank}")
        assert weight.tolist() == [-2.0, -4.0]
        assert idle.tolist() == [1.0]
