"""What one of several processes does: they divide the work by its numbers and say nothing to each other."""

import os
from dataclasses import dataclass

import torch

from cluit.core.errors import UserError


@dataclass(frozen=True)
class Share:
    """A process's number, and how many there are."""

    rank: int = 0
    world: int = 1

    def has(self, number: int) -> bool:
        """Whether the piece of work of this number is this process's."""
        return number % self.world == self.rank


def own_share() -> Share:
    """As torchrun's environment says, or whoever sets RANK and WORLD_SIZE; it also gives each its own GPU.

    UserError for numbers that mean nothing.
    """
    words = {
        name: os.environ.get(name, usual)
        for name, usual in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
    }
    try:
        rank, world, local = map(int, words.values())
    except ValueError:
        rank, world, local = 0, 0, 0
    if not 0 <= rank < world:
        raise UserError(f"the environment names no process of several: {words}; start them by torchrun")
    if world > 1 and torch.cuda.is_available():
        torch.cuda.set_device(local % torch.cuda.device_count())  # what "cuda" means from here on
    return Share(rank, world)
