"""Every method at its smallest, and batches for it."""

from typing import Any

import torch

from cluit.core.config import MethodConfig
from cluit.core.types import Batch, Method
from cluit.methods import CONFIGS

TINY: dict[str, dict[str, Any]] = {
    "cluit": {},
    "tunit": {"clusters": 2, "warmup_steps": 1, "queue_size": 24, "learning_rate": 1e-3},
    "swapae": {"crops": 2, "r1_interval": 2},
    "starganv2": {"domains": ("cat", "dog"), "diversity_steps": 4},
}
"""What a method needs to be small, and for a few steps to show all that its step does."""


def config(name: str, **changes: Any) -> MethodConfig:
    return CONFIGS[name](**{"image_size": 32, "width": 4, **TINY[name], **changes})


def built(name: str, **changes: Any) -> Method:
    torch.manual_seed(0)
    return config(name, **changes).build()


def batch(name: str, t: int = 0) -> Batch:
    """Eight pictures; where the method is told classes, two of them in turns of two."""
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(t)) * 2 - 1
    return Batch(images, torch.arange(8) // 2 % 2 if config(name).labelled_share else None)
