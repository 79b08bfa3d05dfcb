"""torchrun starts the ranks, and starts them again where one is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ranks import on_ranks
from test_training import assert_same, folder, logged
from trainings import command, trained

from cluit.engine.checkpoint import checkpoints

__all__ = ["folder"]
PATIENCE = 600  # seconds after which nothing more is hoped for: on busy cores each start takes a minute
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1")


def rank_of(process: str) -> str | None:
    """Of a process by its number, where torchrun has started it."""
    try:
        words = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((word[5:].decode() for word in words if word.startswith(b"RANK=")), None)


def children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def test_a_killed_rank_is_started_again_and_the_run_ends_as_if_nothing_had_happened(
    folder: Path, tmp_path: Path
) -> None:
    """The second rank is killed once there is a checkpoint; torchrun ends the first one and starts both."""
    run, straight = tmp_path / "run", tmp_path / "straight"
    words = command(folder, run, steps=24, grid_every=24, score_every=24)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with (tmp_path / "said.txt").open("w") as said:
        agent = subprocess.Popen([sys.executable, *TORCHRUN, "-m", "cluit", *words], env=env, stderr=said)
    deadline = time.monotonic() + PATIENCE
    while not checkpoints(run) and time.monotonic() < deadline:
        time.sleep(0.05)
    (second,) = (child for child in children(agent.pid) if rank_of(child) == "1")
    os.kill(int(second), signal.SIGKILL)
    try:
        assert agent.wait(PATIENCE) == 0, (tmp_path / "said.txt").read_text()
    finally:
        agent.terminate()  # which ends its ranks, too
        agent.wait()
    told = (tmp_path / "said.txt").read_text()
    assert told.count("steps 0 to 24") == 1
    assert told.count(" to 24") == 2  # the second time from a checkpoint
    words[words.index(str(run))] = str(straight)
    assert {rank.code for rank in on_ranks(2, trained, words)} == {0}
    assert_same(run, straight)
    assert logged(run) == logged(straight)
