"""Binary attributes of pictures, for scoring only: from a table beside a folder, or of drawn portraits."""

import csv
import difflib
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cluit.core.errors import UserError
from cluit.data.factors import attributes
from cluit.data.folder import ImageFolder
from cluit.data.labels import Labels, listed
from cluit.data.portraits import Portraits

CELEBA_TWELVE = (
    "Black_Hair",
    "Blond_Hair",
    "Brown_Hair",
    "Gray_Hair",
    "Male",
    "Young",
    "Goatee",
    "Mustache",
    "No_Beard",
    "Eyeglasses",
    "Heavy_Makeup",
    "Wavy_Hair",
)
"""CelebA's attributes that no pose changes, to compare with the paper's Figure 5.

The list stands in the figure alone, which could not be had. The paper's text (section 4.1) names hair colour,
gender, age and goatee as being in it: the first seven here, though which hair colours is inferred. The other
five are inferred from what the text says is transferred: beards, eyeglasses, make-up and wavy hair."""
CELEBA = "celeba"
"""What stands for all twelve in a choice of attributes."""
ALL = "all"
OWN_PREFIX = "is: "
"""Marks the binary columns among the others of the table that ``cluit data portraits`` writes."""


def portrait_attributes(portraits: Portraits, only: Sequence[str] = (ALL,)) -> Labels:
    """Of drawn portraits, the attributes ``only``, see `choose`."""
    known = attributes(portraits.style)
    names = choose(only, tuple(known), "portraits")
    return Labels(names, torch.stack([known[name] for name in names], dim=1))


def attribute_labels(pictures: ImageFolder, table: Path, only: Sequence[str] = (ALL,)) -> Labels:
    """Of a folder's pictures, the attributes ``only`` (see `choose`) as a table has them.

    table: CSV with a header; the first column has files' names, relative to the folder or bare, the others
        0 and 1 or -1 and 1; or CelebA's own ``list_attr_celeba.txt``. Of the table that
        ``cluit data portraits`` writes the columns "is: ..." count. Rows of other files are ignored.

    UserError for a table that is none, for pictures without a row, and for attributes that are unknown or,
    in the rows of these pictures, not binary.
    """
    header, rows = read_table(table)
    columns = {
        name.removeprefix(OWN_PREFIX): i for i, name in enumerate(header) if name.startswith(OWN_PREFIX)
    }
    columns = columns or {name: i for i, name in enumerate(header) if i}
    names = choose([name.removeprefix(OWN_PREFIX) for name in only], tuple(columns), str(table))
    found = rows_of(pictures, rows, table)
    values = [binary([row[columns[name]] for row in found], name, table) for name in names]
    return Labels(names, torch.stack(values, dim=1))


def choose(only: Sequence[str], known: Sequence[str], where: str) -> tuple[str, ...]:
    """The attributes that ``only`` names, each once: their own names, ``celeba`` for the twelve, or ``all``.

    UserError that names the nearest attribute, if any is near, for one that is not ``known``.
    """
    names = list[str]()
    for name in only:
        names += {CELEBA: CELEBA_TWELVE, ALL: known}.get(name, (name,)) if name not in known else (name,)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"take some of {listed(known)}"
            raise UserError(f"there is no attribute {name!r} in {where}; {advice}")
    if not names:
        raise UserError(f"no attribute is chosen; take some of {listed(known)}")
    return tuple(dict.fromkeys(names))


def read_table(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The header, and every row by its first cell. UserError where the file is no such table."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} is not a CSV of attributes ({error}); save it as CSV in UTF-8") from error
    return parse_table(text, path)


def parse_table(text: str, path: str | Path) -> tuple[list[str], dict[str, list[str]]]:
    """As `read_table`, of a file's text; ``path`` is what the file is called in errors."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text)) if line]
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV of attributes ({error}); save it as CSV in UTF-8") from error
    if lines and len(lines[0]) == 1 and lines[0][0].strip().isdigit():  # as CelebA's: count, names, then rows
        lines = [line.split() for line in text.splitlines()[1:] if line.strip()]
        lines[:1] = [["file", *line] for line in lines[:1]]
    if len(lines) < 2 or len(lines[0]) < 2:
        raise UserError(
            f"{path} is not a table of attributes: its first line must name them, after a column of files, "
            "and a line for each file must follow"
        )
    header = [name.strip() for name in lines[0]]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise UserError(f"{path} has two columns named {twice[0]!r}; rename one")
    rows = dict[str, list[str]]()
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise UserError(
                f"row {number} of {path} has {len(line)} cells, its header {len(header)}; mend the row"
            )
        if line[0] in rows:
            raise UserError(f"{path} has two rows for {line[0]}; keep one")
        rows[line[0]] = line
    return header, rows


def rows_of(pictures: ImageFolder, rows: dict[str, list[str]], table: Path) -> list[list[str]]:
    """Each picture's row, by its name relative to the folder or, where there is none, by its bare name."""
    found, missing = list[list[str]](), list[str]()
    bare = dict[str, str]()
    for path in pictures.paths:
        name = path.relative_to(pictures.root).as_posix()
        if name not in rows and path.name in rows:
            if (other := bare.setdefault(path.name, name)) != name:
                raise UserError(
                    f"the row {path.name} of {table} may mean {other} or {name}; write such paths "
                    "into the table"
                )
            name = path.name
        if name in rows:
            found.append(rows[name])
        else:
            missing.append(name)
    if missing:
        raise UserError(
            f"{len(missing)} of {len(pictures)} pictures under {pictures.root} have no row in {table}, "
            f"the first is {missing[0]}; add their rows, or take the pictures away"
        )
    return found


def binary(cells: Sequence[str], name: str, table: Path) -> Tensor:
    """(N,) bool of a column of 0 and 1, or of -1 and 1."""
    numbers = {cell: number_of(cell) for cell in set(cells)}
    for negative in (0.0, -1.0):
        if all(number in (negative, 1.0) for number in numbers.values()):
            return torch.tensor([numbers[cell] == 1.0 for cell in cells])
    wrong = next((cell for cell, number in numbers.items() if number not in (-1.0, 0.0, 1.0)), None)
    what = "has both 0 and -1" if wrong is None else f"holds {wrong!r}"
    raise UserError(
        f"the column {name!r} of {table} is not binary: it {what} where 0 and 1, or -1 and 1, are expected; "
        "choose other attributes, or mend it"
    )


def number_of(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
