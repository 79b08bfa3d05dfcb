"""The pictures that an analysis looks through: a folder's, or portraits, each with a name and a class."""

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from cluit.apps import report
from cluit.apps.api import Painter
from cluit.apps.domains import domains_of
from cluit.apps.pictures import PORTRAITS, names_of, shuffled
from cluit.apps.report import Html
from cluit.core.errors import UserError
from cluit.core.files import disk_errors
from cluit.data.decode import BadPictureError
from cluit.data.folder import ImageFolder
from cluit.data.portraits import Portraits
from cluit.data.shard_folder import folder_type

AT_ONCE = 64


class Gallery:
    """Pictures of one size by number. What turns out to be damaged is left out wherever it is asked for.

    names: relative to the folder, with forward slashes; of portraits as `cluit data portraits` names them.
    classes: the first-level subfolders or the species; none where there are fewer than two.
    labels: (N,) long, indices into ``classes``.
    """

    def __init__(self, pictures: ImageFolder | Portraits) -> None:
        self.pictures = pictures
        self.classes: list[str] = pictures.classes if len(pictures.classes) > 1 else []
        self.labels = torch.tensor(pictures.labels)
        self.names = names_of(pictures)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, numbers: Sequence[int]) -> tuple[list[int], Tensor]:
        """Those of ``numbers`` whose pictures can be read, and their pictures, uint8 (N, 3, S, S)."""
        pixels = self.pictures.batch(numbers)
        if isinstance(self.pictures, Portraits):
            return list(numbers), pixels
        # A folder puts another picture in a damaged one's place; here every picture stands for itself.
        root, paths = self.pictures.root, self.pictures.paths
        good = [place for place, i in enumerate(numbers) if paths[i] == root / self.names[i]]
        return [numbers[place] for place in good], pixels[good]

    def batches(self, numbers: Sequence[int], note: str) -> Iterator[tuple[list[int], Tensor]]:
        """`read` some at a time, behind a progress bar with this note."""
        with progress() as bar:
            task = bar.add_task(note, total=len(numbers))
            for first in range(0, len(numbers), AT_ONCE):
                yield self.read(numbers[first : first + AT_ONCE])
                bar.advance(task, len(numbers[first : first + AT_ONCE]))

    def encode(
        self, painter: Painter, numbers: Sequence[int], domains: Sequence[str] | None = None
    ) -> tuple[list[int], Tensor]:
        """Those of ``numbers`` that can be read and their style codes, (N, S) on the CPU.

        domains: of all pictures of the gallery, see ``domains``.
        """
        good, codes = list[int](), list[Tensor]()
        for readable, pixels in self.batches(numbers, "encoding"):
            if readable:
                good += readable
                told = None if domains is None else [domains[i] for i in readable]
                codes.append(painter.styles(list(pixels), told).cpu())
        return good, torch.cat(codes)

    def domains(self, painter: Painter, named: str | None) -> list[str] | None:
        """Of all pictures, as of `domains_of`; portraits are kept by species."""
        root = Path("/") if isinstance(self.pictures, Portraits) else self.pictures.root
        return domains_of(painter.translator, [root / name for name in self.names], named)

    def fingerprint(self) -> str:
        """Of names and contents: what changes a picture, its name or its number changes this."""
        digest = hashlib.blake2b(f"{self.pictures.size}\n".encode(), digest_size=16)
        if isinstance(self.pictures, Portraits):
            digest.update(f"portraits test {len(self)}".encode())
            return digest.hexdigest()
        for name in self.names:
            try:
                content = hashlib.blake2b(self.pictures.read(self.pictures.root / name)).digest()
            except BadPictureError as error:
                raise UserError(f"{error}; leave it out or mend it") from error
            digest.update(name.encode(errors="surrogateescape") + b"\n" + content)
        return digest.hexdigest()

    @property
    def skipped(self) -> dict[str, str]:
        """Files that could not be used, by name, with the reason; some only show when they are read."""
        if isinstance(self.pictures, Portraits):
            return {}
        root = self.pictures.root
        found = self.pictures.skipped.items()
        return {path.relative_to(root).as_posix(): reason for path, reason in sorted(found)}

    def sample(self, count: int) -> list[int]:
        """At most ``count`` numbers, spread over all by a fixed chance, in order."""
        return sorted(shuffled(len(self))[:count])


def open_gallery(data: str | Path, size: int, count: int) -> Gallery:
    """The folder ``data``, or ``count`` held-out portraits where it is the word for them, at ``size`` pixels.

    UserError where there are fewer than two pictures.
    """
    if str(data) == PORTRAITS:
        if count < 2:
            raise UserError(f"an analysis needs at least 2 portraits, got {count}")
        return Gallery(Portraits(count, size, split="test"))
    return Gallery(folder_type(data)(data, size))


def left_out(skipped: Mapping[str, str]) -> list[Html]:
    """A section that names every file that could not be used, where there are any; see `Gallery.skipped`."""
    if not skipped:
        return []
    return [
        report.section("Files that could not be used", report.table(["file", "reason"], [*skipped.items()]))
    ]


def progress() -> Progress:
    """Bars on standard error, where that is a terminal."""
    return Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())


def free_folder(out: Path, *names: str, apart: Sequence[str | Path | None] = ()) -> Path:
    """``out`` as a folder for these files.

    apart: folders of pictures, if they are. UserError where ``out`` is something else than a folder, has one
    of the files, lies among the pictures or cannot be written.
    """
    out = out.expanduser()
    for data in apart:
        if data is None or str(data) == PORTRAITS:
            continue
        if out.resolve().is_relative_to(Path(data).expanduser().resolve()):
            raise UserError(f"{out} is inside {data}, whose pictures it would add to; choose another --out")
    taken = [out] if os.path.lexists(out) and not out.is_dir() else []
    taken += [out / name for name in names if os.path.lexists(out / name)]
    if taken:
        raise UserError(f"{taken[0]} is already there; choose another --out")
    with disk_errors(out), TemporaryFile(dir=next(one for one in (out, *out.parents) if one.exists())):
        pass  # before the work, not after it
    return out
