"""What the web page can do, as plain functions: files of pictures in, pictures out, no server in sight."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from cluit.analysis.neighbours import nearest
from cluit.analysis.walk import walk
from cluit.apps.animation import RATE, write_animation
from cluit.apps.api import Painter
from cluit.apps.code_index import CodeIndex
from cluit.apps.gallery import Gallery
from cluit.apps.interpolate import strip_rows
from cluit.apps.squares import as_square, paste_back
from cluit.apps.thumbnails import sheet, thumbnail
from cluit.apps.walks import painted
from cluit.apps.web_codes import Codes
from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.core.images import grid as lay_out
from cluit.data.decode import MAX_PIXELS, BadPictureError, open_picture, read_header, reading

MOST_SOURCES, MOST_REFERENCES = 6, 4
MOST_NEAREST = 24
MEGA = 1_000_000

Captioned = tuple[Image.Image, str]


@dataclass(frozen=True)
class Limits:
    """How large one uploaded picture may be."""

    megabytes: float = 20
    megapixels: float = 40

    def __post_init__(self) -> None:
        if not 0 < self.megabytes <= 1000:
            raise UserError(f"an upload has up to 1000 megabytes, not {self.megabytes:g}; choose --megabytes")
        if not 0 < self.megapixels <= MAX_PIXELS / MEGA:
            raise UserError(
                f"a picture has up to {MAX_PIXELS // MEGA} megapixels, not {self.megapixels:g}; "
                "choose --megapixels"
            )

    def check(self, path: Path) -> None:
        """UserError, by the file's header alone, for what is too large or no picture."""
        with reading(path) as file:
            width, height = read_header(file, path).size
            size = file.seek(0, os.SEEK_END)
        if size > self.megabytes * MEGA:
            raise BadPictureError(
                path, f"{size / MEGA:.1f} megabytes, more than {self.megabytes:g}; give a smaller file"
            )
        if width * height > self.megapixels * MEGA:
            raise BadPictureError(
                path,
                f"{width:,} × {height:,} pixels, more than {self.megapixels:g} million; "
                "give a smaller picture",
            )


@dataclass(frozen=True)
class Task:
    """What someone has chosen: whose pictures, and how they are to be painted."""

    session: str
    sources: Sequence[Path]
    references: Sequence[Path]
    weights: Sequence[float] = ()
    """Of the references in a mix; one that is not named weighs 1."""
    domain: str | None = None
    """Of all references, for a model that tells domains apart."""
    source_domain: str | None = None
    """Of all sources, whose own style is where a strength of 0 and a walk begin."""


@dataclass(frozen=True)
class Shelf:
    """Pictures to pick from: what is shown, and the file that is taken for it."""

    shown: Sequence[Path]
    taken: Sequence[Path]
    first: tuple[int, int]
    """The source and the reference that the page opens with, by number."""


