"""What ranks say to each other, and how they end together."""

import os
import signal
from typing import Any

import pytest
import torch
from ranks import on_ranks
from torch import nn
from torch.testing import assert_close

from cluit.core import distributed
from cluit.core.errors import UserError
from cluit.core.types import share
from cluit.engine.log import Meter
from cluit.nn.batch_norm import BatchNorm2d
from cluit.nn.queue import Queue

PICTURES = torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1
WEIGHTS = torch.arange(8.0)[:, None, None, None] * torch.randn(5, generator=torch.Generator().manual_seed(1))


def normalised(norm: nn.BatchNorm2d) -> dict[str, Any]:
    """Of this rank's share: what comes out, a gradient of it, and the running statistics."""
    rank, world = distributed.rank(), distributed.world()
    pictures, weights = share(PICTURES, rank, world).clone().requires_grad_(), share(WEIGHTS, rank, world)
    out = norm(pictures)
    (out.square() * weights).sum().backward()
    assert pictures.grad is not None
    return {"out": out.detach(), "slope": pictures.grad, **norm.state_dict()}


def words() -> dict[str, Any]:
    torch.manual_seed(0)
    with distributed.joined():
        rank = distributed.rank()
        mine = torch.full((1, 2), float(rank + 1), requires_grad=True)
        (distributed.gather(mine) * torch.tensor([[1.0, 10.0], [100.0, 1000.0]])).sum().backward()
        queue, meter, copied = Queue(4, 2), Meter(), torch.full((2, 3), float(rank)).T
        queue.push(torch.full((1, 2), float(rank + 1)))
        distributed.copy_first([copied])
        for t in range(3):
            meter(t, {"loss": torch.tensor(float(rank + t))}, None)  # type: ignore[arg-type]
        saved = meter.state_dict()
        resumed, mean = Meter(), meter.read(3)
        resumed.load_state_dict(saved)
        return {
            "slope": mine.grad,
            "sum": distributed.summed(torch.tensor(rank + 1)),
            "largest": distributed.largest(7 - rank),
            "everyone": distributed.everyone({rank: "here"}),
            "first": distributed.from_first(lambda: f"said by {rank}"),
            "queue": queue.keys,
            "copied": copied,
            "mean": mean,
            "again": resumed.read(3),
            "saved": saved["sums"]["loss"],
            "norm": normalised(BatchNorm2d(3)),
        }


def test_what_ranks_tell_each_other() -> None:
    ranks = on_ranks(2, words)
    assert [rank.code for rank in ranks] == [0, 0], ranks[0].said + ranks[1].said
    first, second = (rank.result for rank in ranks)
    assert first["slope"].tolist() == [[2, 20]]  # as both ranks' losses ask it of this row
    assert second["slope"].tolist() == [[200, 2000]]
    for rank in (first, second):
        assert rank["sum"] == 3
        assert rank["largest"] == 7
        assert rank["everyone"] == [{0: "here"}, {1: "here"}]
        assert rank["first"] == "said by 0"
        assert not rank["copied"].any()
        assert rank["mean"] == rank["again"] == {"loss": 1.5}
        assert rank["saved"].tolist() == [3, 6]
        assert torch.equal(rank["queue"], first["queue"])
    assert first["queue"][:2].tolist() == [[1, 1], [2, 2]]
    mean = Meter()
    mean.load_state_dict({"sums": {"loss": first["saved"]}, "counts": {"loss": 3}})
    assert mean.read(3) == {"loss": 1.5}  # where there is one rank for two


def test_batch_norm_of_two_ranks_is_torchs_of_the_whole_batch() -> None:
    whole = normalised(nn.BatchNorm2d(3))
    assert_close(normalised(BatchNorm2d(3)), whole, rtol=0, atol=0)
    for number, rank in enumerate(on_ranks(2, words)):
        norm = rank.result["norm"]
        for key in ("out", "slope"):
            assert_close(norm[key], share(whole[key], number, 2))
        for key in ("running_mean", "running_var", "num_batches_tracked"):
            assert_close(norm[key], whole[key])


def fail(who: tuple[int, ...]) -> None:
    with distributed.joined(), distributed.agreed():
        if distributed.rank() in who:
            raise UserError(f"rank {distributed.rank()} has no pictures")


@pytest.mark.parametrize(("who", "speaker"), [((1,), 1), ((0, 1), 0)])
def test_where_one_fails_all_end_and_the_first_that_failed_says_why(
    who: tuple[int, ...], speaker: int
) -> None:
    ranks = on_ranks(2, fail, who)
    assert [rank.code for rank in ranks] == [1, 1]
    assert f"rank {speaker} has no pictures" in ranks[speaker].said
    assert ranks[1 - speaker].said == ""


def die() -> bool:
    with distributed.joined():
        distributed.largest(0)
        if distributed.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        with pytest.raises(distributed.LostRank, match="--resume goes on from the last checkpoint"):
            distributed.largest(0)
        return True


def test_a_rank_that_dies_is_missed() -> None:
    first, second = on_ranks(2, die)
    assert (first.code, second.code) == (0, -signal.SIGKILL), first.said
    assert first.result is True


def test_one_process_says_nothing_and_hears_itself() -> None:
    rows = torch.ones(2, 3)
    with distributed.joined():
        assert distributed.gather(rows) is rows
        assert distributed.summed(rows) is rows
        assert distributed.largest(5) == 5
        assert distributed.everyone("me") == ["me"]
        assert distributed.from_first(lambda: 3) == 3
        assert distributed.own_device(torch.device("mps")) == torch.device("mps")
    with pytest.raises(UserError, match="as it was"), distributed.agreed():
        raise UserError("as it was")
