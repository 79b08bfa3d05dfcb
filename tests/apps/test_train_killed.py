"""``cluit train`` killed at any instant can be resumed, and ends as if nothing had happened.

``CLUIT_KILLS=300 pytest tests/apps/test_train_killed.py -s`` kills as often; the suite kills five times.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from traces import logged, remembered

from cluit.core.chance import seed_step
from cluit.core.images import as_picture
from cluit.engine.checkpoint import is_whole
from cluit.export import weights
from cluit.methods import CONFIGS

KILLS = int(os.environ.get("CLUIT_KILLS", "5"))


def assert_nothing_is_torn(run: Path) -> None:
    """What others may look at while a run trains is whole at every instant."""
    for path in (run / "checkpoints").glob("step-*.pt"):
        assert is_whole(path)
    for model in (run / "model", run / "best"):
        if (model / weights.CARD).exists():
            weights.load(model, CONFIGS)


def test_killing_at_random_instants_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    seed_step(0, 0)
    for i in range(20):
        as_picture(torch.randint(256, (3, 32, 32), dtype=torch.uint8)).save(folder / f"{i}.png")
    zygote = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("train_zygote.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with zygote:

        def ask(line: str) -> str:
            assert zygote.stdin is not None
            assert zygote.stdout is not None
            zygote.stdin.write(line + "\n")
            zygote.stdin.flush()
            return zygote.stdout.readline().strip()

        def finish() -> int:
            return os.waitstatus_to_exitcode(int(ask("")))

        assert zygote.stdout is not None
        assert zygote.stdout.readline().strip() == "ready"
        straight, began = tmp_path / "straight", time.monotonic()
        ask(f"{folder} {straight}")
        assert finish() == 0
        duration = time.monotonic() - began

        kills, runs, run, chance = 0, 0, tmp_path / "killed-0", random.Random(0)
        while kills < KILLS:
            child = int(ask(f"{folder} {run}"))
            time.sleep(chance.uniform(0, duration))
            os.kill(child, signal.SIGKILL)
            code = finish()
            kills += code != 0
            assert_nothing_is_torn(run)
            if code == 0 or kills == KILLS:
                ask(f"{folder} {run}")
                assert finish() == 0
                a, b = remembered(run), remembered(straight)
                assert a.keys() == b.keys()
                assert all(torch.equal(a[name], b[name]) for name in a)
                assert logged(run) == logged(straight)
                for name in ("model/model.safetensors", "best/model.safetensors", "grids/step-00000012.png"):
                    assert (run / name).read_bytes() == (straight / name).read_bytes()
                runs, run = runs + 1, tmp_path / f"killed-{kills}"
        print(f"{kills} kills in {runs} runs of {duration:.1f} s")
