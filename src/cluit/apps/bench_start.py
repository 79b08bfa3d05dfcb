"""`cluit bench start`: how long until there is something to see, as whole processes.

Beside the time by the clock stands the processors' own, which hardly depends on what else a machine does.
"""

import json as codec
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cluit.core.errors import UserError
from cluit.core.machine import describe
from cluit.engine.log import read_log

BARE, HELP, TRAIN = "python that imports numpy", "cluit --help", "first training step"
OWN = [sys.executable, "-m", "cluit"]


def bench_start(
    data: str | Path | None = None,
    *,
    recipe: str = "small",
    rounds: int = 5,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Measure the help beside a bare Python, in turns, and the time from the command to the first step on
    ``data``, of a training by this recipe. UserError where that training is refused."""
    if rounds < 1:
        raise UserError(f"rounds must be positive, got {rounds}")
    spent: dict[str, list[Spent]] = {BARE: [], HELP: []}
    for _ in range(rounds + 1):
        spent[BARE].append(whole([sys.executable, "-c", "import numpy"]))
        spent[HELP].append(whole([*OWN, "--help"]))
    spent = {name: times[1:] for name, times in spent.items()}  # the first read files from the disk
    ratios = [own.seconds / bare.seconds for own, bare in zip(spent[HELP], spent[BARE], strict=True)]
    if data is not None:
        spent[TRAIN] = [first_step(data, recipe, device) for _ in range(rounds)]
    record = {
        "machine": describe(torch.device("cpu")),
        "data": None if data is None else str(data),
        "recipe": recipe,
        "rounds": rounds,
        "help_ratio": {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)},
        "rows": [
            {
                "name": name,
                "seconds": statistics.median(one.seconds for one in times),
                "fastest": min(one.seconds for one in times),
                "slowest": max(one.seconds for one in times),
                "processor_seconds": statistics.median(one.processor for one in times),
            }
            for name, times in spent.items()
        ],
    }
    print(codec.dumps(record, indent=2) if json else told(record))


class Spent(NamedTuple):
    """By the clock, and by the processors that worked on it."""

    seconds: float
    processor: float


def of_children() -> float:
    """Processor seconds of all child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def whole(command: Sequence[str]) -> Spent:
    """From the start of a process to its end."""
    began, before = time.perf_counter(), of_children()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Spent(time.perf_counter() - began, of_children() - before)


def first_step(data: str | Path, recipe: str, device: str) -> Spent:
    """From the command to the first line of its log, which comes after a whole step."""
    with tempfile.TemporaryDirectory() as folder, open(Path(folder, "said"), "w+") as said:
        run = Path(folder, "run")
        command = [*OWN, "train", os.fspath(data), "--out", str(run), "--recipe", recipe, "--device", device]
        began, before = time.perf_counter(), of_children()
        with subprocess.Popen([*command, "--log-every", "1"], stdout=said, stderr=said) as process:
            try:
                while not read_log(run / "log.jsonl"):
                    if process.poll() is not None:
                        said.seek(0)
                        *_, reason = ["it said nothing", *said.read().splitlines()]
                        raise UserError(f"the training did not start: {reason}")
                    time.sleep(0.01)
                seconds = time.perf_counter() - began
            finally:
                process.kill()
        return Spent(seconds, of_children() - before)


def told(record: Mapping[str, Any]) -> str:
    """For people."""
    lines = [record["machine"], f"medians of {record['rounds']} rounds, fastest to slowest"]
    for row in record["rows"]:
        spread = f"({row['fastest']:.2f} to {row['slowest']:.2f})"
        worked = f"{row['processor_seconds']:>8.2f} s of processors"
        lines.append(f"{row['name']:28}{row['seconds']:>8.2f} s {spread:20}{worked}")
    ratio = record["help_ratio"]
    lines.append(
        f"the help takes {ratio['median']:.2f} times ({ratio['lowest']:.2f} to {ratio['highest']:.2f}) the "
        "bare start"
    )
    return "\n".join(lines)
