"""The styles that a job gives out: of references, each encoded once, or made up."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cluit.apps.api import Painter
from cluit.apps.bulk.flow import in_order
from cluit.apps.bulk.progress import progress
from cluit.apps.bulk.sources import Tell, batched
from cluit.apps.domains import domains_of
from cluit.apps.squares import as_square
from cluit.apps.targets import part_names
from cluit.core.errors import UserError
from cluit.data.decode import BadPictureError
from cluit.data.folder import ImageFolder


@dataclass(frozen=True)
class Styles:
    """What each is, whose it is and what that is called: all of them are in memory."""

    codes: Tensor
    """(R, S), float32."""
    places: Sequence[Path]
    """The references' files; of styles that are made up, their names."""
    names: Sequence[str]
    """Their parts of translations' names."""
    domains: Sequence[str] | None
    """Of a model that tells domains apart."""

    def __len__(self) -> int:
        return len(self.places)


def made_up(painter: Painter, count: int, domain: str | None, seed: int) -> Styles:
    """``count`` styles without references, called by their domain and number."""
    codes = painter.sample_styles(count, domain, seed)
    assert domain is not None  # who makes styles up does it by domain
    name = domain.replace(os.sep, "-")
    places = [Path(f"{name}-{number}") for number in range(1, count + 1)]
    return Styles(codes, places, [*part_names(places, Path()).values()], [domain] * count)


def encoded(
    painter: Painter,
    references: Sequence[Path],
    names: Sequence[str],
    domain: str | None,
    tell: Tell,
    workers: int,
) -> Styles:
    """The styles of those ``references`` that can be read, by these ``names``.

    domain: of all, see `domains_of`. workers: threads that read. UserError where none can be read.
    """
    told = domains_of(painter.translator, references, domain)
    row_of = {reference: row for row, reference in enumerate(references)}
    good, codes = list[int](), list[Tensor]()

    def squares(part: list[Path]) -> dict[Path, Tensor]:
        return read(part, painter.image_size, tell)

    with ThreadPoolExecutor(workers) as pool, progress() as bar:
        task = bar.add_task("encoding references", total=len(references))
        for part in in_order(squares, batched(references, painter.batch_size), pool, workers):
            if part:
                rows = [row_of[reference] for reference in part]
                codes.append(painter.styles(list(part.values()), told and [told[row] for row in rows]))
                good += rows
            bar.advance(task, painter.batch_size)
    if not good:
        raise UserError(f"nothing could be translated ({tell}); give other pictures")
    return Styles(
        torch.cat(codes),
        [references[row] for row in good],
        [names[row] for row in good],
        told and [told[row] for row in good],
    )


def find(path: Path, tell: Tell) -> list[Path]:
    """The picture at ``path``, or all that are in the folder whose headers show no fault."""
    if path.is_file():
        return [path]
    folder = ImageFolder(path, size=1, cache_bytes=0, minimum=1)
    for bad, reason in folder.skipped.items():
        tell(bad, reason)
    return folder.paths


def read(paths: Sequence[Path], size: int, tell: Tell) -> dict[Path, Tensor]:
    """The central squares, uint8 (3, size, size), of those that can be read."""
    squares = {}
    for path in paths:
        try:
            squares[path] = as_square(path, size)
        except BadPictureError as bad:
            tell(path, bad.reason)
    return squares
