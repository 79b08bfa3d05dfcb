"""`cluit bench gpu`: one run that says what a CUDA machine gives. Whatever fails there is a line, no more.

It runs on a CPU, too, where most of it is left out.
"""

import gc
import json as codec
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from cluit.apps import bench_data, bench_evaluate
from cluit.apps.gpu_setups import (
    COMPILED,
    COMPILED_ELSEWHERE,
    DEFAULT,
    EAGER,
    STEPS,
    TRANSLATING,
    Setup,
    training,
    translating,
    waits,
)
from cluit.apps.measure import Work, count_flops, matmul_rate, take_turns, wait_for
from cluit.core.errors import UserError
from cluit.core.machine import describe, pick_device
from cluit.data.loader import require_divisible
from cluit.methods import CONFIGS

ROW = "{:34}{:>9} {:22}{:>9}{:>8}{:>9}{:>7}{:>9}{:>9}"
"""A line of the table of steps; warm-up is the first round, with what is searched for and compiled."""
GOAL_SHARE, GOAL_PACE = 0.25, 15.0
"""Of the measured matrix peak, and steps a second on a card of the H100's class, at the paper's setting."""
EAGER_UNTIL, COMPILED_FROM, COMPILED_UNTIL = 0.5, 0.25, 0.05
"""Shares of the minutes that must be left for eager steps, for a compilation to begin, for compiled steps."""


@dataclass
class Bench:
    """What is measured, until when, and what has failed."""

    config: Any
    batch_size: int
    rounds: int
    minutes: float
    device: torch.device
    silent: bool
    began: float = field(default_factory=time.perf_counter)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Share of the minutes that is left."""
        return 1 - (time.perf_counter() - self.began) / 60 / self.minutes

    def say(self, text: str) -> None:
        if not self.silent:
            print(text, flush=True)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """What fails within is a line, and its memory is given back."""
        try:
            yield
        except Exception as error:  # whatever it is, it is not worth the rest
            said = " ".join(str(error).split("\n\n")[0].split())
            self.fail(name, f"{type(error).__name__}: {said[:200]}")
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def fail(self, name: str, reason: str) -> None:
        self.failed[name] = reason
        self.say(f"{name}: left out ({reason})")

    def ready(self, part: str, setup: Setup, reserve: float = 0.0) -> bool:
        """Whether a setup can be had here and there is time; a line where not."""
        why = setup.missing(self.device) or ("no time is left" if self.left < reserve else None)
        if why:
            self.fail(f"{part}, {setup.name}", why)
        return why is None


def bench_gpu(
    *,
    image_size: int = 128,
    width: int = 64,
    batch_size: int = 32,
    rounds: int = 4,
    minutes: float = 8.0,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Measure steps, translations, evaluation and loading; print each as soon as it is known.

    rounds: of `STEPS` steps, timed of each setup, fewer on a slow device. minutes: no part begins later.
    UserError where a number is out of range.
    """
    if rounds < 1 or minutes <= 0:
        raise UserError(f"rounds and minutes must be positive, got {rounds} and {minutes}")
    require_divisible(batch_size)
    where = pick_device(device)
    try:
        config = CONFIGS["cluit"](image_size=image_size, width=width)
    except ValueError as error:
        raise UserError(str(error)) from error
    record = measured(Bench(config, batch_size, rounds, minutes, where, silent=json))
    if json:
        print(codec.dumps(record, indent=2))


def measured(bench: Bench) -> dict[str, Any]:
    """All parts, as JSON values; what has failed is under ``failed``."""
    config = bench.config
    record: dict[str, Any] = {
        "machine": describe(bench.device),
        "image_size": config.image_size,
        "width": config.width,
        "batch_size": bench.batch_size,
        "failed": bench.failed,
        "steps": [],
    }
    bench.say(f"{record['machine']}\n{config.image_size} px, width {config.width}, batch {bench.batch_size}")
    record["matmul_flops_per_second"] = peaks = matrix_peaks(bench)
    flops = 0
    with bench.attempt("operations of a step"):
        flops = count_flops(training(EAGER[0], config, bench.batch_size, bench.device)) // STEPS
        bench.say(f"a step: {flops / 1e12:.3f} TFLOP, R1 of every {STEPS}th included")
    record["flops"] = flops
    record["steps"] += steps(bench, EAGER, flops, peaks, EAGER_UNTIL, EAGER_UNTIL)
    for name, part in PARTS.items():
        with bench.attempt(name):
            record[name] = part(bench)
    compiled = COMPILED if bench.device.type == "cuda" else COMPILED_ELSEWHERE
    record["steps"] += steps(bench, compiled, flops, peaks, COMPILED_FROM, COMPILED_UNTIL)
    record["verdict"] = verdict(record["steps"], flops)
    bench.say(record["verdict"])
    bench.say(f"all in {(1 - bench.left) * bench.minutes:.1f} minutes")
    return record


def matrix_peaks(bench: Bench) -> dict[str, float]:
    """Operations per second of large matrix products, by what their numbers are rounded to."""
    found = dict[str, float]()
    for setup in (EAGER[0], EAGER[2], DEFAULT):
        if bench.ready("matrix products", setup):
            with bench.attempt(f"matrix products, {setup.peak}"), setup.flags():
                found[setup.peak] = matmul_rate(getattr(torch, setup.precision), bench.device)
                bench.say(f"matrix products, {setup.peak}: {found[setup.peak] / 1e12:,.2f} TFLOP/s")
    return found


