"""The pictures to translate, one after another: a million of them take no more memory than ten."""

import heapq
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TypeVar

from PIL import Image
from torch import Tensor

from cluit.apps.targets import numbered, plain_name
from cluit.core.errors import UserError
from cluit.core.files import disk_errors
from cluit.data.decode import SUFFIXES, BadPictureError, fit_square, open_picture, picture_of
from cluit.data.shards import Span, entries, read_span

Tell = Callable[[Path, str], None]
"""``tell(path, reason)``: a file that cannot be used."""
T = TypeVar("T")

RUN = 2**16  # names sorted in memory at a time


@dataclass(frozen=True, slots=True)
class Source:
    """A picture to translate, not yet read."""

    name: str
    """Its part of its translations' names."""
    place: Path
    """Its file, or SHARD/MEMBER of a tar's."""
    key: str
    """Its name below the folder, with forward slashes: what chance knows it by, wherever the folder is."""
    shard: Path | None = None
    span: Span | None = None
    reference: str = ""
    """Where a list of pairs says so, the file of the reference that it meets."""
    output: str = ""
    """The same of the translation's name, without suffix."""

    def open(self, side: int | None = None) -> Image.Image:
        """The picture as of `open_picture`. BadPictureError says why not."""
        if self.shard is None or self.span is None:
            return open_picture(self.place, side)
        try:
            with self.shard.open("rb") as file:
                data = read_span(file.fileno(), self.span)
        except OSError as error:
            raise BadPictureError(self.place, f"cannot be read: {error.strerror or error}") from error
        return picture_of(data, self.place, side)

    def square(self, size: int) -> Tensor:
        """Its central square, uint8 (3, size, size)."""
        return fit_square(self.open(size), size)


class Listing:
    """The pictures under a folder (or one file), in an order and by names that hang on their names alone.

    The list lies on the disk, so that its length costs no memory. Iterating gives a `Source` each; one at a
    time may iterate.
    """

    def __init__(self, root: Path, file: IO[str], scratch: Path, tell: Tell) -> None:
        """file: gets the list. scratch: as of `sorted_on_disk`. UserError where there is no picture."""
        self.root, self.file, self.count, digest = root, file, 0, blake2b(digest_size=16)
        for line in sorted_on_disk(_lines(root, tell), scratch):
            self.file.write(line)
            digest.update(line.encode())
            self.count += 1
        self.fingerprint = digest.hexdigest()
        """Of all names."""
        if not self.count:
            raise UserError(f"no pictures under {root}; looked for {', '.join(SUFFIXES)}")

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Source]:
        self.file.seek(0)
        alike, before = Counter[str](), ""
        for line in self.file:
            folded, plain, key = json.loads(line)
            if folded != before:
                alike.clear()  # equal names stand together: no more than one has to be remembered
            before = folded
            place = self.root if self.root.is_file() else self.root / key
            yield Source(numbered(plain, alike), place, key)


def _lines(root: Path, tell: Tell) -> Iterator[str]:
    """A line of JSON for each picture, which sorts by its name without regard to case."""
    names = iter([root.name]) if root.is_file() else walk(root, tell)
    for key in names:
        plain = plain_name(key)
        yield json.dumps([plain.casefold(), plain, key]) + "\n"


def walk(root: Path, tell: Tell) -> Iterator[str]:
    """The relative name of every file under ``root`` with a picture's suffix, in no particular order.

    As of an `ImageFolder`: hidden ones are left out, links followed, each folder is entered once.
    """
    waiting, entered = deque([root]), set[tuple[int, int]]()
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as found:
                for entry in found:
                    if entry.name.startswith("."):
                        continue
                    path = folder / entry.name
                    if entry.is_dir():  # a link waits for all others, lest it take the name of what it means
                        (waiting.appendleft if entry.is_symlink() else waiting.append)(path)
                    elif path.suffix.lower() in SUFFIXES:
                        yield path.relative_to(root).as_posix()
        except OSError as error:
            tell(folder, f"cannot be entered: {error.strerror or error}")


def members_of(shard: Path, tell: Tell) -> Iterator[Source]:
    """The pictures of a tar, in its order, found by headers alone."""
    alike, skipped = Counter[str](), dict[Path, str]()
    for entry in entries(shard, skipped):
        key = f"{shard.name}/{entry.name}"
        name = numbered(plain_name(entry.name), alike)
        yield Source(name, shard / entry.name, key, shard, entry.picture)
        while skipped:
            tell(*skipped.popitem())
    while skipped:
        tell(*skipped.popitem())


def sorted_on_disk(lines: Iterable[str], scratch: Path) -> Iterator[str]:
    """``lines``, each with its end, in order: sorted in runs of bounded length, which are merged.

    scratch: a folder whose disk has room for all of them.
    """
    with ExitStack() as opened:
        runs = list[IO[str]]()
        for run in batched(lines, RUN):
            runs.append(opened.enter_context(nameless_file(scratch)))
            runs[-1].writelines(sorted(run))
            runs[-1].seek(0)
        yield from heapq.merge(*runs)


def batched(items: Iterable[T], length: int) -> Iterator[list[T]]:
    """Lists of ``length`` items, the last one shorter."""
    iterator = iter(items)
    while part := list(islice(iterator, length)):
        yield part


def nameless_file(folder: Path) -> IO[str]:
    """A file that is gone when this process is, however it ends."""
    with disk_errors(folder):
        return TemporaryFile("w+", dir=folder, encoding="ascii", newline="\n")
