"""Pictures -> batches on the device, decoded ahead by threads. Batch t is a pure function of seed and t."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor

from cluit.core.chance import mixed
from cluit.core.errors import UserError
from cluit.core.images import to_unit
from cluit.core.types import Batch
from cluit.data.dataset import Pictures


def batches(
    dataset: Pictures,
    batch_size: int,
    seed: int,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    device: str | torch.device = "cpu",
    workers: int = 2,
    prefetch: int = 4,
) -> Generator[Batch, None, None]:
    """Batches ``start``, ``start + 1``, ... without end; batch t depends on (len(dataset), seed, t) alone.

    dataset: ImageFolder, Portraits, or ``as_dataset(anything)``.
    batch_size: over all ranks. The first half are sources, the second half references; this rank's share is
        every ``world``-th row of either half, so that the ranks together hold exactly the whole batch.
    workers: threads that read and decode; ``prefetch``: batches made ahead of the one in use.

    An error in a worker is raised here, at the batch that it spoils. ``close()`` ends the threads; so do an
    error and the end of the last reference.
    """
    if batch_size < 1 or batch_size % (2 * world):
        raise UserError(
            f"the batch size must be a multiple of {2 * world} (one source and one reference "
            f"for each of {world} processes), got {batch_size}"
        )
    length, half, device = len(dataset), batch_size // 2, torch.device(device)
    if length < 1 or workers < 1 or prefetch < 1:
        raise UserError(
            f"loading needs at least one picture, worker and batch ahead, got {length}, {workers}, {prefetch}"
        )

    def load(t: int) -> Tensor:
        indices = batch_indices(length, batch_size, seed, t)
        pixels = dataset.batch(indices[:half][rank::world] + indices[half:][rank::world])
        return pixels.pin_memory() if device.type == "cuda" else pixels

    return _stream(load, start, device, workers, prefetch)


def batch_indices(length: int, batch_size: int, seed: int, t: int) -> list[int]:
    """The pictures of batch ``t``: its slice of the epoch's permutation.

    What does not fill a batch at the end of an epoch is left out (other pictures in each epoch), so no
    picture is twice in a batch. A data set smaller than a batch is permuted several times to fill it.
    """
    epoch, place = divmod(t, max(1, length // batch_size))
    order = _epoch_order(length, batch_size, seed, epoch)
    return order[place * batch_size : (place + 1) * batch_size].tolist()


def loading_rate(dataset: Pictures, pictures: int = 512, batch_size: int = 32, workers: int = 2) -> float:
    """Pictures per second of at least ``pictures`` pictures, loaded as in training, on the CPU.

    The same pictures at each call: of a new ImageFolder the first call gives the rate of files, the second
    that of the cache.
    """
    stream = batches(dataset, batch_size, seed=0, workers=workers)
    count = -(-pictures // batch_size)
    began = time.perf_counter()
    for _ in itertools.islice(stream, count):
        pass
    seconds = time.perf_counter() - began
    stream.close()
    return count * batch_size / seconds


def _stream(
    load: Callable[[int], Tensor], start: int, device: torch.device, workers: int, prefetch: int
) -> Generator[Batch, None, None]:
    ahead = deque[Future[Tensor]]()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="cluit-loader")
    try:
        for t in itertools.count(start):
            ahead.append(pool.submit(load, t))
            if len(ahead) > prefetch:
                pixels = ahead.popleft().result()
                yield Batch(to_unit(pixels.to(device, non_blocking=True)))
    finally:
        pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=4)
def _epoch_order(length: int, batch_size: int, seed: int, epoch: int) -> Tensor:
    """int64 (length · copies,): one permutation, or as many as fill a batch."""
    copies = -(-batch_size // length)
    generators = (torch.Generator().manual_seed(mixed(seed, epoch, copy)) for copy in range(copies))
    return torch.cat([torch.randperm(length, generator=generator) for generator in generators])
