"""Tar shards in the WebDataset layout: consecutive members that differ only in extension are one sample.

``cat/0001.jpg``, ``cat/0001.cls`` and ``cat/0001.json`` are a sample of the key ``cat/0001``: all up to the
first dot of the file's name. Reading takes headers one by one and bytes by their place, so memory holds one
sample and nothing is ever unpacked to the disk. Needs the extra ``shards``.
"""

import itertools
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, NamedTuple, Self

from cluit.core.errors import UserError
from cluit.core.extras import needs
from cluit.core.files import atomic_file
from cluit.data.decode import MAX_BYTES, SUFFIXES

SHARD_SUFFIX = ".tar"
NAMES = "shard-{000000..999999}.tar"
"""What shards of a folder are called."""
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


class Span(NamedTuple):
    """Where a member's bytes stand in its tar."""

    offset: int
    size: int


class Entry(NamedTuple):
    """A sample of one tar, not yet read."""

    key: str
    extension: str
    """Of its picture, in lower case, without a dot in front."""
    picture: Span
    others: Mapping[str, Span]
    """The sample's other members, by extension."""

    @property
    def name(self) -> str:
        """Of the picture, within its tar."""
        return f"{self.key}.{self.extension}"


def is_shards(place: str | Path) -> bool:
    """Whether that means tar shards: a .tar, a pattern of them, or a folder that has some and neither
    pictures nor other folders beside them."""
    path, found = Path(place).expanduser(), False
    if not path.is_dir():
        return path.suffix.lower() == SHARD_SUFFIX
    with suppress(OSError), os.scandir(path) as folder:  # who opens it as a folder will say what is wrong
        for entry in folder:
            suffix = Path(entry.name).suffix.lower()
            if not entry.name.startswith(".") and (suffix in SUFFIXES or entry.is_dir()):
                return False
            found |= _is_shard(path / entry.name)
    return found


