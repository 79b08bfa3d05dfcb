"""`cluit bench growth`: time and memory of a step against everything that makes it larger, and their laws."""

import json as codec
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cluit.apps.bench import clock_for
from cluit.apps.growth_plot import Panel, plot
from cluit.apps.measure import Job, Variant, Work, count_flops, peak_memory, take_turns
from cluit.core.errors import UserError
from cluit.core.files import atomic_file
from cluit.core.machine import describe, has_fast_bfloat16, pick_device
from cluit.data.loader import require_divisible
from cluit.methods import CONFIGS

STEP_AXES = ("image_size", "width", "batch_size", "queue_size")
REFERENCES = "references"
LAWS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "image_size": ((2,), (2,)),
    "width": ((2,), (1, 2)),
    "batch_size": ((1,), (1,)),
    "queue_size": ((0,), (0,)),
    REFERENCES: ((1,), (1,)),
}
"""Expected exponents of time and of memory. Where there are two, parts grow by different laws: of the width
maps by the first, weights by the second."""


@dataclass(frozen=True)
class Fan(Job):
    """One source, encoded once, in the styles of ``batch_size`` references."""

    def build(self, variant: Variant) -> Work:
        translator = self.config.build_translator().eval()
        translator.to(device=self.device, memory_format=variant.memory_format)
        references = self.images(variant)

        @torch.inference_mode()
        def translate(number: int) -> None:
            with self.autocast(variant):
                structure = translator.encode_structure(references[:1])
                styles = translator.encode_style(references)
                translator.decode(structure.expand(len(styles), -1, -1, -1), styles)

        return translate


def bench_growth(
    *,
    image_size: Sequence[int] = (64, 32, 128, 256),
    width: Sequence[int] = (16, 8, 32, 64),
    batch_size: Sequence[int] = (4, 2, 8, 16, 32),
    queue_size: Sequence[int] = (2048, 512, 8192, 32768),
    references: Sequence[int] = (4, 1, 2, 8, 16),
    rounds: int = 3,
    device: str = "auto",
    busy: bool = False,
    out: str | Path | None = None,
    json: bool = False,
) -> None:
    """Measure a training step of CLUIT, and a translation to several references, as one number grows.

    Each sequence has the values of one number; its first is what it has while others grow. rounds: timed of
    each, in turns. busy: see `clock_for`. out: a new file for the plot, SVG. UserError where a number is out
    of range.
    """
    axes = {
        "image_size": image_size, "width": width, "batch_size": batch_size, "queue_size": queue_size,
        REFERENCES: references,
    }  # fmt: skip
    file = None if out is None else Path(out).expanduser()
    if file is not None and file.exists():
        raise UserError(f"{file} is there already; move it away, or name another --out")
    record = measured(axes, rounds, device, busy)
    print(codec.dumps(record, indent=2) if json else told(record))
    if file is not None:
        with atomic_file(file) as written:
            written.write(plot(panels(record)).encode())


def measured(
    axes: Mapping[str, Sequence[int]], rounds: int, device: str, busy: bool = False
) -> dict[str, Any]:
    """All figures, as JSON values. ``points`` are in the order of their values."""
    if rounds < 1 or not all(axes.values()):
        raise UserError(f"rounds must be positive and every number have a value, got {rounds} and {axes}")
    where = pick_device(device)
    clock = clock_for(where, busy)
    jobs = jobs_of(axes, where)
    every = list(dict.fromkeys(job for row in jobs.values() for job in row.values()))
    variant = Variant("bfloat16" if has_fast_bfloat16(where) else "float32", channels_last=True)
    memory = {job: peak_memory(job, variant) for job in every}
    works = {job: job.build(variant) for job in every}
    macs = {job: count_flops(work) / 2 / job.repeats for job, work in works.items()}  # warms up, too
    seconds = take_turns(works, rounds, where, clock)
    return {
        "machine": describe(where),
        "variant": variant.name,
        "base": {name: values[0] for name, values in axes.items()},
        "rounds": rounds,
        "processor_time": busy,
        "axes": {
            name: grown(
                [
                    {
                        "value": value,
                        "seconds": statistics.median(seconds[job]) / job.repeats,
                        "fastest": min(seconds[job]) / job.repeats,
                        "slowest": max(seconds[job]) / job.repeats,
                        "peak_bytes": memory[job],
                        "macs": macs[job],
                    }
                    for value, job in sorted(row.items())
                ],
                *LAWS[name],
            )
            for name, row in jobs.items()
        },
    }


