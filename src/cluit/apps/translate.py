"""`cluit translate`: files or folders of pictures on either side, or made-up styles; files out."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from cluit.apps.api import Painter, load
from cluit.apps.domains import domains_of
from cluit.apps.gallery import progress
from cluit.apps.squares import as_square, paste_back
from cluit.apps.targets import (
    check_form,
    check_sheet,
    check_side,
    check_targets,
    is_picture_name,
    pair_names,
)
from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors
from cluit.core.images import as_picture
from cluit.core.images import grid as lay_out
from cluit.data.decode import BadPictureError, open_picture
from cluit.data.folder import ImageFolder


def translate(
    model: str,
    source: Path,
    reference: Path | None = None,
    *,
    out: Path,
    latent: int | None = None,
    domain: str | None = None,
    seed: int = 0,
    grid: bool = False,
    full_size: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int = 16,
) -> None:
    """Repaint every source in the style of every reference, or in styles that the model makes up.

    model: a run, a saved model, or portraits, the one that is shipped.
    source, reference: a picture or a folder of them, of any size; the central square counts.
    out: a picture's name where there is one source and one reference or with grid, else a folder.
    latent: instead of a reference, how many styles to make up, by ``seed``; each source gets all of them.
    domain: see `Painter.styles` and `Painter.sample_styles`.
    grid: one sheet, the references in its first row, the sources in its first column.
    full_size: the whole source, its central square repainted; else squares of the model's size.
    overwrite: replace what is already there; a source or a reference is never replaced.
    """
    require_styles(reference, latent)
    source, out = source.expanduser(), out.expanduser()
    worn = Path() if reference is None else reference.expanduser()
    skipped: dict[Path, str] = {}
    sources = find(source, skipped)
    references = find(worn, skipped) if latent is None else made_up(latent, domain)
    single = grid or (source.is_file() and (worn.is_file() or latent == 1) and is_picture_name(out))
    check_form(out, single=single, grid=grid, full_size=full_size)
    names = pair_names(sources, references, source, worn)
    targets = {pair: out if single else out / f"{name}.png" for pair, name in names.items()}
    check_targets(set(targets.values()), {*sources, *(references if latent is None else ())}, overwrite)
    if single and full_size:
        check_side(out, *open_picture(source).size)

    painter = load(model, device=device, precision=precision, batch_size=batch_size)
    if grid:
        check_sheet(out, len(sources), len(references), painter.image_size)
    if not grid:
        announce(
            len(sources),
            len(references),
            "the style of {:,} references" if latent is None else "{:,} made-up styles",
        )
    with progress() as bar:
        if latent is None:
            styles = encode_styles(painter, references, domain, skipped)
        else:
            styles = dict(zip(references, painter.sample_styles(latent, domain, seed), strict=True))
        pairs = translations(painter, sources, styles, skipped)
        counted = bar.track(pairs, total=len(sources) * len(styles), description="translating")
        if grid:
            count = write_grid(out, counted, list(styles) if latent is None else [], painter.image_size)
        else:
            count = write_each(targets, counted, full_size)
    conclude(count, out, skipped)


def require_styles(reference: Path | None, latent: int | None) -> None:
    """UserError unless styles come from references or are made up, one of both."""
    if (reference is None) == (latent is None):
        raise UserError(
            "name a REFERENCE to take the style from, or how many to make up with --latent: one of both"
        )
    if latent is not None and latent < 1:
        raise UserError(f"there must be at least one style to make up, not {latent}")


def made_up(count: int, domain: str | None) -> list[Path]:
    """What styles without references are called: by their domain and number."""
    name = (domain or "style").replace(os.sep, "-")
    return [Path(f"{name}-{number}") for number in range(1, count + 1)]


def find(path: Path, skipped: dict[Path, str]) -> list[Path]:
    """The picture at ``path``, or all that are in the folder; headers that show a fault go to ``skipped``."""
    if path.is_file():
        return [path]
    if not path.exists():
        raise UserError(f"there is no picture or folder at {path}")
    folder = ImageFolder(path, size=1, cache_bytes=0, minimum=1)
    skipped |= folder.skipped
    return folder.paths


def announce(sources: int, styles: int, wearing: str) -> None:
    """How many pictures this will be, where they may be more than was thought of."""
    if min(sources, styles) > 1:
        count = f"{sources:,} sources in {wearing.format(styles)} each: {sources * styles:,} pictures"
        print(count, file=sys.stderr, flush=True)


def read(paths: Sequence[Path], size: int, skipped: dict[Path, str]) -> dict[Path, Tensor]:
    """The central squares, uint8 (3, size, size); what cannot be read goes to ``skipped``."""
    squares = {}
    for path in paths:
        try:
            squares[path] = as_square(path, size)
        except BadPictureError as bad:
            skipped[path] = bad.reason
    return squares


def encode_styles(
    painter: Painter, references: Sequence[Path], domain: str | None, skipped: dict[Path, str]
) -> dict[Path, Tensor]:
    """The style (S,) of each reference that can be read, in order, computed once. domain: of all."""
    names = domains_of(painter.translator, references, domain)
    known = None if names is None else dict(zip(references, names, strict=True))
    styles: dict[Path, Tensor] = {}
    for start in range(0, len(references), painter.batch_size):
        squares = read(references[start : start + painter.batch_size], painter.image_size, skipped)
        if squares:
            told = None if known is None else [known[path] for path in squares]
            styles |= zip(squares, painter.styles(list(squares.values()), told), strict=True)
    return styles


def translations(
    painter: Painter, sources: Sequence[Path], styles: Mapping[Path, Tensor], skipped: dict[Path, str]
) -> Iterator[tuple[Path, Path, Tensor]]:
    """(source, reference, uint8 (3, S, S)) of every pair, source by source, each structure computed once."""
    if not styles:
        return
    references, codes = list(styles), torch.stack(list(styles.values()))
    for start in range(0, len(sources), painter.batch_size):
        squares = read(sources[start : start + painter.batch_size], painter.image_size, skipped)
        if not squares:
            continue
        readable, structures = list(squares), painter.structures(list(squares.values()))
        pairs = torch.cartesian_prod(torch.arange(len(readable)), torch.arange(len(references)))
        for part in pairs.split(painter.batch_size):
            i, j = part.to(codes.device).unbind(1)
            painted = painter.paint(structures[i], codes[j])
            for (row, column), pixels in zip(part.tolist(), painted, strict=True):
                yield readable[row], references[column], pixels


def write_each(
    targets: Mapping[tuple[Path, Path], Path], pictures: Iterable[tuple[Path, Path, Tensor]], full_size: bool
) -> int:
    """Each translation into its own file; how many."""
    count, opened, whole = 0, None, None
    for source, reference, pixels in pictures:
        picture = as_picture(pixels)
        if full_size:
            if whole is None or source != opened:
                opened, whole = source, open_picture(source)
            picture = paste_back(whole, picture)
        write_picture(targets[source, reference], picture)
        count += 1
    return count


def write_grid(
    out: Path, pictures: Iterable[tuple[Path, Path, Tensor]], references: Sequence[Path], size: int
) -> int:
    """One sheet, sources in its first column; how many translations it shows.

    references: for its first row, which a sheet without any has not.
    """
    rows: dict[Path, list[Tensor]] = {}
    for source, _, pixels in pictures:
        rows.setdefault(source, [as_square(source, size)]).append(pixels)
    if rows:
        corner = torch.full((3, size, size), 255, dtype=torch.uint8)
        header = [corner, *(as_square(reference, size) for reference in references)]
        write_picture(out, as_picture(lay_out([*([header] if references else []), *rows.values()])))
    return sum(len(row) - 1 for row in rows.values())


def write_picture(path: Path, picture: Image.Image) -> None:
    """The file is whole or not there; its format is that of its suffix."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        picture.save(file, Image.registered_extensions()[path.suffix.lower()], quality=95)


def conclude(count: int, out: Path, skipped: Mapping[Path, str]) -> None:
    """Say what was written and what was not. UserError where nothing was."""
    if not count:
        first = "; ".join(f"{path}: {reason}" for path, reason in list(skipped.items())[:3])
        raise UserError(f"nothing could be translated ({first}); give other pictures")
    for path, reason in skipped.items():
        print(f"skipped {path}: {reason}", file=sys.stderr)
    print(f"{count} translation{'s' * (count > 1)} in {out}")
