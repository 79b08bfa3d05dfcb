"""`cluit bench`: seconds, memory and the share of this machine's matrix-multiply peak, side by side."""

import itertools
import json as codec
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from cluit.apps.measure import Clock, Job, measure, with_stand_ins
from cluit.apps.settings import known_method
from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.core.machine import pick_device
from cluit.data.folder import ImageFolder
from cluit.data.loader import loading_rate, require_divisible
from cluit.data.portraits import SIZES, Portraits
from cluit.methods import CONFIGS

ROW = "{:11}{:34}{:>6}{:>6}{:>10} {:24}{:>11}{:>8}{:>10}{:>8}{:>7}"
"""A line of the table."""


def bench_step(
    *,
    method: str | Sequence[str] = "cluit",
    image_size: int = 64,
    width: int = 32,
    batch_size: int | Sequence[int] = 32,
    accumulate: int | Sequence[int] = 1,
    rounds: int = 8,
    device: str = "auto",
    slow: bool = False,
    busy: bool = False,
    json: bool = False,
) -> None:
    """Measure training steps, and beside them the rate at which pictures are loaded.

    method, batch_size, accumulate: one, or several of which every combination takes its turn round by round.
        accumulate: parts that a batch is taken in.
    rounds: of two steps each, timed for each variant; figures are of one step. One more round warms up. The
        rounds have what a method does every n-th step as often as it comes, so their median may leave it out.
    slow: also time bfloat16 where this machine only imitates it. busy: see `clock_for`.

    Steps are those of a training under way, in which all networks learn. UserError where a number is out of
    range.
    """
    sizes, parts = ([one] if isinstance(one, int) else one for one in (batch_size, accumulate))
    jobs = prepare("step", method, image_size, width, sizes, rounds, device, parts)
    record = measure(jobs, rounds, slow, clock_for(jobs[0].device, busy))
    record["loading"] = loading(image_size, max(sizes), 512)
    show(record, json)


def bench_translate(
    *,
    method: str | Sequence[str] = "cluit",
    image_size: int = 64,
    width: int = 32,
    batch_size: int | Sequence[int] = (1, 16),
    rounds: int = 8,
    device: str = "auto",
    slow: bool = False,
    busy: bool = False,
    json: bool = False,
) -> None:
    """Measure translations, ``batch_size`` at once, each of a source and a reference of its own.

    On a CPU also by onnxruntime, where the extra onnx is installed.
    """
    sizes = [batch_size] if isinstance(batch_size, int) else batch_size
    jobs = prepare("translate", method, image_size, width, sizes, rounds, device)
    show(measure(jobs, rounds, slow, clock_for(jobs[0].device, busy)), json)


def clock_for(device: torch.device, busy: bool) -> Clock:
    """What tells the seconds: the clock, or on a ``busy`` machine the processor's time for this process.

    UserError where that would count several threads, or no processor's.
    """
    if busy and (device.type != "cpu" or torch.get_num_threads() != 1):
        raise UserError(
            "--busy counts the processor time of one thread; use --device cpu and OMP_NUM_THREADS=1"
        )
    return time.process_time if busy else time.perf_counter


def prepare(
    what: Literal["step", "translate"],
    method: str | Sequence[str],
    image_size: int,
    width: int,
    batch_sizes: Sequence[int],
    rounds: int,
    device: str,
    parts: Sequence[int] = (1,),
) -> list[Job]:
    """A job for each method, batch size and number of parts. UserError for what is unknown or too small."""
    names = [method] if isinstance(method, str) else list(dict.fromkeys(method))
    if what == "translate" and min(batch_sizes, default=1) < 1:
        raise UserError(f"batch_size must be positive, got {min(batch_sizes)}")
    if not batch_sizes or min(parts, default=0) < 1:
        raise UserError(f"batch_size must be named and accumulate positive, got {batch_sizes} and {parts}")
    if rounds < 1 or not names:
        raise UserError(f"rounds must be positive and a method named, got {rounds} and {', '.join(names)!r}")
    where, jobs = pick_device(device), list[Job]()
    for name in names:
        try:
            config = with_stand_ins(CONFIGS[known_method(name)](image_size=image_size, width=width))
        except ValueError as error:
            raise UserError(str(error)) from error
        for batch_size, number in itertools.product(batch_sizes, parts):
            if what == "step":
                require_divisible(batch_size, balanced=config.balanced, parts=number)
            jobs.append(Job(what, config, batch_size, where, number))
    return jobs


def loading(image_size: int, batch_size: int, pictures: int) -> dict[str, Any]:
    """Pictures per second of JPEG files of twice the size: the first time, and from the cache."""
    if pictures < 2 or batch_size < 2 or batch_size % 2:
        raise UserError(f"loading needs 2 pictures and an even batch, got {pictures} and {batch_size}")
    drawn = next((size for size in SIZES if size >= 2 * image_size), SIZES[-1])
    portraits = Portraits(min(pictures, 512), drawn)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(len(portraits)):
            as_picture(portraits[i]).save(Path(folder) / f"{i}.jpg", quality=95)
        files = ImageFolder(folder, image_size)
        first, cached = (loading_rate(files, len(files), min(batch_size, len(files))) for _ in range(2))
    return {"file_size": drawn, "pictures": len(portraits), "first_epoch": first, "later_epochs": cached}


def show(record: Mapping[str, Any], json: bool) -> None:
    """Print the record as JSON or as lines for people."""
    if json:
        print(codec.dumps(record, indent=2))
        return
    print(record["machine"])
    for precision, rate in record.get("matmul_flops_per_second", {}).items():
        conv = record["conv_flops_per_second"][precision]
        print(f"{precision}: matrix products {rate / 1e9:,.0f} GFLOP/s, 3×3 convolutions {conv / 1e9:,.0f}")
    if "rows" in record:
        size, width, rounds = record["image_size"], record["width"], record["rounds"]
        turns = f"{rounds} rounds" + (" of two steps" if record["what"] == "step" else "")
        counted = " of processor time" if record["processor_time"] else ""
        print(
            f"{record['what']} at {size} px, width {width}: medians{counted} of {turns}, fastest to slowest"
        )
        print(
            ROW.format(
                "method",
                "variant",
                "batch",
                "parts",
                "seconds",
                "",
                "pictures/s",
                "speed",
                "peak MiB",
                "GFLOP",
                "share",
            )
        )
    for row in record.get("rows", ()):
        memory = "–" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:,.0f}"
        print(
            ROW.format(
                row["method"],
                row["variant"] + (" (default)" if row["default"] else ""),
                row["batch_size"],
                row["parts"],
                f"{row['seconds']:.4f}",
                f"({row['fastest']:.4f} to {row['slowest']:.4f})",
                f"{row['pictures_per_second']:.1f}",
                f"{row['times_as_fast']:.2f}×",
                memory,
                f"{row['flops'] / 1e9:,.0f}",
                f"{row['share_of_peak']:.0%}",
            )
        )
    for name in record.get("left_out", ()):
        print(f"{name}: left out, as this machine only imitates it, tens of times slower; --slow times it")
    if "loading" in record:
        rates = record["loading"]
        print(
            f"loading {rates['pictures']} JPEG files of {rates['file_size']} px: {rates['first_epoch']:,.0f} "
            f"pictures/s at first, {rates['later_epochs']:,.0f} from the cache"
        )
