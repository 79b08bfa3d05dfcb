"""Pictures -> batches on the device, decoded ahead by threads. Batch t is a pure function of seed and t."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor

from cluit.core.chance import mixed
from cluit.core.errors import UserError
from cluit.core.images import to_unit
from cluit.core.types import Batch, share
from cluit.data.dataset import Pictures
from cluit.data.labels import UNTOLD, Labelled


def batches(
    dataset: Pictures | Labelled,
    batch_size: int,
    seed: int,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    device: str | torch.device = "cpu",
    workers: int = 2,
    prefetch: int = 4,
    balanced: bool = False,
) -> Generator[Batch, None, None]:
    """Batches ``start``, ``start + 1``, ... without end; batch t depends on (len(dataset), seed, t) alone.

    dataset: ImageFolder, Portraits, or ``as_dataset(anything)``; batches of a `Labelled` have labels.
    batch_size: over all ranks. The first half are sources, the second half references; a rank has its share
        of either (`cluit.core.types.share`), so that together they hold exactly the whole batch.
    balanced: all classes come equally often, see ``balanced_indices``: batch t depends on the labels too. A
        rank's share is of whole pairs.
    workers: threads that read and decode; ``prefetch``: batches made ahead of the one in use.

    An error in a worker is raised here, at the batch that it spoils. ``close()`` ends the threads; so do an
    error and the end of the last reference.
    """
    require_divisible(batch_size, world, balanced)
    length, device = len(dataset), torch.device(device)
    if length < 1 or workers < 1 or prefetch < 1:
        raise UserError(
            f"loading needs at least one picture, worker and batch ahead, got {length}, {workers}, {prefetch}"
        )

    members = members_of(dataset) if balanced else []

    def load(t: int) -> tuple[Tensor, Tensor | None]:
        if balanced:
            indices = balanced_indices(members, batch_size, seed, t)
        else:
            indices = batch_indices(length, batch_size, seed, t)
        mine = share(torch.tensor(indices), rank, world).tolist()
        if isinstance(dataset, Labelled):
            pixels, labels = dataset.batch(mine)
        else:
            pixels, labels = dataset.batch(mine), None
        if balanced and labels is not None:
            mend_pairs(pixels, labels)
        return pixels.pin_memory() if device.type == "cuda" else pixels, labels

    return _stream(load, start, device, workers, prefetch)


def require_divisible(batch_size: int, world: int = 1, balanced: bool = False, parts: int = 1) -> None:
    """UserError for a batch that cannot be halved and shared out over ranks, each of them in ``parts``."""
    what, least = ("two sources and two references", 4) if balanced else ("one source and one reference", 2)
    multiple = least * world * parts
    if batch_size < 1 or batch_size % multiple:
        sharers = [f"{n} {name}" for n, name in ((world, "processes"), (parts, "parts")) if n > 1]
        shared = f" for each of {' in '.join(sharers)}" if sharers else ""
        raise UserError(f"the batch size must be a multiple of {multiple} ({what}{shared}), got {batch_size}")


def batch_indices(length: int, batch_size: int, seed: int, t: int) -> list[int]:
    """The pictures of batch ``t``: its slice of the epoch's permutation.

    What does not fill a batch at the end of an epoch is left out (other pictures in each epoch), so no
    picture is twice in a batch. A data set smaller than a batch is permuted several times to fill it.
    """
    epoch, place = divmod(t, max(1, length // batch_size))
    order = _epoch_order(length, batch_size, seed, epoch)
    return order[place * batch_size : (place + 1) * batch_size].tolist()


def members_of(dataset: Pictures | Labelled) -> list[Tensor]:
    """Of each class that there is, the numbers of its pictures, (M,) long."""
    if not isinstance(dataset, Labelled):
        raise ValueError("balanced batches need pictures with labels")
    values = dataset.values
    return [(values == label).nonzero()[:, 0] for label in values.unique() if label != UNTOLD]


def balanced_indices(members: Sequence[Tensor], batch_size: int, seed: int, t: int) -> list[int]:
    """The pictures of balanced batch ``t``: in both halves, pictures 2i and 2i + 1 are of one class.

    Each pair's class is drawn evenly, whatever the pairs beside it; its two pictures differ where the class
    has two. members: as of ``members_of``.
    """
    generator, pairs = torch.Generator().manual_seed(mixed("balanced", seed, t)), batch_size // 2
    classes = torch.randint(len(members), (pairs,), generator=generator)
    counts = torch.tensor([len(one) for one in members])[classes]
    chance = torch.rand(2, pairs, generator=generator, dtype=torch.float64)
    first = (chance[0] * counts).long()
    second = (first + 1 + (chance[1] * (counts - 1)).long()) % counts
    places = torch.stack([first, second], dim=1).tolist()
    return [int(members[label][place]) for label, pair in zip(classes, places, strict=True) for place in pair]


def mend_pairs(pixels: Tensor, labels: Tensor) -> None:
    """Where a damaged file's place was taken by one of another class, its partner is shown twice.

    pixels: (N, 3, H, W), labels: (N,), in pairs; changed in place.
    """
    odd = 2 * (labels[0::2] != labels[1::2]).nonzero()[:, 0] + 1
    pixels[odd], labels[odd] = pixels[odd - 1], labels[odd - 1]


def loading_rate(
    dataset: Pictures,
    pictures: int = 512,
    batch_size: int = 32,
    workers: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Pictures per second of at least ``pictures`` pictures, loaded as in training, on the CPU.

    The same pictures at each call: of a new ImageFolder the first call gives the rate of files, the second
    that of the cache.
    """
    stream = batches(dataset, batch_size, seed=0, workers=workers)
    count = -(-pictures // batch_size)
    began = clock()
    for _ in itertools.islice(stream, count):
        pass
    seconds = clock() - began
    stream.close()
    return count * batch_size / seconds


def _stream(
    load: Callable[[int], tuple[Tensor, Tensor | None]],
    start: int,
    device: torch.device,
    workers: int,
    prefetch: int,
) -> Generator[Batch, None, None]:
    ahead = deque[Future[tuple[Tensor, Tensor | None]]]()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="cluit-loader")
    try:
        for t in itertools.count(start):
            ahead.append(pool.submit(load, t))
            if len(ahead) > prefetch:
                pixels, labels = ahead.popleft().result()
                yield Batch(
                    to_unit(pixels.to(device, non_blocking=True)),
                    None if labels is None else labels.to(device, non_blocking=True),
                )
    finally:
        pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=4)
def _epoch_order(length: int, batch_size: int, seed: int, epoch: int) -> Tensor:
    """int64 (length · copies,): one permutation, or as many as fill a batch."""
    copies = -(-batch_size // length)
    generators = (torch.Generator().manual_seed(mixed(seed, epoch, copy)) for copy in range(copies))
    return torch.cat([torch.randperm(length, generator=generator) for generator in generators])
