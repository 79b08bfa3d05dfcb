"""The pictures of an evaluation, their names and what is known of them; labels are for scoring only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cluit.apps.pictures import PORTRAITS, names_of
from cluit.core.errors import UserError
from cluit.data.attributes import attribute_labels, portrait_attributes
from cluit.data.folder import ImageFolder
from cluit.data.labels import Labels, class_labels
from cluit.data.portrait_folder import portraits_of
from cluit.data.portraits import Portraits
from cluit.data.shard_folder import folder_type
from cluit.evaluation.oracle import Oracle

PORTRAITS_COUNT = 1000  # of the test split

Known = ImageFolder | Portraits


def open_pictures(place: str, size: int, *, as_files: bool = False) -> Known:
    """A folder, of which memory keeps nothing; or the word ``portraits``: a thousand of the test split.

    A folder that `cluit data portraits` wrote at this size is portraits too, whose every factor is known,
    unless ``as_files``.
    """
    if place == PORTRAITS:
        return Portraits(PORTRAITS_COUNT, size, split="test")
    folder = folder_type(place)(place, size, cache_bytes=0)
    return folder if as_files else portraits_of(folder) or folder


@dataclass(frozen=True)
class EvaluationSet:
    """Test pictures and the real ones that distances are to, all decoded once: damaged files are known."""

    names: list[str]
    """Of the test pictures. One that took the place of a damaged file is there twice."""
    classes: Labels | None
    """Of the test pictures, for distances by class."""
    wanted: Labels | None
    """What the oracle should see in them, by its numbers."""
    real: list[int]
    """Which of the last set are the real pictures: each file once, by name."""
    shared: Tensor
    """(R,), which test picture each of these is, going by its name, by number; -1 where it is none."""
    real_classes: Tensor | None
    """(N,), by the same numbers as ``classes``, of all of the last set."""
    notes: list[str]
    """What a reader of the scores has to know."""

    @classmethod
    def of(cls, sets: Sequence[Known], oracle: Oracle | None, attributes: Path | None) -> "EvaluationSet":
        """sets: the test pictures and, where they are others, the real ones. attributes: a table of the test
        pictures'; without it a multi-attribute oracle is for portraits alone.

        UserError where the oracle's classes are not the pictures'.
        """
        test, real = sets[0], sets[-1]
        notes = [note for pictures in sets for note in skipped(pictures)]
        try:
            classes = class_labels(test)
        except UserError as error:
            classes = None
            notes.append(f"No distances by class: {error}.")
        names = names_of(test)
        place = {name: number for number, name in enumerate(names)}
        real_names = dict(sorted((name, number) for number, name in enumerate(names_of(real))))
        return cls(
            names,
            classes,
            wanted_labels(test, classes, oracle, attributes),
            list(real_names.values()),
            torch.tensor([place.get(name, -1) for name in real_names]),
            None if classes is None else class_labels(real).among(classes.classes).values,
            notes,
        )


def wanted_labels(
    test: Known, classes: Labels | None, oracle: Oracle | None, attributes: Path | None
) -> Labels | None:
    """The test pictures' labels by the oracle's numbers. UserError where they do not go together."""
    if oracle is None:
        return None
    if not oracle.multi:
        if classes is None:
            return class_labels(test).among(oracle.classes)  # says what is missing
        return classes.among(oracle.classes)
    if isinstance(test, Portraits):
        return portrait_attributes(test).among(oracle.classes)
    if attributes is None:
        raise UserError("this oracle sees attributes; add --attributes with a table of the test pictures'")
    return attribute_labels(test, attributes, oracle.classes).among(oracle.classes)


def needs_table(test: Known, oracle: Oracle | None) -> bool:
    """Whether the test pictures' attributes, which the oracle sees, are nowhere but in a table."""
    return oracle is not None and oracle.multi and not isinstance(test, Portraits)


def skipped(pictures: Known) -> list[str]:
    """One sentence on the files that were passed over, if any."""
    if not isinstance(pictures, ImageFolder) or not pictures.skipped:
        return []
    path, reason = next(iter(pictures.skipped.items()))
    count = len(pictures.skipped)
    which = path.name if count == 1 else f"{count} files, {path.name} among them,"
    return [f"Under {pictures.root} {which} could not be used: {reason}."]
