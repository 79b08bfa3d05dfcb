"""A job killed at any instant can be resumed, and ends as if nothing had happened.

``CLUIT_KILLS=99 pytest tests/apps/test_bulk_killed.py -s`` kills as often; the suite kills thrice a kind.
"""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from cluit.apps.bulk.record import RECORD
from cluit.core.images import as_picture

KILLS = int(os.environ.get("CLUIT_KILLS", "3"))


def assert_nothing_is_torn(out: Path) -> None:
    """What others may look at while a job works is whole at every instant."""
    for path in out.rglob("[!.]*.png"):
        with Image.open(path) as picture:
            picture.load()
    if (manifest := out / "manifest.csv").exists() and manifest.stat().st_size:
        assert manifest.read_bytes().endswith(b"\n")
        with manifest.open(newline="") as file:
            for row in csv.DictReader(file):
                inside = row["output"].find(".tar/")
                assert (out / row["output"][: None if inside < 0 else inside + 4]).is_file()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != RECORD
    }


class Zygote:
    """A process that forks jobs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.asking, self.answers = process.stdin, process.stdout

    def ask(self, line: str) -> str:
        self.asking.write(line + "\n")
        self.asking.flush()
        return self.answers.readline().strip()

    def finish(self) -> int:
        """The exit code of the latest job."""
        return os.waitstatus_to_exitcode(int(self.ask("")))


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("bulk_zygote.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        made = Zygote(process)
        assert made.answers.readline().strip() == "ready"
        yield made


@pytest.mark.parametrize("words", ["--each 2", "--nearest 2 --shards 10"])
def test_killing_at_random_instants_changes_nothing(
    zygote: Zygote, tiny_model: Path, tmp_path: Path, words: str
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(30):
        as_picture(torch.randint(256, (3, 40, 40), dtype=torch.uint8)).save(pictures / f"{i}.png")
    straight, began = tmp_path / "straight", time.monotonic()
    zygote.ask(f"{tiny_model} {pictures} {straight} {words}")
    assert zygote.finish() == 0
    duration, expected = time.monotonic() - began, contents(straight)

    kills, jobs, out, chance = 0, 0, tmp_path / "killed-0", random.Random(0)
    while kills < KILLS:
        child = int(zygote.ask(f"{tiny_model} {pictures} {out} {words}"))
        time.sleep(chance.uniform(0, duration))
        os.kill(child, signal.SIGKILL)
        code = zygote.finish()
        kills += code != 0
        assert_nothing_is_torn(out)
        if code == 0 or kills == KILLS:
            zygote.ask(f"{tiny_model} {pictures} {out} {words}")
            assert zygote.finish() == 0
            assert contents(out) == expected
            jobs, out = jobs + 1, tmp_path / f"killed-{kills}"
    print(f"{kills} kills in {jobs} jobs of {duration:.1f} s")
