"""``cluit train`` on several ranks is one run: written once, told once, begun, stopped and ended together."""

import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ranks import Ended, on_ranks
from trainings import command, poisoned, signalled, trained, trained_elsewhere

from cluit.engine.checkpoint import checkpoints, latest_checkpoint, load_checkpoint
from cluit.engine.divergence import tensors_in
from cluit.engine.log import read_log


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty small pictures."""
    root, chance = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i in range(30):
        coarse = Image.fromarray(chance.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((32, 32), Image.Resampling.BICUBIC).save(root / f"{i:02d}.png")
    return root


@pytest.fixture(scope="session")
def straight(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Ended]]:
    """Two ranks, eight steps without a break."""
    run = tmp_path_factory.mktemp("runs") / "straight"
    return run, on_ranks(2, trained, command(folder, run, steps=8))


def remembered(run: Path, t: int | None = None) -> dict[str, torch.Tensor]:
    """Every tensor of the checkpoint of step ``t``, or of the latest."""
    path = latest_checkpoint(run) if t is None else checkpoints(run)[t]
    assert path is not None
    return dict(tensors_in(load_checkpoint(path)))


def assert_same(one: Path, other: Path) -> None:
    a, b = remembered(one), remembered(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def logged(run: Path) -> list[dict[str, Any]]:
    times = ("seconds", "steps_per_second")
    return [{k: v for k, v in entry.items() if k not in times} for entry in read_log(run / "log.jsonl")]


def test_one_run_is_written_and_told_by_the_first_rank(straight: tuple[Path, list[Ended]]) -> None:
    run, ranks = straight
    assert [rank.code for rank in ranks] == [0, 0], ranks[0].said + ranks[1].said
    assert ranks[1].said == ""
    assert "batches of 12 shared by 2 processes" in ranks[0].said.splitlines()[0]
    assert ranks[0].said.count("held out: realism") == 2
    assert list(checkpoints(run)) == [4, 8]
    assert [entry["step"] for entry in read_log(run / "log.jsonl")] == [2, 4, 4, 6, 8, 8]
    assert len(list((run / "grids").iterdir())) == 2
    assert (run / "report.html").is_file()
    assert (run / "model" / "model.safetensors").is_file()


def test_stopping_and_resuming_under_as_many_ranks_changes_nothing(
    straight: tuple[Path, list[Ended]], folder: Path, tmp_path: Path
) -> None:
    """Between log lines too: each rank has its own part of the next mean back."""
    on_ranks(2, trained, command(folder, tmp_path / "run", steps=3))
    ranks = on_ranks(2, trained, command(folder, tmp_path / "run", steps=8, resume=True))
    assert [rank.code for rank in ranks] == [0, 0], ranks[0].said + ranks[1].said
    assert "saved by" not in ranks[0].said
    assert_same(tmp_path / "run", straight[0])
    looks = [entry for entry in logged(tmp_path / "run") if entry["step"] != 3]
    assert looks == logged(straight[0])


@pytest.mark.parametrize(("world", "changes"), [(1, {}), (3, {}), (2, {"accumulate": 3})])
def test_a_run_goes_on_otherwise_shared_and_says_what_differs(
    straight: tuple[Path, list[Ended]], folder: Path, tmp_path: Path, world: int, changes: dict[str, int]
) -> None:
    run = Path(shutil.copytree(straight[0], tmp_path / "run"))
    ranks = on_ranks(world, trained, command(folder, run, steps=10, resume=True, **changes))
    assert {rank.code for rank in ranks} == {0}, "".join(rank.said for rank in ranks)
    now = {1: "1 process", 3: "3 processes", 2: "2 processes, each in 3 parts"}[world]
    line = f"saved by 2 processes, now {now}: the batches stay the same, what is drawn by chance within them"
    assert ranks[0].said.count(line) == 1
    assert all(rank.said == "" for rank in ranks[1:])
    before, after = remembered(run, 8), remembered(run, 10)
    assert before.keys() == after.keys() == remembered(straight[0]).keys()
    assert (after["method.queue.head"] - before["method.queue.head"]) % 48 == 2 * 12
    assert load_checkpoint(checkpoints(run)[10])["ranks"] == world


def test_a_batch_that_cannot_be_shared_out_is_refused_once_and_nothing_is_left(
    folder: Path, tmp_path: Path
) -> None:
    ranks = on_ranks(2, trained, command(folder, tmp_path / "run", batch_size=8, accumulate=3, steps=2))
    assert [rank.code for rank in ranks] == [2, 1]
    assert ranks[0].said == (
        "cluit: the batch size must be a multiple of 12 (one source and one reference for each of 2 "
        "processes in 3 parts), got 8\n"
    )
    assert ranks[1].said == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_rank_stops_all_after_the_same_step_with_a_checkpoint(
    folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    ranks = on_ranks(2, signalled, command(folder, tmp_path / "run", steps=1000), number)
    assert [rank.code for rank in ranks] == [128 + number] * 2, ranks[0].said + ranks[1].said
    assert "stopped at step 5 and saved; --resume goes on" in ranks[0].said
    assert list(checkpoints(tmp_path / "run")) == [4, 5]


def test_what_one_rank_alone_has_spoilt_ends_the_run_with_the_last_good_checkpoint(
    folder: Path, tmp_path: Path
) -> None:
    ranks = on_ranks(2, poisoned, command(folder, tmp_path / "run", steps=1000))
    assert [rank.code for rank in ranks] == [1, 1]
    assert "training diverged" in ranks[0].said
    assert "not finite at step 6" in ranks[0].said
    assert ranks[1].said == ""
    assert list(checkpoints(tmp_path / "run")) == [4]


def test_ranks_that_see_other_pictures_do_not_begin(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    (other / "00.png").unlink()
    ranks = on_ranks(2, trained_elsewhere, command(folder, tmp_path / "run", steps=2), other)
    assert [rank.code for rank in ranks] == [1, 2]
    assert re.search(
        r"process 1 sees other pictures \(29 files .*\) than the first one \(30 files", ranks[1].said
    )


def test_only_a_restart_by_the_same_torchrun_goes_on_by_itself(
    straight: tuple[Path, list[Ended]], folder: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(straight[0], tmp_path / "run"))
    words = command(folder, run, steps=8)
    (refused,) = on_ranks(1, trained, words, 0)
    assert refused.code == 2
    assert "already holds a run" in refused.said
    (again,) = on_ranks(1, trained, words, 1)
    assert again.code == 0, again.said
    (run / ".lock").write_text("another torchrun")
    (refused,) = on_ranks(1, trained, words, 1)
    assert "already holds a run" in refused.said
