"""`cluit translate`: files or folders of pictures on either side, pictures or one grid out."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from cluit.apps.api import Painter, as_square, load, paste_back
from cluit.apps.gallery import progress
from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors
from cluit.core.images import as_picture
from cluit.core.images import grid as lay_out
from cluit.data.decode import SUFFIXES, BadPictureError, open_picture
from cluit.data.folder import ImageFolder

LONGEST_NAME = 100  # bytes of one picture's part in a translation's name
LARGEST_SHEET = 2**27  # pixels of a grid
LARGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # pixels that libjpeg and libwebp can write


def translate(
    model: str,
    source: Path,
    reference: Path,
    *,
    out: Path,
    grid: bool = False,
    full_size: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int = 16,
) -> None:
    """Repaint every source in the style of every reference.

    model: a run, a saved model, or portraits, the one that is shipped.
    source, reference: a picture or a folder of them, of any size; the central square counts.
    out: a picture's name where there is one source and one reference or with grid, else a folder.
    grid: one sheet, the references in its first row, the sources in its first column.
    full_size: the whole source, its central square repainted; else squares of the model's size.
    overwrite: replace what is already there; a source or a reference is never replaced.
    """
    source, reference, out = (path.expanduser() for path in (source, reference, out))
    skipped: dict[Path, str] = {}
    sources, references = find(source, skipped), find(reference, skipped)
    single = grid or (source.is_file() and reference.is_file() and is_picture_name(out))
    check_form(out, single=single, grid=grid, full_size=full_size)
    names = pair_names(sources, references, source, reference)
    targets = {pair: out if single else out / f"{name}.png" for pair, name in names.items()}
    check_targets(set(targets.values()), {*sources, *references}, overwrite)
    if single and full_size:
        check_side(out, *open_picture(source).size)

    painter = load(model, device=device, precision=precision, batch_size=batch_size)
    if grid:
        check_sheet(out, len(sources), len(references), painter.image_size)
    if not grid:
        announce(len(sources), len(references))
    with progress() as bar:
        styles = encode_styles(painter, references, skipped)
        pairs = translations(painter, sources, styles, skipped)
        counted = bar.track(pairs, total=len(sources) * len(styles), description="translating")
        if grid:
            count = write_grid(out, counted, list(styles), painter.image_size)
        else:
            count = write_each(targets, counted, full_size)
    conclude(count, out, skipped)


def find(path: Path, skipped: dict[Path, str]) -> list[Path]:
    """The picture at ``path``, or all that are in the folder; headers that show a fault go to ``skipped``."""
    if path.is_file():
        return [path]
    if not path.exists():
        raise UserError(f"there is no picture or folder at {path}")
    folder = ImageFolder(path, size=1, cache_bytes=0, minimum=1)
    skipped |= folder.skipped
    return folder.paths


def announce(sources: int, references: int) -> None:
    """How many pictures this will be, where they may be more than was thought of."""
    if min(sources, references) > 1:
        count = f"{sources:,} sources in the style of {references:,} references each"
        print(f"{count}: {sources * references:,} pictures", file=sys.stderr, flush=True)


def is_picture_name(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def check_form(out: Path, *, single: bool, grid: bool, full_size: bool) -> None:
    """UserError where ``out`` does not suit what is asked for."""
    if grid and full_size:
        raise UserError("a grid shows squares of the model's size; leave out --grid or --full-size")
    if grid and not is_picture_name(out):
        raise UserError(f"a grid is one picture; name it --out {out.with_suffix('.png')}, not {out}")
    if not single and out.suffix.lower() in Image.registered_extensions():
        known = f"one picture can be {', '.join(SUFFIXES)}"
        advice = "name a folder, or add --grid for one sheet" if is_picture_name(out) else known
        raise UserError(f"the translations cannot be written as {out}; {advice}")


def check_targets(targets: set[Path], inputs: set[Path], overwrite: bool) -> None:
    """UserError where a picture would be lost; an input is kept even if ``overwrite``."""
    existing = sorted(target for target in targets if target.exists())
    taken = {path.resolve() for path in inputs}
    if lost := [target for target in existing if target.resolve() in taken]:
        raise UserError(f"{lost[0]} is one of the pictures to translate; choose another --out")
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UserError(f"{existing[0]}{more} already there; choose another --out or add --overwrite")


def check_sheet(out: Path, sources: int, references: int, size: int) -> None:
    """UserError for a grid that no viewer would open."""
    check_side(out, (references + 1) * size, (sources + 1) * size)
    if (sources + 1) * (references + 1) * size**2 > LARGEST_SHEET:
        raise UserError(f"a grid of {sources} × {references} pictures is too large; take fewer, or no --grid")


def check_side(out: Path, width: int, height: int) -> None:
    """UserError for more pixels than a file of this kind can have."""
    kind = Image.registered_extensions()[out.suffix.lower()]
    if max(width, height) > (most := LARGEST_SIDE.get(kind, max(width, height))):
        raise UserError(
            f"{kind} pictures have at most {most:,} pixels a side, {out} would be {width:,} × {height:,}; "
            "name a .png"
        )


def pair_names(
    sources: Sequence[Path], references: Sequence[Path], source: Path, reference: Path
) -> dict[tuple[Path, Path], str]:
    """``cat--fox`` by source and reference: no two alike, as neither part holds two dashes in a row."""
    left, right = part_names(sources, source), part_names(references, reference)
    return {(s, r): f"{left[s]}--{right[r]}" for s in sources for r in references}


def part_names(paths: Sequence[Path], root: Path) -> dict[Path, str]:
    """A name for each picture, from its place under ``root``; distinct also where case does not count."""
    names: dict[Path, str] = {}
    taken = set[str]()
    for path in paths:
        parts = path.relative_to(root).with_suffix("").parts if root.is_dir() else (path.stem,)
        joined = "-".join(piece for part in parts for piece in part.split("-") if piece)
        plain = os.fsencode(joined)[:LONGEST_NAME].decode(errors="ignore").strip("-") or "picture"
        name, count = plain, 1
        while name.casefold() in taken:
            count += 1
            name = f"{plain}-{count}"
        taken.add(name.casefold())
        names[path] = name
    return names


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
    painter: Painter, references: Sequence[Path], skipped: dict[Path, str]
) -> dict[Path, Tensor]:
    """The style (S,) of each reference that can be read, in order, computed once."""
    styles: dict[Path, Tensor] = {}
    for start in range(0, len(references), painter.batch_size):
        squares = read(references[start : start + painter.batch_size], painter.image_size, skipped)
        if squares:
            styles |= zip(squares, painter.styles(list(squares.values())), strict=True)
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
    """One sheet, references in its first row, sources in its first column; how many translations it shows."""
    rows: dict[Path, list[Tensor]] = {}
    for source, _, pixels in pictures:
        rows.setdefault(source, [as_square(source, size)]).append(pixels)
    if rows:
        corner = torch.full((3, size, size), 255, dtype=torch.uint8)
        header = [corner, *(as_square(reference, size) for reference in references)]
        write_picture(out, as_picture(lay_out([header, *rows.values()])))
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
