"""What translations are called, and what would keep them from being written: looked at before the work."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

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


def check_target(target: Path, inputs: set[Path], overwrite: bool) -> None:
    """UserError where a picture would be lost; an input is kept even if ``overwrite``."""
    if not target.exists():
        return
    if target.resolve() in {path.resolve() for path in inputs}:
        raise UserError(f"{target} is one of the pictures to translate; choose another --out")
    if not overwrite:
        raise UserError(f"{target} is already there; choose another --out or add --overwrite")


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


def part_names(paths: Sequence[Path], root: Path) -> dict[Path, str]:
    """A name for each picture, from its place under ``root``; distinct also where case does not count.

    ``cat--fox`` names a pair then: no two alike, as neither part holds two dashes in a row.
    """
    alike = Counter[str]()
    keys = (path.relative_to(root).as_posix() if root.is_dir() else path.name for path in paths)
    return {path: numbered(plain_name(key), alike) for path, key in zip(paths, keys, strict=True)}


def plain_name(key: str) -> str:
    """``deep/a.png`` as ``deep-a``: at most `LONGEST_NAME` bytes, no tilde, no double dash, no dot first."""
    parts = PurePosixPath(key).with_suffix("").parts
    joined = "-".join(piece for part in parts for piece in part.replace("~", "-").split("-") if piece)
    return os.fsencode(joined)[:LONGEST_NAME].decode(errors="ignore").lstrip("-.").rstrip("-") or "picture"


def numbered(plain: str, alike: Counter[str]) -> str:
    """``plain``, or ``plain~2`` where ``alike`` has seen one, without regard to case; it counts this one."""
    folded = plain.casefold()
    alike[folded] += 1
    return plain if alike[folded] == 1 else f"{plain}~{alike[folded]}"
