"""What this machine can do, asked rather than assumed."""

import platform
import sys
from pathlib import Path

import torch

from cluit.core.errors import UserError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` is CUDA, else MPS, else the CPU. UserError where the named device is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if name not in available:
        raise UserError(f"unknown device {name!r}; choose auto, cpu, cuda or mps")
    if not available[name]:
        there = ", ".join(kind for kind, there in available.items() if there)
        raise UserError(f"this machine has no {name} device; choose --device auto or one of: {there}")
    return torch.device(name)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products run faster than float32 ones there, by the hardware's stated capabilities.

    On a CPU without AVX512-BF16 or AMX the products are emulated and tens of times slower.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """``auto`` is bfloat16 where the hardware multiplies in it, else float32."""
    if name == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    if name not in PRECISIONS:
        raise UserError(f"unknown precision {name!r}; choose auto, float32 or bfloat16")
    return PRECISIONS[name]


def cpu_class() -> str:
    """The widest arithmetic that counts for training, e.g. ``AMX``, ``AVX512-BF16``, ``AVX2``."""
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    if torch.cpu._is_avx512_bf16_supported():
        return "AVX512-BF16"
    return torch.backends.cpu.get_cpu_capability()


def describe(device: torch.device) -> str:
    """One line that names the machine beside a figure."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    threads = torch.get_num_threads()
    busy = f"{threads} thread{'s' * (threads > 1)}"
    return f"{cpu_model()} ({cpu_class()}, {busy}), torch {torch.__version__}"


def cpu_model() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "CPU")


def peak_memory(device: torch.device) -> dict[str, int]:
    """Bytes at most: of this process, of the largest of its children, and on a CUDA device."""
    try:
        import resource
    except ImportError:  # Windows
        return {}
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    peak = {
        "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "largest_worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit,
    }
    return peak | ({"cuda": torch.cuda.max_memory_allocated(device)} if device.type == "cuda" else {})
