"""A run killed at any instant can be resumed, and ends as if nothing had happened.

``CLUIT_KILLS=500 pytest tests/engine/test_kill.py`` kills as often; the suite kills a dozen times.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_training import ToyConfig, final_state, same

from cluit.engine.checkpoint import is_whole
from cluit.engine.log import read_log
from cluit.export import weights

KILLS = int(os.environ.get("CLUIT_KILLS", "12"))
STEPS = 24


class Zygote:
    """A process with torch loaded that forks trainings on request."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("toy_training.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self.read() == "ready"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def start(self, run: Path, steps: int) -> None:
        """Begin or go on with training in ``run``."""
        self.write(f"{run} {steps}")
        self.child = int(self.read())

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the training, then wait for it."""
        os.kill(self.child, number)
        return self.wait()

    def wait(self) -> int:
        """The exit code of the training, negative for a signal."""
        self.write("")
        return os.waitstatus_to_exitcode(int(self.read()))


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    with zygote.process:
        yield zygote
        zygote.process.communicate()


def logged(run: Path) -> list[dict[str, object]]:
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in read_log(run / "log.jsonl")]


def test_killing_at_random_instants_changes_nothing(zygote: Zygote, tmp_path: Path) -> None:
    straight = tmp_path / "straight"
    began = time.monotonic()
    zygote.start(straight, STEPS)
    assert zygote.wait() == 0
    duration = time.monotonic() - began

    kills, runs, run, chance = 0, 0, tmp_path / "killed", random.Random(0)
    while kills < KILLS:
        zygote.start(run, STEPS)
        time.sleep(chance.uniform(0, duration / 2))
        code = zygote.kill()
        kills += code != 0
        assert_nothing_is_torn(run)
        if code == 0 or kills == KILLS:
            zygote.start(run, STEPS)
            assert zygote.wait() == 0
            assert same(final_state(run), final_state(straight))
            assert logged(run) == logged(straight)
            runs, run = runs + 1, tmp_path / f"killed-{kills}"
    print(f"{kills} kills in {runs} runs")


def assert_nothing_is_torn(run: Path) -> None:
    """What others may look at while a run trains is whole at every instant."""
    for path in (run / "checkpoints").glob("step-*.pt"):
        assert is_whole(path)
    if (run / "model" / "model.json").exists():
        weights.load(run / "model", {"toy": ToyConfig})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_from_outside_ends_a_run_cleanly(
    zygote: Zygote, tmp_path: Path, number: signal.Signals
) -> None:
    zygote.start(tmp_path / "run", 100_000)
    while not logged(tmp_path / "run"):
        time.sleep(0.01)
    assert zygote.kill(number) == 0
    done = final_state(tmp_path / "run")[".step"]
    assert 3 <= done < 100_000
    for run in ("run", "straight"):
        zygote.start(tmp_path / run, done + 4)
        assert zygote.wait() == 0
    assert same(final_state(tmp_path / "run"), final_state(tmp_path / "straight"))
