"""Ways to run CLUIT on a GPU, which `cluit bench gpu` compares: each with one thing more than another."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from cluit.apps.measure import UNDER_WAY, Work, batch_of
from cluit.core.machine import has_fast_bfloat16
from cluit.core.types import Method
from cluit.engine.average import Average
from cluit.engine.descent import Descent
from cluit.engine.fit import step

STEPS = 16
"""Of a round: as many as there are from one R1 to the next, so that every round has one."""


@dataclass(frozen=True)
class Setup:
    """How numbers are stored and who computes."""

    name: str
    precision: Literal["float32", "bfloat16"] = "float32"
    tf32: bool = False
    """Whether float32 products may be rounded to 10 bits."""
    channels_last: bool = False
    fused: bool = True
    """Whether Adam is one kernel."""
    search: bool = False
    """Whether cuDNN tries its algorithms before it chooses one."""
    compiled: bool = False
    """Whether torch.compile has the generator and the style encoder; the critic, which R1 differentiates
    twice, is never compiled."""
    graphs: bool = False
    """Whether kernels are launched by CUDA graphs: of compiled parts in training, of all in translation."""

    @property
    def peak(self) -> str:
        """The matrix product whose speed is the most that can be reached."""
        return "TF32" if self.precision == "float32" and self.tf32 else self.precision

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def missing(self, device: torch.device) -> str | None:
        """What it needs that the device has not."""
        if device.type != "cuda" and (self.graphs or self.search or self.peak == "TF32"):
            return "needs CUDA"
        if self.precision == "bfloat16" and not has_fast_bfloat16(device):
            return "this machine only imitates bfloat16"
        return None

    @contextmanager
    def flags(self) -> Iterator[None]:
        """Within it PyTorch's own switches are as this setup has them."""
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = self.tf32, self.tf32, self.search
        try:
            yield
        finally:
            cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before

    def autocast(self, device: torch.device, cached: bool = True) -> torch.autocast:
        half = self.precision == "bfloat16"
        return torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=cached)


HALF: dict[str, Any] = {"precision": "bfloat16", "tf32": True, "channels_last": True}
DEFAULT = Setup("bfloat16, channels_last", **HALF)
"""What `cluit train` does on a GPU."""
EAGER = (
    Setup("float32", fused=False),
    Setup("float32, fused Adam"),
    Setup("TF32", tf32=True),
    Setup("TF32, channels_last", tf32=True, channels_last=True),
    Setup("bfloat16", precision="bfloat16", tf32=True),
    DEFAULT,
    Setup("bfloat16, channels_last, search", **HALF, search=True),
)
COMPILED = (
    DEFAULT,
    Setup("bfloat16, compiled", **HALF, search=True, compiled=True),
    Setup("bfloat16, compiled, CUDA graphs", **HALF, search=True, compiled=True, graphs=True),
)
COMPILED_ELSEWHERE = (
    Setup("float32, channels_last", channels_last=True),
    Setup("float32, compiled", channels_last=True, compiled=True),
)
"""Where there is no CUDA."""
TRANSLATING = (
    Setup("float32"),
    Setup("TF32, channels_last", tf32=True, channels_last=True),
    DEFAULT,
    Setup("bfloat16, CUDA graph", **HALF, graphs=True),
)


def training(setup: Setup, config: Any, batch_size: int, device: torch.device) -> Work:
    """`STEPS` training steps a round, the moving average included, on random pictures."""
    method: Method = config.build()
    method.to(device=device, memory_format=setup.memory_format)  # type: ignore[call-overload]
    optimizers = method.optimizers()
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["fused"] = setup.fused
    descend, average = Descent(optimizers), Average(method.translator)
    if setup.compiled:
        compile_translator(method.translator, setup)
    batch = batch_of(config, random_images(setup, config, batch_size, device))

    def steps(number: int) -> None:
        first = UNDER_WAY + number * STEPS
        with setup.flags():
            for t in range(first, first + STEPS):
                if setup.graphs:
                    torch.compiler.cudagraph_mark_step_begin()
                with setup.autocast(device):
                    step(method, batch, descend, t, seed=0)
                average.follow(method.translator, method.average_decay(t))

    return steps


def compile_translator(translator: Any, setup: Setup) -> None:
    """The generator's two halves and the style encoder; nothing is compiled before it is called."""
    mode = "reduce-overhead" if setup.graphs else "default"
    generator = translator.generator
    generator.encode = torch.compile(generator.encode, mode=mode, dynamic=False)
    generator.decode = torch.compile(generator.decode, mode=mode, dynamic=False)
    translator.style_encoder.compile(mode=mode, dynamic=False)


def translating(setup: Setup, config: Any, count: int, device: torch.device) -> Work:
    """Translations of ``count`` sources, each with a reference of its own, from both to the pictures."""
    translator = config.build_translator().eval()
    translator.to(device=device, memory_format=setup.memory_format)
    sources, references = (random_images(setup, config, count, device) for _ in range(2))

    @torch.inference_mode()
    def translate() -> Tensor:
        with setup.flags(), setup.autocast(device, cached=False):  # a graph must not reuse casts of another
            return translator.translate(sources, translator.encode_style(references))

    again = captured(translate) if setup.graphs else translate

    def work(_: int) -> None:
        again()

    return work


def captured(function: Callable[[], object]) -> Callable[[], None]:
    """A CUDA graph of what ``function`` launches, as PyTorch's manual has it: warmed up on another stream."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def random_images(setup: Setup, config: Any, count: int, device: torch.device) -> Tensor:
    images = torch.rand(count, 3, config.image_size, config.image_size, device=device) * 2 - 1
    return images.contiguous(memory_format=setup.memory_format)


def waits(work: Work) -> float:
    """How often a step waits for the GPU, so that nothing can be launched ahead: by CUDA's own warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work(1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in caught) / STEPS
