"""What `cluit bench` measures with: work in several variants, in turns, its memory and its operations."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from cluit.core.chance import seed_step
from cluit.core.machine import describe, has_fast_bfloat16
from cluit.core.types import Batch
from cluit.engine.average import Average
from cluit.engine.descent import Descent

Work = Callable[[int], None]
"""One round of what is measured; its argument counts rounds from 0."""


@dataclass(frozen=True)
class Variant:
    """How numbers are stored."""

    precision: Literal["float32", "bfloat16"]
    channels_last: bool

    @property
    def name(self) -> str:
        return self.precision + (" channels_last" if self.channels_last else "")

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


PLAIN = Variant("float32", False)
VARIANTS = (PLAIN, Variant("float32", True), Variant("bfloat16", True))


@dataclass(frozen=True)
class Job:
    """Everything that says what to measure, in a form that another process can be sent."""

    what: Literal["step", "translate"]
    config: Any
    batch_size: int
    device: torch.device

    def build(self, variant: Variant) -> Work:
        """The work itself, on random pictures: speed does not depend on what they show."""
        return (training if self.what == "step" else translating)(self, variant)

    def images(self, variant: Variant) -> Tensor:
        size = self.config.image_size
        images = torch.rand(self.batch_size, 3, size, size, device=self.device) * 2 - 1
        return images.contiguous(memory_format=variant.memory_format)

    def autocast(self, variant: Variant) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=variant.precision == "bfloat16")


def training(job: Job, variant: Variant) -> Work:
    """One training step, the moving average included."""
    method = job.config.build()
    method.to(device=job.device, memory_format=variant.memory_format)
    descend, average = Descent(method.optimizers()), Average(method.translator)
    batch = Batch(job.images(variant))

    def step(t: int) -> None:
        seed_step(0, t)
        with job.autocast(variant):
            method.step(batch, descend, t)
        average.follow(method.translator, method.average_decay(t))

    return step


def translating(job: Job, variant: Variant) -> Work:
    """Both halves of as many sources and references, and the pictures that have both."""
    translator = job.config.build_translator().eval()
    translator.to(device=job.device, memory_format=variant.memory_format)
    sources, references = job.images(variant), job.images(variant)

    @torch.inference_mode()
    def translate(t: int) -> None:
        with job.autocast(variant):
            translator.translate(sources, translator.encode_style(references))

    return translate


def measure(jobs: Sequence[Job], rounds: int, slow: bool) -> dict[str, Any]:
    """All figures of all jobs in all variants, as JSON values.

    The variants take turns, round by round, so that a machine that slows down slows all of them.
    """
    device = jobs[0].device
    variants = [v for v in VARIANTS if slow or v.precision == "float32" or has_fast_bfloat16(device)]
    peaks: dict[str, float] = {v.precision: matmul_rate(v.dtype, device) for v in variants}
    rows = [row for job in jobs for row in figures(job, variants, rounds, peaks)]
    return {
        "what": jobs[0].what,
        "machine": describe(device),
        "image_size": jobs[0].config.image_size,
        "width": jobs[0].config.width,
        "rounds": rounds,
        "matmul_flops_per_second": peaks,
        "left_out": [variant.name for variant in VARIANTS if variant not in variants],
        "rows": rows,
    }


def figures(
    job: Job, variants: Sequence[Variant], rounds: int, peaks: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """What one job takes, a row for each variant. peaks: operations per second by precision."""
    memory = {variant: peak_memory(job, variant) for variant in variants}
    works = {variant: job.build(variant) for variant in variants}
    for work in works.values():
        work(0)
    flops = count_flops(works[PLAIN])
    seconds = take_turns(works, rounds, job.device)
    for variant, times in seconds.items():
        middle = statistics.median(times)
        yield {
            "variant": variant.name,
            "batch_size": job.batch_size,
            "seconds": middle,
            "fastest": min(times),
            "slowest": max(times),
            "pictures_per_second": job.batch_size / middle,
            "times_as_fast": statistics.median(seconds[PLAIN]) / middle,
            "peak_bytes": memory[variant],
            "flops": flops,
            "share_of_peak": flops / middle / peaks[variant.precision],
        }


def take_turns(
    works: Mapping[Variant, Work], rounds: int, device: torch.device
) -> dict[Variant, list[float]]:
    """Seconds of each work in each round; works alternate within a round."""
    seconds: dict[Variant, list[float]] = {variant: [] for variant in works}
    for t in range(1, rounds + 1):
        for variant, work in works.items():
            wait_for(device)
            began = time.perf_counter()
            work(t)
            wait_for(device)
            seconds[variant].append(time.perf_counter() - began)
    return seconds


def wait_for(device: torch.device) -> None:
    """Until everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def count_flops(work: Work) -> int:
    """Floating-point operations of one round's matrix products and convolutions, two per multiply-add."""
    with FlopCounterMode(display=False) as counter:
        work(1)
    return counter.get_total_flops()


def matmul_rate(dtype: torch.dtype, device: torch.device, repeats: int = 5) -> float:
    """Operations per second of a large square matrix product, the best of a few."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # as the convolutions are run
    best = float("inf")
    for _ in range(repeats):
        wait_for(device)
        began = time.perf_counter()
        a @ b
        wait_for(device)
        best = min(best, time.perf_counter() - began)
    torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * side**3 / best


def peak_memory(job: Job, variant: Variant) -> int | None:
    """Bytes that two rounds need at most, weights included; None where the system does not tell.

    On a CPU: how far a process of its own grows. On CUDA: what PyTorch holds there.
    """
    if job.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(job.device)
        before = torch.cuda.memory_allocated(job.device)
        two_rounds(job, variant)
        return torch.cuda.max_memory_allocated(job.device) - before
    if job.device.type != "cpu" or resident("VmHWM") is None:
        return None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(growth, (job, variant, torch.get_num_threads()))


def growth(job: Job, variant: Variant, threads: int) -> int:
    """How many bytes this process grows by, at its largest, in two rounds."""
    torch.set_num_threads(threads)
    before = resident("VmRSS") or 0
    two_rounds(job, variant)
    return (resident("VmHWM") or 0) - before


def two_rounds(job: Job, variant: Variant) -> None:
    work = job.build(variant)
    work(0)
    work(1)


def resident(field: Literal["VmRSS", "VmHWM"]) -> int | None:
    """Bytes of this process in memory, now or at most, as Linux counts them; None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), None)
