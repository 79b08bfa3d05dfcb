"""Where translations go: into folders, a file each, or into tars, each of them whole or not there."""

import io
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

from PIL import Image

from cluit.apps.bulk.manifest import Row
from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors
from cluit.data.shards import SHARD_SUFFIX, ShardWriter, entries, read_span

KINDS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
"""What PIL calls each --format."""
CARD = "json"
"""Extension of the member of a tar that says which source and reference made its picture."""
MOST_IN_FOLDER = 10_000
"""Pictures in one folder, beyond which names are spread over subfolders: 256, or 65,536."""


class Painted(NamedTuple):
    """A translation that is there, or a block of them that was finished before."""

    block: str
    name: str
    """Its name below the block, without suffix."""
    row: Row | None
    """What the manifest says of it; None for a whole block."""
    data: bytes | None = None
    """Its file, where it has none yet."""


@dataclass(frozen=True)
class Encoding:
    """How a picture becomes bytes."""

    format: str
    quality: int
    """Of JPEG and WebP; PNG loses nothing."""

    def __call__(self, picture: Image.Image, file: BinaryIO | io.BytesIO) -> None:
        picture.save(file, KINDS[self.format], quality=self.quality)


@dataclass(frozen=True)
class Place:
    """The folder of a job and what may be in it."""

    root: Path
    since: int
    """When the job began, in nanoseconds of the disk's own clock: what is older is not the job's."""
    fresh: bool
    """Nothing was there when the job began."""
    overwrite: bool
    inputs: tuple[Path, ...]
    """Pictures and folders that are never written to, resolved."""

    def finished(self, path: Path) -> bool:
        """Whether the job has written that. UserError where it is another's that has to stay."""
        if self.fresh:
            return False
        try:
            written = path.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        if written >= self.since:
            return True
        require_free(path, self.overwrite, self.inputs)
        return False


def require_free(path: Path, overwrite: bool, inputs: tuple[Path, ...]) -> None:
    """UserError where ``path`` is there and has to stay."""
    if not path.exists():
        return
    if any(path.resolve().is_relative_to(one) for one in inputs):
        raise UserError(f"{path} is one of the pictures to translate; choose another --out")
    if not overwrite:
        raise UserError(f"{path} is already there; choose another --out or add --overwrite")


class Folders:
    """A file for each translation, spread over subfolders where there are many."""

    def __init__(self, place: Place, encode: Encoding, depth: int) -> None:
        """depth: of subfolders, see `depth_of`."""
        self.place, self.encode, self.depth = place, encode, depth

    def block(self, label: str, number: int) -> str:
        """Blocks of one section of sources have one folder."""
        return label

    def whole(self, block: str) -> bool:
        """Whether all of the block was finished before: that is asked of each picture."""
        return False

    def name(self, block: str, name: str) -> str:
        """The translation's place without its suffix, e.g. ``3f/cat--fox``: equal names, equal places."""
        digest = f"{crc32(name.encode(errors='surrogateescape')):08x}"
        return "/".join(
            [*([block] if block else []), *(digest[2 * i :][:2] for i in range(self.depth)), name]
        )

    def path(self, name: str) -> Path:
        """The file."""
        return self.place.root / f"{name}.{self.encode.format}"

    def finished(self, name: str) -> bool:
        """Whether this translation was finished before. From any thread."""
        return self.place.finished(self.path(name))

    def store(self, name: str, picture: Image.Image) -> bytes | None:
        """Write it, whole or not at all. From any thread."""
        path = self.path(name)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            self.encode(picture, file)
        return None

    def rows(self, pictures: Iterable[Painted]) -> Iterator[Row]:
        """What the manifest says of each, which is on the disk already."""
        for picture in pictures:
            assert picture.row is not None
            yield picture.row._replace(output=f"{picture.name}.{self.encode.format}")


class Tars:
    """Blocks of translations, a tar each; in it every picture has its row of the manifest beside it."""

    def __init__(self, place: Place, encode: Encoding) -> None:
        self.place, self.encode = place, encode

    def block(self, label: str, number: int) -> str:
        """The name of a tar, without suffix."""
        return f"{label or 'shard'}-{number:06d}"

    def whole(self, block: str) -> bool:
        """Whether this tar was finished before."""
        return self.place.finished(self._tar(block))

    def name(self, block: str, name: str) -> str:
        """The key in the tar."""
        return name

    def finished(self, name: str) -> bool:
        """Whether this translation was finished before: that is asked of whole tars."""
        return False

    def store(self, name: str, picture: Image.Image) -> bytes | None:
        """The file's bytes. From any thread."""
        file = io.BytesIO()
        self.encode(picture, file)
        return file.getvalue()

    def rows(self, pictures: Iterable[Painted]) -> Iterator[Row]:
        """Write each block; what the manifest says of its pictures comes once it is whole."""
        for block, painted in groupby(pictures, key=lambda one: one.block):
            yield from self._written(block) if self.whole(block) else self._write(block, painted)

    def _write(self, block: str, pictures: Iterable[Painted]) -> list[Row]:
        tar, rows = self._tar(block), list[Row]()
        tar.unlink(missing_ok=True)  # an older one, which may be replaced: `Place.finished` has seen to that
        label, _, number = block.rpartition("-")
        only = self.place.root / f"{label}-{{{number}..{number}}}{SHARD_SUFFIX}"
        with ShardWriter(only, sys.maxsize) as file:
            for picture in pictures:
                assert picture.row is not None
                assert picture.data is not None
                card = {
                    name: value for name, value in picture.row._asdict().items() if name != "output" and value
                }
                key = file.write(
                    picture.name, {self.encode.format: picture.data, CARD: json.dumps(card).encode()}
                )
                rows.append(picture.row._replace(output=f"{tar.name}/{key}.{self.encode.format}"))
        return rows

    def _written(self, block: str) -> Iterator[Row]:
        """The rows of a tar that is whole."""
        tar = self._tar(block)
        with tar.open("rb") as file:
            for entry in entries(tar, {}):
                card = json.loads(read_span(file.fileno(), entry.others[CARD]))
                yield Row(**card, output=f"{tar.name}/{entry.name}")

    def _tar(self, block: str) -> Path:
        return self.place.root / f"{block}{SHARD_SUFFIX}"


Output = Folders | Tars


def depth_of(pictures: int) -> int:
    """How many subfolders deep so many pictures go."""
    return 0 if pictures <= MOST_IN_FOLDER else 1 if pictures <= 256 * MOST_IN_FOLDER else 2
