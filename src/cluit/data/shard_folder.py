"""Tar shards as a folder of pictures: found by an index of places, read at random, never unpacked."""

import hashlib
import io
import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from PIL import Image

from cluit.core.errors import UserError
from cluit.core.files import atomic_file, cache_folder
from cluit.data.decode import BadPictureError, read_header, reading
from cluit.data.folder import SCAN_THREADS, ImageFolder
from cluit.data.shards import Span, entries, is_shards, read_span, shard_files

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

INDEX_VERSION = 1
CLASS = "cls"
"""Extension of the member that holds a sample's class."""
LONGEST_CLASS = 256  # bytes
WHOLE = "."  # the tar itself, among what is skipped in it


class Place(NamedTuple):
    """Where a picture stands in its tar, and its class."""

    name: str
    offset: int
    size: int
    label: str


class Index(NamedTuple):
    """All pictures of one tar; and what cannot be used, by its name within the tar."""

    places: list[Place]
    skipped: dict[str, str]


def folder_type(place: str | Path) -> type[ImageFolder]:
    """What opens ``place``: a folder of pictures, or one of tar shards where `is_shards` says so."""
    return ShardFolder if is_shards(place) else ImageFolder


class ShardFolder(ImageFolder):
    """Every picture in tar shards, in the order of the tars' names and of the members in each.

    As an `ImageFolder` in all else: pictures are drawn by number, so that shuffling, the share of each rank
    and resumption are the same. ``paths`` are ``SHARD/MEMBER`` below ``root``, the shards' folder. The class
    of a picture is what its sample's ``cls`` member says, or else the first folder of its key.

    The headers of a tar are read once: what is found is kept in the user's cache folder as long as the tar's
    size and time stay. Needs the extra ``shards``.
    """

    def find(self) -> tuple[dict[Path, str], dict[Path, str]]:
        shards = shard_files(self.root)
        self.root = Path(os.path.commonpath([shard.parent for shard in shards]))
        with ThreadPoolExecutor(SCAN_THREADS) as pool, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            indices = list(pool.map(index_of, shards))
        classes, skipped = dict[Path, str](), dict[Path, str]()
        self._places = dict[Path, tuple[Path, Span]]()
        for shard, index in zip(shards, indices, strict=True):
            skipped |= {shard / name: reason for name, reason in index.skipped.items()}
            for place in index.places:
                path = shard / place.name
                classes[path] = place.label
                self._places[path] = shard, Span(place.offset, place.size)
        return classes, skipped

    def read(self, path: Path) -> bytes:
        shard, span = self._places[path]
        with reading(shard) as file:
            return read_span(file.fileno(), span)


def index_of(shard: Path) -> Index:
    """What is in a tar: as it was kept, or else read from its headers."""
    kept = index_file(shard)
    with suppress(OSError, ValueError, LookupError, TypeError):  # none is kept, or it is damaged
        places, skipped = json.loads(kept.read_bytes())
        return Index([Place(*row) for row in places], dict(skipped))
    index = build_index(shard)
    if WHOLE not in index.skipped:  # else it may have been the disk's passing trouble
        with suppress(UserError), atomic_file(kept) as file:
            file.write(json.dumps(index, separators=(",", ":")).encode())
    return index


def build_index(shard: Path) -> Index:
    """Read the headers of a tar, and of the pictures in it."""
    skipped = dict[Path, str]()
    places = list[Place]()
    with suppress(BadPictureError), reading(shard) as file:  # `entries` has said why
        for entry in entries(shard, skipped):
            path = shard / entry.name
            try:
                read_header(io.BufferedReader(Part(file, entry.picture)), path)
            except BadPictureError as bad:
                skipped[path] = bad.reason
                continue
            told = _told(file, entry.others.get(CLASS))
            folder, slash, _ = entry.key.partition("/")
            places.append(Place(entry.name, *entry.picture, told or (folder if slash else "")))
    return Index(places, {path.relative_to(shard).as_posix(): reason for path, reason in skipped.items()})


class Part(io.RawIOBase):
    """A member of an open tar as a file of its own; it does not move the tar's position."""

    def __init__(self, tar: BinaryIO, span: Span) -> None:
        self._tar, self._span, self._at = tar, span, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._span.size}[whence]
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        count = max(0, min(len(view), self._span.size - self._at))
        data = os.pread(self._tar.fileno(), count, self._span.offset + self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def _told(file: BinaryIO, span: Span | None) -> str:
    """What a member of a few letters says; nothing where there is none."""
    if span is None or span.size > LONGEST_CLASS:
        return ""
    return read_span(file.fileno(), span).decode(errors="replace").strip()


def index_file(shard: Path) -> Path:
    """Where the index of this very tar is kept."""
    status = shard.stat()
    known = INDEX_VERSION, os.fspath(shard.resolve()), status.st_size, status.st_mtime_ns
    digest = hashlib.blake2b(repr(known).encode(), digest_size=16).hexdigest()
    return cache_folder("shards") / f"{digest}.json"
