"""What `cluit bench` measures with: work in several variants, in turns, its memory and its operations."""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from cluit.core.config import MethodConfig
from cluit.core.extras import there
from cluit.core.machine import describe, has_fast_bfloat16
from cluit.core.types import Batch, Method, Translator
from cluit.engine.average import Average
from cluit.engine.descent import Descent
from cluit.engine.fit import step
from cluit.export import runtime
from cluit.export.graph import export_graphs
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
    """How numbers are stored, and by whom they are computed."""

    precision: Literal["float32", "bfloat16"]
    channels_last: bool
    by: Literal["cluit", "plain", "onnxruntime"] = "cluit"
    """The library; the method's plain form, as public code has it; or the exported model."""

    @property
    def name(self) -> str:
        whose = "" if self.by == "cluit" else self.by + " "
        return whose + self.precision + (" channels_last" if self.channels_last else "")

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def is_default(self, device: torch.device) -> bool:
        """Whether training and translating do it so unless told otherwise."""
        best = "bfloat16" if has_fast_bfloat16(device) else "float32"
        return self == Variant(best, channels_last=True)  # type: ignore[arg-type]


PLAIN = Variant("float32", False, "plain")
CONTIGUOUS = Variant("float32", False)
VARIANTS = (PLAIN, CONTIGUOUS, Variant("float32", True), Variant("bfloat16", True))
EXPORTED = Variant("float32", False, "onnxruntime")


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

    def can(self, variant: Variant) -> bool:
        """Whether there is such a variant of it: a plain one has no parts, nor has every method one."""
        return variant.by != "plain" or (self.config.has_plain and self.parts == 1)

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
    plain = variant.by == "plain"
    method: Method = job.config.build_plain() if plain else job.config.build()
    method.to(device=job.device, memory_format=variant.memory_format)  # type: ignore[call-overload]
    descend = (PlainDescent if plain else Descent)(method.optimizers(), job.parts)
    average = Average(method.translator)
    batch = batch_of(job.config, job.images(variant))

    def steps(number: int) -> None:
        first = UNDER_WAY + number * job.repeats
        for t in range(first, first + job.repeats):
            with job.autocast(variant):
                step(method, batch, descend, t, seed=0)
            average.follow(method.translator, method.average_decay(t))

    return steps


class PlainDescent(Descent):
    """Gradients of every weight that a loss reaches, as a bare ``backward`` has it; the named ones move."""

    def __call__(self, loss: Tensor, *names: str) -> bool:
        loss.backward()
        for name in names:
            self.optimizers[name].step()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        return True


def translating(job: Job, variant: Variant) -> Work:
    """Both halves of as many sources and references, and the pictures that have both."""
    plain = variant.by == "plain"
    translator = job.config.build_plain().translator if plain else job.config.build_translator()
    translator.eval().to(device=job.device, memory_format=variant.memory_format)
    sources, references = job.images(variant), job.images(variant)
    domain = torch.zeros(len(references), dtype=torch.long, device=job.device) if translator.domains else None
    used = exported(translator) if variant.by == "onnxruntime" else translator

    def translate(number: int) -> None:
        with job.autocast(variant):
            used.translate(sources, used.encode_style(references, domain))

    return torch.no_grad()(translate) if plain else torch.inference_mode()(translate)


def exported(translator: Translator) -> Translator:
    """The same as onnxruntime computes it."""
    with tempfile.TemporaryDirectory() as folder:
        export_graphs(translator, {}, Path(folder), "onnx")
        return runtime.load(Path(folder))[0]


def with_stand_ins(config: MethodConfig) -> MethodConfig:
    """The configuration for data with three classes, where the method is told any."""
    return config.with_classes(CLASSES) if config.labelled_share else config


def batch_of(config: MethodConfig, images: Tensor) -> Batch:
    """A batch for a step: where the method is told classes, two of them in turns of two pictures."""
    told = torch.arange(len(images), device=images.device) // 2 % 2 if config.labelled_share else None
    return Batch(images, told)


