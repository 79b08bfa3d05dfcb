"""Processes that stand to each other as those of one torchrun do, forked from one that has torch loaded."""

import multiprocessing
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

CONTEXT = multiprocessing.get_context("forkserver")
# what is imported late, too
CONTEXT.set_forkserver_preload(["cluit.apps.cli", "cluit.apps.train", "torch._dynamo"])
SECONDS = 120  # after which a rank hangs


@dataclass(frozen=True)
class Ended:
    """How a rank has ended: its exit code, negative for a signal, what it said, and what its work gave."""

    code: int | None
    said: str
    result: Any


def on_ranks(world: int, work: Callable[..., Any], *arguments: Any) -> list[Ended]:
    """``work(*arguments)`` on each of ``world`` ranks, by rank. Both must be importable or picklable."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            CONTEXT.Process(target=begin, args=(rank, world, port, Path(folder), work, arguments))
            for rank in range(world)
        ]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join(SECONDS)
            rank.kill()
        return [ended(rank.exitcode, Path(folder) / str(i)) for i, rank in enumerate(ranks)]


def begin(
    rank: int, world: int, port: int, folder: Path, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """A rank, from its first instruction on."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
    }
    with (folder / f"{rank}.txt").open("w") as said:
        os.dup2(said.fileno(), sys.stderr.fileno())
    torch.set_num_threads(1)
    torch.save(work(*arguments), folder / f"{rank}.pt")


def ended(code: int | None, path: Path) -> Ended:
    result = path.with_suffix(".pt")
    return Ended(
        code,
        path.with_suffix(".txt").read_text(),
        torch.load(result, weights_only=True) if result.exists() else None,
    )
