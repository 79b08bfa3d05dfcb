"""Labels: oracles learn them, scores are taken by them, and methods that ask for some are told them."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from cluit.core.errors import UserError
from cluit.data.dataset import Items, Pictures
from cluit.data.folder import ImageFolder
from cluit.data.portraits import Portraits


@dataclass(frozen=True)
class Labels:
    """What is known of N pictures: the class of each, or which of C attributes it has."""

    classes: tuple[str, ...]
    """Names of the classes, or of the attributes."""
    values: Tensor
    """(N,) long, indices into ``classes``; of attributes (N, C) bool."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def multi(self) -> bool:
        """Whether these are attributes, of which a picture has any number."""
        return self.values.ndim == 2

    def among(self, classes: Sequence[str]) -> "Labels":
        """The same labels by the numbers that ``classes``, an oracle's, has for them.

        Attributes that are not among them are left out. UserError for a class that is not among them, and for
        an attribute of theirs that is not known here.
        """
        strange = sorted(set(classes) - set(self.classes) if self.multi else set(self.classes) - set(classes))
        if strange and self.multi:
            raise UserError(
                f"the labels lack {listed(strange)}; there are {listed(self.classes)}: choose the attributes "
                "that both have"
            )
        if strange:
            raise UserError(
                f"the pictures have the classes {listed(strange)}, which are not among {listed(classes)}; "
                "take pictures of those classes alone"
            )
        if self.multi:
            return Labels(
                tuple(classes), self.values[:, [self.classes.index(name) for name in classes]].clone()
            )
        return Labels(
            tuple(classes), torch.tensor([list(classes).index(name) for name in self.classes])[self.values]
        )


UNTOLD = -1
"""Instead of the class of a picture whose label is not told."""


class Labelled:
    """Pictures with their labels, which follow the pictures where an ImageFolder replaces damaged ones."""

    def __init__(self, pictures: Pictures, labels: Labels) -> None:
        """labels: one for each picture, in the order that the pictures have now."""
        if len(pictures) != len(labels):
            raise ValueError(f"{len(pictures)} pictures with {len(labels)} labels")
        self.pictures, self.labels = pictures, labels
        self.chosen: Sequence[int] = range(len(pictures))
        paths = pictures.paths if isinstance(pictures, ImageFolder) else []
        self._rows = {path: row for row, path in enumerate(paths)}

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def values(self) -> Tensor:
        """The labels of all, as in `Labels.values`."""
        return self.labels.values[list(self.chosen)]

    def part(self, chosen: Sequence[int]) -> "Labelled":
        """Those of the pictures, in that order."""
        part = copy(self)
        part.chosen = [self.chosen[index] for index in chosen]
        return part

    def telling(self, told: Sequence[int]) -> "Labelled":
        """The same pictures, of which only these keep their class; all others are ``UNTOLD``."""
        rows = [self.chosen[index] for index in told]
        values = torch.full_like(self.labels.values, UNTOLD)
        values[rows] = self.labels.values[rows]
        telling = copy(self)
        telling.labels = Labels(self.labels.classes, values)
        return telling

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """uint8 (N, 3, H, W), and their labels as in `Labels.values`."""
        rows = [self.chosen[index] for index in indices]
        pixels = self.pictures.batch(rows)  # before the labels: what is found damaged is replaced for good
        if isinstance(self.pictures, ImageFolder):
            rows = [self._rows[self.pictures.paths[row]] for row in rows]
        return pixels, self.labels.values[rows]


def class_labels(pictures: ImageFolder | Portraits | Items) -> Labels:
    """Of a folder, its first-level subfolders; of portraits, the species; of items, what stands beside them.

    UserError for pictures outside all subfolders, and for fewer than two classes.
    """
    if "" in pictures.classes:
        assert isinstance(pictures, ImageFolder)
        first = pictures.paths[pictures.labels.index(pictures.classes.index(""))]
        raise UserError(
            f"{first} has no class; put every picture of {pictures.root} into a subfolder named after its "
            "class, or give a table of attributes"
        )
    if len(pictures.classes) < 2:
        where = pictures.root if isinstance(pictures, ImageFolder) else "the data set"
        raise UserError(
            f"{where} has only the class {pictures.classes[0]!r}; labels need at least two subfolders, or a "
            "table of attributes"
        )
    return Labels(tuple(pictures.classes), torch.tensor(pictures.labels))


def listed(names: Sequence[str], most: int = 6) -> str:
    """``a, b, c``, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