def measure(jobs: Sequence[Job], rounds: int, slow: bool, clock: Clock = time.perf_counter) -> dict[str, Any]:
    """All figures of all jobs in all variants, as JSON values.

    They take turns, round by round, so that a machine that slows down slows all of them. So all their weights
    are in memory at once. clock: what tells seconds.
    """
    device = jobs[0].device
    variants = [v for v in VARIANTS if slow or v.precision == "float32" or has_fast_bfloat16(device)]
    if jobs[0].what == "translate" and device.type == "cpu" and there("onnx", "onnxscript", "onnxruntime"):
        variants.append(EXPORTED)
    rates = {
        v.precision: (matmul_rate(v.dtype, device, clock=clock), conv_rate(v.dtype, device, clock=clock))
        for v in {variant.precision: variant for variant in variants}.values()
    }
    peaks: dict[str, float] = {precision: max(both) for precision, both in rates.items()}
    return {
        "what": jobs[0].what,
        "machine": describe(device),
        "image_size": jobs[0].config.image_size,
        "width": jobs[0].config.width,
        "rounds": rounds,
        "processor_time": clock is time.process_time,
        "matmul_flops_per_second": {precision: products for precision, (products, _) in rates.items()},
        "conv_flops_per_second": {precision: convs for precision, (_, convs) in rates.items()},
        "left_out": [variant.name for variant in VARIANTS if variant not in variants],
        "rows": list(figures(jobs, variants, rounds, peaks, clock)),
    }


def figures(
    jobs: Sequence[Job],
    variants: Sequence[Variant],
    rounds: int,
    peaks: Mapping[str, float],
    clock: Clock = time.perf_counter,
) -> Iterator[dict[str, Any]]:
    """What one step or translation takes, a row for each job and variant. peaks: operations per second by
    precision."""
    pairs = [(job, variant) for job in jobs for variant in variants if job.can(variant)]
    memory = {(job, variant): peak_memory(job, variant) for job, variant in pairs}
    works = {(job, variant): job.build(variant) for job, variant in pairs}
    for work in works.values():
        work(0)
    counted = {
        (job, variant): count_flops(works[job, variant]) / job.repeats
        for job, variant in pairs
        if variant in (PLAIN, CONTIGUOUS)
    }
    seconds = {
        (job, variant): [one / job.repeats for one in times]
        for (job, variant), times in take_turns(works, rounds, jobs[0].device, clock).items()
    }
    for (job, variant), times in seconds.items():
        middle = statistics.median(times)
        first = next(other for one, other in pairs if one == job)
        flops = counted.get((job, variant), counted[job, CONTIGUOUS])
        yield {
            "method": job.method,
            "variant": variant.name,
            "default": variant.is_default(job.device),
            "batch_size": job.batch_size,
            "parts": job.parts,
            "seconds": middle,
            "fastest": min(times),
            "slowest": max(times),
            "pictures_per_second": job.batch_size / middle,
            "times_as_fast": statistics.median(seconds[job, first]) / middle,
            "peak_bytes": memory[job, variant],
            "flops": flops,
            "share_of_peak": flops / middle / peaks[variant.precision],
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


def matmul_rate(
    dtype: torch.dtype, device: torch.device, repeats: int = 5, clock: Clock = time.perf_counter
) -> float:
    """Operations per second of a large square matrix product, the best of a few."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # as the convolutions are run
    best = fastest(lambda: a @ b, device, repeats, clock)
    torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * side**3 / best


@torch.no_grad()
def conv_rate(
    dtype: torch.dtype, device: torch.device, repeats: int = 5, clock: Clock = time.perf_counter
) -> float:
    """Operations per second of a 3×3 convolution as networks have it, the best of a few.

    Some machines are better at it than at matrix products, of which another library takes care.
    """
    pictures, channels, side = (64, 512, 32) if device.type == "cuda" else (16, 128, 32)
    x, weight = (
        torch.randn(shape, device=device).to(dtype=dtype, memory_format=torch.channels_last)
        for shape in ((pictures, channels, side, side), (channels, channels, 3, 3))
    )
    best = fastest(lambda: F.conv2d(x, weight, padding=1), device, repeats, clock)
    return 2 * pictures * (side * channels * 3) ** 2 / best


def fastest(work: Callable[[], Any], device: torch.device, repeats: int, clock: Clock) -> float:
    """Seconds of the best of a few times."""
    seconds = []
    for _ in range(repeats):
        wait_for(device)
        began = clock()
        work()
        wait_for(device)
        seconds.append(clock() - began)
    return min(seconds)


def peak_memory(job: Job, variant: Variant) -> int | None:
    """Bytes that two rounds need at most, weights included; None where the system does not tell.

    On a CPU: how far a process of its own grows. On CUDA: what PyTorch holds there.
    """
    if job.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(job.device)
        before = torch.cuda.memory_allocated(job.device)
        two_rounds(job, variant)
        return torch.cuda.max_memory_allocated(job.device) - before
    if job.device.type != "cpu" or resident("VmHWM") is None or variant == EXPORTED:
        return None  # to export takes more than to use
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
