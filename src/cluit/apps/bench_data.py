"""`cluit bench data`: pictures a second from the disk, from memory and from tar shards."""

import json as codec
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cluit.apps.measure import Clock
from cluit.apps.pictures import Share
from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.core.machine import describe
from cluit.data.dataset import Pictures
from cluit.data.folder import ImageFolder
from cluit.data.loader import loading_rate, require_divisible
from cluit.data.portraits import SIZES, Portraits
from cluit.data.shard_folder import ShardFolder, index_file
from cluit.data.shards import ShardWriter

NEEDED = 2000
"""Pictures a second that a step on a fast GPU takes at 64 px."""
MOST_DRAWN = 512
DRAWN_AT_ONCE = 64  # portraits

FILES, AGAIN, CACHE = "files, from the disk", "files, in the system's memory", "decoded, in the cache"
SHARDS, SHARDS_AGAIN = "tar shards, from the disk", "tar shards, in the system's memory"


def bench_data(
    folder: str | Path | None = None,
    *,
    image_size: int = 64,
    batch_size: int = 32,
    pictures: int = 512,
    workers: int = 2,
    rounds: int = 5,
    busy: bool = False,
    json: bool = False,
) -> None:
    """Measure the loading of so many pictures of ``folder``, or of portraits drawn as JPEG files.

    workers: threads that decode. rounds: in which the places that pictures come from take turns. busy: count
    the processor's time of all threads, not the clock's.
    UserError where a number is out of range.
    """
    record = measured(folder, image_size, batch_size, pictures, workers, rounds, busy)
    print(codec.dumps(record, indent=2) if json else told(record))


