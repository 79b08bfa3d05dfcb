"""What a published set becomes: which of an archive's files are its pictures, and where they go."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cluit.data.decode import SUFFIXES
from cluit.data.prepare.archive import Files


@dataclass(frozen=True)
class Layout:
    """The pictures and tables of a folder, not yet written."""

    pictures: Mapping[str, str]
    """The name in the archive of each picture, by where it goes in the folder."""
    tables: Mapping[str, str] = field(default_factory=dict)
    """The text of each table, by its name in the folder."""
    notes: tuple[str, ...] = ()
    """What a user should know of what is missing."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A set as its authors describe it."""

    layout: Callable[[Files], Layout]
    """UserError where the files are not this set's."""
    counts: Mapping[str, int]
    """How many pictures the authors count in folders of it, e.g. ``train/cat``, or ``train`` in all."""
    square: int | None
    """The side of the central square that is kept of each picture; None where pictures are kept whole."""
    home: str
    """The authors' page, where to look for archives."""


def picture_names(files: Files) -> list[PurePosixPath]:
    """The names of those files that have a picture's extension, in order."""
    names = (PurePosixPath(name) for name in sorted(files))
    return [name for name in names if name.suffix.lower() in SUFFIXES]


def differences(counts: Mapping[str, int], places: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Where a set differs from what its authors count: how many pictures there are, how many they count."""
    known = list(places)
    found = {folder: sum(place.startswith(f"{folder}/") for place in known) for folder in counts}
    return {folder: (found[folder], count) for folder, count in counts.items() if found[folder] != count}
