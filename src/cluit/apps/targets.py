"""What translations are called, and what would keep them from being written: looked at before the work."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from cluit.core.errors import UserError
from cluit.data.decode import SUFFIXES

LONGEST_NAME = 100  # bytes of one picture's part in a translation's name
LARGEST_SHEET = 2**27  # pixels of a grid
LARGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # pixels that libjpeg and libwebp can write


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