def steps(
    bench: Bench,
    setups: Sequence[Setup],
    flops: int,
    peaks: Mapping[str, float],
    begins: float,
    ends: float,
) -> list[dict[str, Any]]:
    """Training steps in these setups, which take turns; others are compared with the first that can be had.

    begins, ends: shares of the minutes that must be left to begin another setup, another round.
    """
    works, warm, memory = dict[Setup, Work](), dict[Setup, float](), dict[Setup, int | None]()
    for setup in setups:
        if not bench.ready("step", setup, begins):
            continue
        with bench.attempt(f"step, {setup.name}"):
            began, before = time.perf_counter(), allocated(bench.device)
            work = training(setup, bench.config, bench.batch_size, bench.device)
            work(0)
            wait_for(bench.device)
            works[setup], warm[setup] = work, time.perf_counter() - began
            memory[setup] = None if before is None else torch.cuda.max_memory_allocated(bench.device) - before
    seconds: dict[Setup, list[float]] = {setup: [] for setup in works}
    for number in range(bench.rounds if works else 0):
        if number and bench.left < ends:
            break
        for setup, times in take_turns(works, 1, bench.device).items():
            seconds[setup] += times
    rows = list[dict[str, Any]]()
    for setup, times in seconds.items():
        middle = statistics.median(times) / STEPS
        rows.append(
            {
                "name": setup.name,
                "seconds": middle,
                "fastest": min(times) / STEPS,
                "slowest": max(times) / STEPS,
                "steps_per_second": 1 / middle,
                "times_as_fast": rows[0]["seconds"] / middle if rows else 1.0,
                "flops_per_second": flops / middle,
                "share_of_peak": flops / middle / peaks[setup.peak]
                if flops and setup.peak in peaks
                else None,
                "peak_bytes": memory[setup],
                "warm_up": warm[setup],
            }
        )
    bench.say(table(rows))
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """For people."""
    lines = [ROW.format("step", "seconds", "", "steps/s", "speed", "TFLOP/s", "share", "MiB", "warm-up")]
    for row in rows:
        cells = (
            row["name"],
            f"{row['seconds']:.4f}",
            f"({row['fastest']:.4f} to {row['slowest']:.4f})",
            f"{row['steps_per_second']:.2f}",
            f"{row['times_as_fast']:.2f}×",
            f"{row['flops_per_second'] / 1e12:.2f}",
            "–" if row["share_of_peak"] is None else f"{row['share_of_peak']:.0%}",
            "–" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:,.0f}",
            f"{row['warm_up']:.0f} s",
        )
        lines.append(ROW.format(*cells))
    return "\n".join(lines)


def allocated(device: torch.device) -> int | None:
    """Bytes that tensors hold on a CUDA device, from where on the peak is counted anew; None elsewhere."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def waiting(bench: Bench) -> float | None:
    """How often a step waits for the GPU."""
    if bench.device.type != "cuda":
        bench.fail("waits", "needs CUDA")
        return None
    work = training(DEFAULT, bench.config, bench.batch_size, bench.device)
    work(0)
    often = waits(work)
    bench.say(f"a step waits for the GPU {often:.1f} times")
    return often


def translations(bench: Bench) -> list[dict[str, Any]]:
    """One at a time and a batch at once."""
    rows = []
    for count in (1, bench.batch_size):
        works = {}
        for setup in TRANSLATING:
            if bench.ready(f"translation of {count}", setup):
                with bench.attempt(f"translation of {count}, {setup.name}"):
                    work = translating(setup, bench.config, count, bench.device)
                    work(0)
                    works[setup] = work
        for setup, times in take_turns(works, 5 * bench.rounds, bench.device).items():
            middle = statistics.median(times)
            rows.append({"name": setup.name, "count": count, "seconds": middle, "fastest": min(times)})
            bench.say(
                f"translation of {count:>3}, {setup.name:28}{1000 * middle:>9.2f} ms"
                f"{count / middle:>12,.1f} pictures/s"
            )
    return rows


def evaluation(bench: Bench) -> dict[str, Any]:
    """`cluit bench evaluate` at 64 px, or at less where steps are measured at less."""
    record = bench_evaluate.measured(
        max(12, 3 * bench.batch_size), 10, min(64, bench.config.image_size), bench.config.width, "random",
        bench.batch_size, bench.rounds, bench.device.type, False,
    )  # fmt: skip
    bench.say(bench_evaluate.told(record))
    return record


def loading(bench: Bench) -> dict[str, Any]:
    """`cluit bench data` with as many threads as the machine has processors, at most 16."""
    threads = min(16, os.cpu_count() or 1)
    pictures = 16 * bench.batch_size
    record = bench_data.measured(
        None, bench.config.image_size, bench.batch_size, pictures, threads, min(3, bench.rounds)
    )
    bench.say(bench_data.told(record))
    return record


PARTS: Mapping[str, Callable[[Bench], Any]] = {
    "waits": waiting,
    "translation": translations,
    "evaluation": evaluation,
    "loading": loading,
}


def verdict(rows: Sequence[Mapping[str, Any]], flops: int) -> str:
    """What has been reached of the goals, by the fastest setup."""
    if not rows:
        return "no step could be measured"
    best = max(rows, key=lambda row: row["steps_per_second"])
    share = "an unknown share" if best["share_of_peak"] is None else f"{best['share_of_peak']:.0%}"
    return (
        f"fastest: {best['name']}, {best['steps_per_second']:.2f} steps/s (goal {GOAL_PACE:.0f}, for a step "
        f"of 7.1 TFLOP on a card of the H100's class; this one has {flops / 1e12:.3f}), {share} of the "
        f"measured matrix peak (goal {GOAL_SHARE:.0%})"
    )