def shard_files(place: str | Path) -> list[Path]:
    """The tars that ``place`` means, in order: a .tar, ``shard-{000..099}.tar``, or a folder of .tar files.

    UserError where there are none, or one of a pattern is not there.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if _is_shard(one))
        if not found:
            raise UserError(f"there is no .tar in {path}; name a folder of shards or a pattern of them")
        return found
    expand = needs("braceexpand", "a pattern of shards", "shards")
    try:
        found = [path] if path.exists() else [Path(one) for one in expand.braceexpand(str(path))]
    except ValueError as error:
        raise UserError(f"{place} is no pattern of shards ({error}); write shard-{{000..099}}.tar") from error
    if missing := [one for one in found if not one.is_file()]:
        raise UserError(f"there is no shard at {missing[0]}; name those that there are")
    return found


def read_span(descriptor: int, span: Span) -> bytes:
    """The bytes there. OSError where the file has become shorter."""
    data = os.pread(descriptor, span.size, span.offset)
    if len(data) != span.size:
        raise OSError("the tar is shorter than it was")
    return data


def entries(shard: Path, skipped: dict[Path, str]) -> Iterator[Entry]:
    """The samples of one tar that have a picture, in order, found by headers alone.

    A sample has one picture: the first member with a picture's extension, one without further dots
    (``jpg``) before one with (``mask.png``).

    skipped: gets what is passed over, ``SHARD`` or ``SHARD/MEMBER``, with the reason; pictures are not looked
    into here, so that one can be damaged still.
    """
    library = needs("webdataset.tariterators", "reading tar shards", "shards")

    def twice(error: Exception) -> bool:
        skipped[shard] = str(error.args[0])
        return True

    files = ({"fname": name, "data": span, "__url__": str(shard)} for name, span in members(shard, skipped))
    for sample in library.group_by_keys(files, handler=twice):
        key = sample["__key__"]
        spans = {name: span for name, span in sample.items() if isinstance(span, Span)}
        pictures = [name for name in spans if f".{name.rpartition('.')[2]}" in SUFFIXES]
        plain = [name for name in pictures if "." not in name]
        if not pictures:
            continue
        first, *rest = plain or pictures
        for name in rest:
            skipped[shard / f"{key}.{name}"] = f"another picture of the sample {key}, whose first one counts"
        if (size := spans[first].size) > MAX_BYTES:
            skipped[shard / f"{key}.{first}"] = f"enormous: {size:,} bytes, more than {MAX_BYTES:,}"
            continue
        others = {name: span for name, span in spans.items() if name != first and span.size <= MAX_BYTES}
        yield Entry(key, first, spans[first], others)


def members(shard: Path, skipped: dict[Path, str]) -> Iterator[tuple[str, Span]]:
    """Name and place of every plain file in a tar that is not compressed; hidden ones are ignored.

    What tarfile would take for the end of a damaged tar in silence is told in ``skipped``.
    """
    try:
        with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            length = os.fstat(file.fileno()).st_size
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would remember them all
                parts = PurePosixPath(member.name.lstrip("/")).parts
                if not member.isreg() or member.issparse() or any(part.startswith(".") for part in parts):
                    continue
                if member.offset_data + member.size > length:
                    skipped[shard / "/".join(parts)] = "truncated: the tar stops before this member does"
                    return
                yield "/".join(parts), Span(member.offset_data, member.size)
            end = os.pread(file.fileno(), tarfile.BLOCKSIZE, tar.offset)
        if not end:
            skipped[shard] = "it stops without the mark of a tar's end; what may have followed is missing"
        elif any(end):
            skipped[shard] = f"damaged at byte {tar.offset:,}; what follows is not read"
    except OSError as error:
        skipped[shard] = f"cannot be read: {error.strerror or error}"
    except Exception as error:  # a damaged header makes tarfile raise almost anything
        skipped[shard] = f"damaged, compressed or not a tar: {error}"


class ShardWriter:
    """Samples into tars of ``per_shard`` each, of which every one appears whole or not at all.

    A context: leaving it finishes the last tar, an error in it drops the one that is not finished. Tars that
    are there already stay: the first free name comes after the last that is taken.
    """

    def __init__(self, place: str | Path, per_shard: int) -> None:
        """place: a folder, or a pattern of names with one range, e.g. ``out/train-{000..099}.tar``.

        UserError for another pattern, and later where all its names are taken or the disk refuses.
        """
        if per_shard < 1:
            raise UserError(f"a shard holds at least one picture, got {per_shard}")
        self._library = needs("webdataset.writer", "writing tar shards", "shards")
        path = Path(place).expanduser()
        pattern = path if path.suffix.lower() == SHARD_SUFFIX else path / NAMES
        self._names, self.pattern, self.per_shard = _numbered(pattern), pattern, per_shard
        self.finished = list[Path]()
        """The tars that are whole, in order."""
        self._tar: Any = None
        self._open = ExitStack()
        self._keys = set[str]()

    def write(self, key: str, sample: Mapping[str, bytes]) -> str:
        """Add a sample, its members by extension without a dot in front; return the key that it got.

        That differs from ``key`` where dots in the last part of it would end the key too soon (they become
        ``_``), or where the tar has that key already (``-2`` is added).
        """
        if len(self._keys) == self.per_shard:
            self.finish()
        if self._tar is None:
            self.begin()
        folder, slash, name = key.rpartition("/")
        plain = key = f"{folder}{slash}{name.replace('.', '_')}"
        for number in itertools.count(2):
            if key not in self._keys:
                break
            key = f"{plain}-{number}"
        self._keys.add(key)
        self._tar.write({"__key__": key, **sample})
        return key

    def begin(self) -> None:
        """Begin the next tar, under a temporary name."""
        shard = next((name for name in self._names if not name.exists()), None)
        if shard is None:
            raise UserError(f"all names of {self.pattern} are taken; give a wider range or another folder")
        shard.parent.mkdir(parents=True, exist_ok=True)
        file = self._open.enter_context(atomic_file(shard))
        # A fixed time and no compression: the same samples are the same bytes, and each has a place.
        self._tar = self._library.TarWriter(file, encoder=False, compress=False, mtime=0)
        self._open.callback(self._tar.close)
        self._shard = shard

    def finish(self) -> None:
        """Let the tar being written take its name. The next sample begins another."""
        if self._tar is not None:
            self._tar = None
            self._keys.clear()
            self._open.close()
            self.finished.append(self._shard)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        else:
            self._open.__exit__(kind, error, trace)


def _is_shard(path: Path) -> bool:
    return path.suffix.lower() == SHARD_SUFFIX and not path.name.startswith(".")


def _numbered(pattern: Path) -> Iterator[Path]:
    """The names of a pattern with one range. UserError for any other."""
    ranges = list(RANGE.finditer(pattern.name))
    if len(ranges) != 1 or RANGE.search(str(pattern.parent)):
        raise UserError(f"{pattern} needs one range of numbers in its name; write shard-{{000..099}}.tar")
    (found,) = ranges
    first, last = found.groups()
    before, after = pattern.name[: found.start()], pattern.name[found.end() :]
    return (
        pattern.with_name(f"{before}{number:0{len(first)}d}{after}")
        for number in range(int(first), int(last) + 1)
    )
