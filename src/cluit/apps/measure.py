"""What `cluit bench` measures with: work in several variants, in turns, its memory and its operations."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from cluit.core.config import MethodConfig
from cluit.core.machine import describe, has_fast_bfloat16
from cluit.core.types import Batch
from cluit.engine.average import Average
from cluit.engine.descent import Descent
from cluit.engine.fit import step
from cluit.methods import CONFIGS

UNDER_WAY = 80_000
"""A step of the published schedules at which all that begins late has begun and what fades has not gone.

It is a multiple of 32, so the first round has what comes every 16th step, or every 16th of a player's turns.
"""

CLASSES = ("a", "b", "c")
"""Stand-ins for the classes of the data, as many as AFHQ has."""

Key = TypeVar("Key")
Clock = Callable[[], float]
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
    parts: int = 1
    """That a training step takes its batch in."""

    def build(self, variant: Variant) -> Work:
        """The work itself, on random pictures: speed does not depend on what they show."""
        return (training if self.what == "step" else translating)(self, variant)

    @property
    def method(self) -> str:
        """Its name."""
        return next(name for name, kind in CONFIGS.items() if kind is type(self.config))

    @property
    def repeats(self) -> int:
        """Steps or translations in a round. Two steps, so that players who take turns have one each."""
        return 2 if self.what == "step" else 1

    def images(self, variant: Variant) -> Tensor:
        size = self.config.image_size
        images = torch.rand(self.batch_size, 3, size, size, device=self.device) * 2 - 1
        return images.contiguous(memory_format=variant.memory_format)

    def autocast(self, variant: Variant) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=variant.precision == "bfloat16")


def training(job: Job, variant: Variant) -> Work:
    """Training steps, the moving average included."""
    method = job.config.build()
    method.to(device=job.device, memory_format=variant.memory_format)
    descend, average = Descent(method.optimizers(), job.parts), Average(method.translator)
    batch = batch_of(job.config, job.images(variant))

    def steps(number: int) -> None:
        first = UNDER_WAY + number * job.repeats
        for t in range(first, first + job.repeats):
            with job.autocast(variant):
                step(method, batch, descend, t, seed=0)
            average.follow(method.translator, method.average_decay(t))

    return steps


def translating(job: Job, variant: Variant) -> Work:
    """Both halves of as many sources and references, and the pictures that have both."""
    translator = job.config.build_translator().eval()
    translator.to(device=job.device, memory_format=variant.memory_format)
    sources, references = job.images(variant), job.images(variant)
    domain = torch.zeros(len(references), dtype=torch.long, device=job.device) if translator.domains else None

    @torch.inference_mode()
    def translate(number: int) -> None:
        with job.autocast(variant):
            translator.translate(sources, translator.encode_style(references, domain))

    return translate


def with_stand_ins(config: MethodConfig) -> MethodConfig:
    """The configuration for data with three classes, where the method is told any."""
    return config.with_classes(CLASSES) if config.labelled_share else config


def batch_of(config: MethodConfig, images: Tensor) -> Batch:
    """A batch for a step: where the method is told classes, two of them in turns of two pictures."""
    told = torch.arange(len(images), device=images.device) // 2 % 2 if config.labelled_share else None
    return Batch(images, told)


def measure(jobs: Sequence[Job], rounds: int, slow: bool) -> dict[str, Any]:
    """All figures of all jobs in all variants, as JSON values.

    They take turns, round by round, so that a machine that slows down slows all of them. So all their weights
    are in memory at once.
    """
    device = jobs[0].device
    variants = [v for v in VARIANTS if slow or v.precision == "float32" or has_fast_bfloat16(device)]
    peaks: dict[str, float] = {v.precision: matmul_rate(v.dtype, device) for v in variants}
    return {
        "what": jobs[0].what,
        "machine": describe(device),
        "image_size": jobs[0].config.image_size,
        "width": jobs[0].config.width,
        "rounds": rounds,
        "matmul_flops_per_second": peaks,
        "left_out": [variant.name for variant in VARIANTS if variant not in variants],
        "rows": list(figures(jobs, variants, rounds, peaks)),
    }


def figures(
    jobs: Sequence[Job], variants: Sequence[Variant], rounds: int, peaks: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """What one step or translation takes, a row for each job and variant. peaks: operations per second by
    precision."""
    pairs = [(job, variant) for job in jobs for variant in variants]
    memory = {(job, variant): peak_memory(job, variant) for job, variant in pairs}
    works = {(job, variant): job.build(variant) for job, variant in pairs}
    for work in works.values():
        work(0)
    flops = {job: count_flops(works[job, PLAIN]) / job.repeats for job in jobs}
    seconds = {
        (job, variant): [one / job.repeats for one in times]
        for (job, variant), times in take_turns(works, rounds, jobs[0].device).items()
    }
    for (job, variant), times in seconds.items():
        middle = statistics.median(times)
        yield {
            "method": job.method,
            "variant": variant.name,
            "batch_size": job.batch_size,
            "parts": job.parts,
            "seconds": middle,
            "fastest": min(times),
            "slowest": max(times),
            "pictures_per_second": job.batch_size / middle,
            "times_as_fast": statistics.median(seconds[job, PLAIN]) / middle,
            "peak_bytes": memory[job, variant],
            "flops": flops[job],
            "share_of_peak": flops[job] / middle / peaks[variant.precision],
        }


def take_turns(
    works: Mapping[Key, Work], rounds: int, device: torch.device, clock: Clock = time.perf_counter
) -> dict[Key, list[float]]:
    """Seconds of each work in each round; works alternate within a round."""
    seconds: dict[Key, list[float]] = {key: [] for key in works}
    for number in range(1, rounds + 1):
        for key, work in works.items():
            wait_for(device)
            began = clock()
            work(number)
            wait_for(device)
            seconds[key].append(clock() - began)
    return seconds


def wait_for(device: torch.device) -> None:
    """Until everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Operations(TorchDispatchMode):
    """Within it ``count`` grows by the floating-point operations of matrix products and convolutions, two per
    multiply-add.

    PyTorch's `FlopCounterMode` has the formulas, but also follows modules through the backward pass, which
    fails where a step asks for a gradient in order to differentiate it again.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if formula := flop_registry.get(func.overloadpacket):
            output = func(*args, **named)
            self.count += formula(*args, **named, out_val=output)
            return output
        if func.namespace == "aten":  # without autograd a convolution comes whole, not as what it is made of
            with self:
                output = func.decompose(*args, **named)
            if output is not NotImplemented:
                return output
        return func(*args, **named)


def count_flops(work: Work) -> int:
    """Floating-point operations of one round."""
    with Operations() as operations:
        work(1)
    return operations.count


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