def jobs_of(axes: Mapping[str, Sequence[int]], device: torch.device) -> dict[str, dict[int, Job]]:
    """By name and value what to measure. UserError for a value out of range."""

    def job(kind: Callable[..., Job], what: str, numbers: Mapping[str, int]) -> Job:
        settings = {name: value for name, value in numbers.items() if name != "batch_size"}
        try:
            return kind(what, CONFIGS["cluit"](**settings), numbers["batch_size"], device)
        except ValueError as error:
            raise UserError(str(error)) from error

    base = {name: axes[name][0] for name in STEP_AXES}
    for batch_size in axes["batch_size"]:
        require_divisible(batch_size)
    if min(axes[REFERENCES]) < 1:
        raise UserError(f"references must be positive, got {min(axes[REFERENCES])}")
    steps = {
        name: {value: job(Job, "step", {**base, name: value}) for value in axes[name]} for name in STEP_AXES
    }
    fans = {value: job(Fan, "translate", {**base, "batch_size": value}) for value in axes[REFERENCES]}
    return {**steps, REFERENCES: fans}


def grown(
    points: Sequence[Mapping[str, Any]], time_law: Sequence[float], memory_law: Sequence[float]
) -> dict[str, Any]:
    """The points with fitted exponents, of all and of the last two alone, beside the expected ones; None
    where they cannot be fitted."""
    names = "seconds", "peak_bytes", "macs"
    return {
        "points": points,
        "exponents": {name: exponent(points, name) for name in names},
        "last_exponents": {name: exponent(points[-2:], name) for name in names},
        "expected": {"seconds": list(time_law), "peak_bytes": list(memory_law)},
    }


def exponent(points: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Of the power of the value that is nearest to these numbers, by least squares of their logarithms."""
    known = [(math.log(one["value"]), math.log(one[name])) for one in points if one[name]]
    if len({x for x, _ in known}) < 2:
        return None
    return statistics.linear_regression(*zip(*known, strict=True)).slope


def panels(record: Mapping[str, Any]) -> list[Panel]:
    """For each number a plot of time and one of memory."""
    found = []
    for name, axis in record["axes"].items():
        what = "a translation" if name == REFERENCES else "a step"
        for kind, title, unit in (
            ("seconds", f"seconds of {what}", 1.0),
            ("peak_bytes", f"memory of {what}, MiB", 2.0**20),
        ):
            points = [(one["value"], one[kind] / unit) for one in axis["points"] if one[kind]]
            found.append(
                Panel(
                    title,
                    name.replace("_", " "),
                    points,
                    record["base"][name],
                    axis["expected"][kind],
                    axis["exponents"][kind],
                    axis["last_exponents"][kind],
                )
            )
    return found


def told(record: Mapping[str, Any]) -> str:
    """For people, in Markdown."""
    base = ", ".join(f"{name} {value}" for name, value in record["base"].items())
    medians = "medians of processor time" if record["processor_time"] else "medians"
    lines = [
        record["machine"],
        f"{record['variant']}; {base}, unless they grow",
        f"{medians} of {record['rounds']} rounds, fastest to slowest",
        "",
        "| what grows | to | seconds | | memory, MiB | multiply-adds, M |",
        "|---|---:|---:|---|---:|---:|",
    ]
    for name, axis in record["axes"].items():
        for one in axis["points"]:
            memory = "–" if one["peak_bytes"] is None else f"{one['peak_bytes'] / 2**20:,.0f}"
            lines.append(
                f"| {name} | {one['value']} | {one['seconds']:.3f} | {one['fastest']:.3f} to "
                f"{one['slowest']:.3f} | {memory} | {one['macs'] / 1e6:,.0f} |"
            )
    head = "exponent of", "time", "its last two", "expected", "multiply-adds"
    lines += [
        "",
        f"| {' | '.join(head)} | memory | its last two | expected |",
        "|---|---:" + "|---:" * 6 + "|",
    ]
    for name, axis in record["axes"].items():
        cells = [
            name, *fitted(axis, "seconds"), written(axis["exponents"]["macs"]), *fitted(axis, "peak_bytes")
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fitted(axis: Mapping[str, Any], kind: str) -> tuple[str, str, str]:
    """The exponents of a kind of figure: of all points, of the last two, and as expected."""
    law = " to ".join(f"{value:g}" for value in axis["expected"][kind])
    return written(axis["exponents"][kind]), written(axis["last_exponents"][kind]), law


def written(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
