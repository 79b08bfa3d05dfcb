"""Several processes, called ranks, that train as one: the few things that they say to each other.

Each is the identity where there is one process. Ranks must come to all of them in the same order.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from cluit.core.errors import UserError

T = TypeVar("T")


class LostRank(UserError):  # noqa: N818 (what became of another, not a mistake in a call)
    """Another process of this training has ended, or cannot be reached, for this ``reason``."""

    def __init__(self, reason: BaseException) -> None:
        told = str(reason).split("] ")[-1].split(". ")[0].strip()  # gloo adds a place in its code, and advice
        super().__init__(
            f"another process of this training has ended or cannot be reached ({told}); --resume goes on "
            "from the last checkpoint"
        )


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def joined() -> Iterator[None]:
    """Within it the processes that one torchrun started are ranks: gloo carries CPU tensors, NCCL CUDA's.

    Nothing changes for a process that was started alone, or whose program has formed a group itself.
    """
    if not dist.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1" or dist.is_initialized():
        yield
        return
    with connected():
        store, place, count = next(rendezvous("env://"))
        # torchrun keeps the store for those that it starts again, who must not find the addresses of the dead
        store = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=place, world_size=count)
    try:
        yield
    finally:
        dist.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """This rank's own: each process of a machine has one of its CUDA devices. UserError for one too many."""
    if world() == 1 or device.type == "cpu":
        return device
    if device.type != "cuda":
        raise UserError(
            f"several processes work on CPUs or CUDA devices, not on {device.type}; add --device cpu"
        )
    place, count = int(os.environ.get("LOCAL_RANK", rank())), torch.cuda.device_count()
    if place >= count:
        raise UserError(
            f"this machine has fewer CUDA devices, {count}, than processes; give torchrun "
            f"--nproc-per-node {count}, or add --device cpu"
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)


def gather(rows: Tensor) -> Tensor:
    """(N, ...) on each rank -> (world · N, ...) on every rank, in rank order.

    Differentiable: a row's gradient is the sum of what the losses of all ranks ask of it. So with gradients
    averaged over ranks, as descent does, the loss is the mean of all ranks' losses.
    """
    return rows if world() == 1 else _Gather.apply(rows)  # type: ignore[no-untyped-call]


def summed(tensor: Tensor) -> Tensor:
    """The sum over ranks, on every rank; differentiable as `gather` is."""
    return tensor if world() == 1 else gather(tensor[None]).sum(dim=0)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world())]
        with connected():
            dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        slope = slope.clone(memory_format=torch.contiguous_format)
        with connected():
            dist.all_reduce(slope)
        return slope.chunk(world())[rank()]


@torch.no_grad()
def average(tensors: list[Tensor]) -> None:
    """Replace each tensor by its mean over ranks, in one message."""
    if world() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with connected():
        dist.all_reduce(flat)
    flat /= world()
    for tensor, piece in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(piece.view_as(tensor))


@torch.no_grad()
def copy_first(tensors: list[Tensor]) -> None:
    """Replace each tensor by rank 0's."""
    if world() == 1:
        return
    for tensor in tensors:
        first = tensor.contiguous()
        with connected():
            dist.broadcast(first, 0)
        tensor.copy_(first)


def largest(number: int) -> int:
    """The largest number of any rank, on every rank; no device waits for it."""
    if world() == 1:
        return number
    greatest = torch.tensor(number)
    with connected():
        dist.all_reduce(greatest, dist.ReduceOp.MAX)
    return int(greatest)


def everyone(value: T) -> list[T]:
    """The values of all ranks, in rank order, on every rank. They are pickled: ranks trust each other."""
    if world() == 1:
        return [value]
    values: list[Any] = [None] * world()
    with connected():
        dist.all_gather_object(values, value)
    return values


def from_first(make: Callable[[], T]) -> T:
    """What ``make`` gives on rank 0, where alone it is called, on every rank. All end where it fails."""
    made: list[Any] = [None]
    with agreed():
        if rank() == 0:
            made = [make()]
    if world() > 1:
        with connected():
            dist.broadcast_object_list(made, 0)
    return made[0]


@contextmanager
def agreed() -> Iterator[None]:
    """Ranks wait for each other at its end, and where one has failed within, all end.

    The first that failed raises its error; the others, who have nothing to add, leave by SystemExit(1).
    """
    failure = None
    try:
        yield
    except Exception as error:
        failure = error
    first = -largest(-(world() if failure is None else rank()))
    if failure is not None and first == rank():
        raise failure
    if first < world():
        raise SystemExit(1)


@contextmanager
def connected() -> Iterator[None]:
    """Turn the error of a message that does not arrive into LostRank."""
    try:
        yield
    except RuntimeError as error:  # gloo raises no other kind, and NCCL one that is derived from it
        raise LostRank(error) from error
