"""Nobody may be listening, and what is said is said as it is."""

import subprocess
import sys

import pytest

from cluit.engine.console import run_console

TALK = """
import sys, time, warnings
from cluit.engine.console import run_console
from cluit.engine.log import ProgressBar
console = run_console()
if sys.argv[1] == "closed":
    sys.stderr.close()
elif sys.argv[1] == "pipe":
    sys.stdin.read()  # until the reader of stderr is gone
for t in range(3):
    console.print(f"step {t}")
with ProgressBar(9, batch_size=2, console=console, quiet=0) as bar:
    bar(1, {}, None)
print("the end", file=sys.stderr) if sys.argv[1] != "closed" else None
print("trained")
"""


@pytest.mark.parametrize("way", ["pipe", "closed", "full"])
def test_a_lost_console_neither_stops_a_run_nor_changes_its_exit_code(way: str) -> None:
    with open("/dev/full", "w") as full:
        child = subprocess.Popen(
            [sys.executable, "-c", TALK, way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=full if way == "full" else subprocess.PIPE,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        assert child.stdout is not None
        if way == "pipe":
            assert child.stderr is not None
            child.stderr.close()
            child.stderr = None
        out, _ = child.communicate()
    assert out == b"trained\n"
    assert child.returncode == 0


def test_brackets_and_colons_are_only_that(capsys: pytest.CaptureFixture[str]) -> None:
    run_console().print("see /runs/[red]a[/nothing]/:smile:/skipped.txt", style="bold red")
    assert capsys.readouterr().err == "see /runs/[red]a[/nothing]/:smile:/skipped.txt\n"
