"""A memory bank of keys (He et al., MoCo, 2020)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.core.distributed import gather


class Queue(nn.Module):
    """The latest ``size`` keys, first in first out; buffers, so that they are in every checkpoint.

    It starts with random unit vectors, as nothing better is known before the first step.
    """

    keys: Tensor
    head: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("head", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Overwrite the oldest slots with the ``keys`` (N, D) of all ranks, no more than there are slots.

        So every rank holds the same queue.
        """
        keys = gather(keys).to(self.keys.dtype)
        slots = (self.head + torch.arange(len(keys), device=keys.device)) % len(self.keys)
        self.keys[slots] = keys
        self.head.add_(len(keys)).remainder_(len(self.keys))