class Studio:
    """A model, what it has encoded so far, and the folder that is searched."""

    def __init__(
        self,
        painter: Painter,
        limits: Limits = Limits(),
        searched: tuple[Gallery, CodeIndex] | None = None,
    ) -> None:
        self.painter, self.limits, self.searched = painter, limits, searched
        self.codes = Codes(painter)

    def translate(self, task: Task, strength: float = 1.0, full_size: bool = False) -> list[Image.Image]:
        """Every source in the mixed style of the references.

        strength: from 0, the source's own style, to 1, the references'. full_size: the whole source, its
        central square repainted; else a square of the model's size. UserError for what the user can mend.
        """
        self.check(task)
        style = self.mix(task)
        if strength != 1:
            own = self.codes.styles(task.session, task.sources, task.source_domain)
            style = torch.lerp(own, style, strength)
        structures = self.codes.structures(task.session, task.sources)
        squares = map(as_picture, self.painter.paint(structures, style.expand(len(structures), -1)))
        if not full_size:
            return list(squares)
        wholes = map(open_picture, task.sources)
        return [paste_back(whole, square) for whole, square in zip(wholes, squares, strict=True)]

    def mix(self, task: Task) -> Tensor:
        """(1, S): the mean of the references' styles by their weights. UserError where none is above 0."""
        styles = self.codes.styles(task.session, task.references, task.domain)
        weights = styles.new_tensor([*task.weights, *[1.0] * len(styles)][: len(styles)])
        if not (weights.min() >= 0 and weights.sum() > 0):
            raise UserError("no reference has a weight above 0; raise the weight of at least one")
        return (weights @ styles / weights.sum())[None]

    def grid(self, task: Task) -> Image.Image:
        """Every source by every reference: references in the first row, sources in the first column."""
        self.check(task)
        styles = self.codes.styles(task.session, task.references, task.domain)
        structures = self.codes.structures(task.session, task.sources)
        sources, references = map(self._squares, (task.sources, task.references))
        rows = [painted(self.painter, structure[None], styles) for structure in structures]
        header = [torch.full_like(sources[0], 255), *references]
        body = ([source, *row] for source, row in zip(sources, rows, strict=True))
        return as_picture(lay_out([header, *body]))

    def strip(self, task: Task, frames: int = 7) -> tuple[list[Captioned], Image.Image]:
        """The first source from its own style to each reference's in turn: frames, and one sheet of them."""
        pictures = self._walk(task, frames)
        source, *references = self._squares([task.sources[0], *task.references])
        rows = strip_rows(pictures, source, references, frames)
        each = [(thumbnail(one), stop(number, frames)) for number, one in enumerate(pictures)]
        return each, sheet(rows)

    def animate(self, task: Task, path: Path, seconds: float = 1.5) -> None:
        """The same walk there and back as a moving picture, ``seconds`` from style to style."""
        there = self._walk(task, max(2, round(seconds * RATE)))
        write_animation(path, [as_picture(one) for one in (*there, *there.flip(0)[1:-1])])

    def nearest(self, task: Task, k: int = 8) -> list[Captioned]:
        """Pictures of the searched folder whose style is most like the references' mix, best first.

        Each with the cosine similarity and its name. Sources are not looked at.
        """
        if self.searched is None:
            raise UserError("no folder was named to search; start the page with --data FOLDER")
        require_some(task.references, "reference", MOST_REFERENCES)
        self._check_files(task.references)
        gallery, index = self.searched
        cosine, rows = nearest(index.codes, self.mix(task).cpu(), min(k, len(index.names)))
        names = [index.names[row] for row in rows[0].tolist()]
        readable, pixels = gallery.read([gallery.names.index(name) for name in names])
        found = {gallery.names[i]: one for i, one in zip(readable, pixels, strict=True)}
        return [
            (thumbnail(found[name]), f"{alike:.2f} {name}")
            for name, alike in zip(names, cosine[0].tolist(), strict=True)
            if name in found
        ]

    def usable(self, pictures: Sequence[Path], most: int) -> tuple[list[Path], dict[Path, str]]:
        """The pictures that can be used, no more than ``most``, and a sentence for each that is left out."""
        good, faults = list[Path](), dict[Path, str]()
        for path in pictures:
            try:
                self.limits.check(path)
                good.append(path)
            except UserError as error:
                faults[path] = str(error)
        many = f"the page takes up to {most} pictures here, the first of them; remove some to add others"
        return good[:most], faults | dict.fromkeys(good[most:], many)

    def check(self, task: Task) -> None:
        """UserError for too few or too many pictures, too large ones, and files that are none."""
        require_some(task.sources, "source", MOST_SOURCES)
        require_some(task.references, "reference", MOST_REFERENCES)
        self._check_files([*task.sources, *task.references])

    def _check_files(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self.limits.check(path)

    def _squares(self, paths: Sequence[Path]) -> list[Tensor]:
        return [as_square(path, self.painter.image_size) for path in paths]

    def _walk(self, task: Task, frames: int) -> Tensor:
        """uint8 (F, 3, S, S)."""
        self.check(task)
        first = task.sources[:1]
        (own,) = self.codes.styles(task.session, first, task.source_domain)
        styles = self.codes.styles(task.session, task.references, task.domain)
        structure = self.codes.structures(task.session, first)
        return painted(self.painter, structure, walk(own, *styles, frames=frames))


def stop(number: int, frames: int) -> str:
    """What the frame of this number is called, in a walk of so many from style to style."""
    line, place = divmod(number, frames - 1)
    if place:
        return f"{place / (frames - 1):.2f}"
    return f"reference {line}" if line else "own style"


def require_some(pictures: Sequence[Path], kind: str, most: int) -> None:
    """UserError unless there is at least one picture and no more than ``most``."""
    if not pictures:
        raise UserError(f"there is no {kind} yet; give at least one")
    if len(pictures) > most:
        raise UserError(f"the page takes up to {most} {kind}s, not {len(pictures)}; remove some")