def measured(
    folder: str | Path | None,
    image_size: int,
    batch_size: int,
    pictures: int,
    workers: int,
    rounds: int,
    busy: bool = False,
) -> dict[str, Any]:
    """All figures, as JSON values; of each place pictures a second, and how often what a GPU needs."""
    clock = time.process_time if busy else time.perf_counter
    require_divisible(batch_size)
    if min(workers, rounds) < 1:
        raise UserError(f"workers and rounds must be positive, got {workers} and {rounds}")
    if pictures < batch_size:
        raise UserError(f"pictures must be at least a batch of {batch_size}, got {pictures}")
    with tempfile.TemporaryDirectory() as scratch:
        place = written(Path(scratch, "files"), image_size, pictures) if folder is None else Path(folder)
        began = clock()
        found = ImageFolder(place, image_size, cache_bytes=0)
        opening = clock() - began
        chosen = range(0, len(found), max(1, len(found) // pictures))[:pictures]
        require_batch(len(chosen), batch_size, place)
        with sources(found, chosen, Path(scratch, "shards")) as (ways, left_out):
            rates: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, ready in ways.items():
                    rates[name].append(loading_rate(ready(), len(chosen), batch_size, workers, clock))
    return {
        "machine": describe(torch.device("cpu")),
        "image_size": image_size,
        "pictures": len(chosen),
        "batch_size": batch_size,
        "workers": workers,
        "rounds": rounds,
        "processor_time": busy,
        "needed": NEEDED,
        "opening": {"files": len(found), "seconds": opening},
        "rows": [
            {
                "name": name,
                "pictures_per_second": statistics.median(values),
                "slowest": min(values),
                "fastest": max(values),
                "times_what_is_needed": statistics.median(values) / NEEDED,
            }
            for name, values in rates.items()
        ],
        "left_out": left_out,
        "drawing": drawing(image_size, pictures, clock),
    }


def written(folder: Path, image_size: int, pictures: int) -> Path:
    """A folder of portraits as JPEG files of twice the size."""
    folder.mkdir()
    size = next((size for size in SIZES if size >= 2 * image_size), SIZES[-1])
    portraits = Portraits(min(pictures, MOST_DRAWN), size)
    for number in range(pictures):
        picture = as_picture(portraits[number % len(portraits)])
        picture.save(folder / f"{number}.jpg", quality=95)
    return folder


@contextmanager
def sources(
    found: ImageFolder, chosen: range, scratch: Path
) -> Iterator[tuple[dict[str, Callable[[], Pictures]], list[str]]]:
    """Of each place that the pictures can come from, what makes it ready and gives them; what is left out.

    Before they come from the disk the system is asked to forget them.
    """
    paths, left_out = [found.paths[number] for number in chosen], list[str]()
    direct = Share(found, chosen)
    kept = Share(ImageFolder(found.root, found.size, cache_bytes=len(found) * 3 * found.size**2), chosen)
    kept.batch(range(len(kept)))
    ways: dict[str, Callable[[], Pictures]] = {
        FILES: lambda: forgotten(paths, direct),
        AGAIN: lambda: direct,
        CACHE: lambda: kept,
    }
    tars = list[Path]()
    try:
        tars += packed(found, chosen, scratch)
        shards = ShardFolder(scratch, found.size, cache_bytes=0)
        ways |= {SHARDS: lambda: forgotten(tars, shards), SHARDS_AGAIN: lambda: shards}
    except UserError as error:  # their library is not installed
        left_out.append(f"tar shards: {error}")
    if not hasattr(os, "posix_fadvise"):
        ways = {name: way for name, way in ways.items() if name not in (FILES, SHARDS)}
        left_out.append("from the disk: this system cannot be asked to forget files")
    try:
        yield ways, left_out
    finally:
        for tar in tars:
            index_file(tar).unlink(missing_ok=True)


def packed(found: ImageFolder, chosen: range, folder: Path) -> list[Path]:
    """The files as they are, in tars of 256."""
    with ShardWriter(folder, per_shard=256) as writer:
        for number in chosen:
            path = found.paths[number]
            writer.write(f"{number:08}", {path.suffix[1:].lower(): found.read(path)})
    return writer.finished


def forgotten(paths: Iterable[Path], pictures: Pictures) -> Pictures:
    """``pictures``, once the system has let go of what it holds of these files."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # what is not on the disk yet cannot be let go
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return pictures


def require_batch(pictures: int, batch_size: int, place: Path) -> None:
    """UserError where there are fewer pictures than a batch."""
    if pictures < batch_size:
        raise UserError(
            f"{place} has {pictures} pictures, fewer than a batch of {batch_size}; take a smaller one"
        )


def drawing(image_size: int, pictures: int, clock: Clock) -> dict[str, float]:
    """Portraits drawn per second, at the nearest size that they have."""
    size = next((size for size in SIZES if size >= image_size), SIZES[-1])
    portraits = Portraits(pictures + DRAWN_AT_ONCE, size, cache_bytes=0)
    parts = torch.arange(len(portraits)).split(DRAWN_AT_ONCE)
    portraits.batch(parts[0])  # the first is slower
    began = clock()
    for part in parts[1:]:
        portraits.batch(part)
    return {"size": size, "pictures_per_second": pictures / (clock() - began)}


def told(record: Mapping[str, Any]) -> str:
    """For people."""
    opening, drawn = record["opening"], record["drawing"]
    medians = "medians of processor time" if record["processor_time"] else "medians"
    threads = f"{record['workers']} thread" + ("s" if record["workers"] > 1 else "")
    lines = [
        record["machine"],
        f"{record['pictures']} pictures to {record['image_size']} px by {threads}, "
        f"{record['batch_size']} a batch: {medians} of {record['rounds']} rounds, slowest to fastest, beside "
        f"the {record['needed']:,} pictures/s that a step on a fast GPU takes",
    ]
    for row in record["rows"]:
        spread = f"({row['slowest']:,.0f} to {row['fastest']:,.0f})"
        lines.append(
            f"{row['name']:38}{row['pictures_per_second']:>9,.0f} pictures/s {spread:22}"
            f"{row['times_what_is_needed']:>7.2f}×"
        )
    return "\n".join(
        [
            *lines,
            *(f"left out, {sentence}" for sentence in record["left_out"]),
            f"opening the folder of {opening['files']:,} files: {opening['seconds']:.2f} s",
            f"drawing portraits of {drawn['size']} px: {drawn['pictures_per_second']:,.0f} pictures/s",
        ]
    )
