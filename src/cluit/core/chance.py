"""Chance that needs no storage: the random state of a step is a pure function of seed, step and share."""

import hashlib

import torch


def mixed(*numbers: int | str) -> int:
    """A 63-bit number that depends on every argument; nearby arguments give unrelated numbers."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_step(seed: int, t: int, share: int = 0) -> None:
    """Set torch's random state, on every device, for step ``t``: so a resumed run is the same run.

    share: of a batch that is shared out over ranks and parts, so that no two of them draw alike.
    """
    torch.manual_seed(mixed(seed, t, share))
