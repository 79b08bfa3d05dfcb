"""Who meets whom: the rules by which a source gets its references."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cluit.analysis.neighbours import nearest
from cluit.apps.bulk.sources import Source
from cluit.apps.bulk.styles import Styles
from cluit.core.chance import mixed
from cluit.core.errors import UserError


@dataclass(frozen=True)
class Known:
    """The rows of a source's references are known before it is read."""

    each: int
    """How many a source meets, at most."""
    rows: Callable[[Source], Sequence[int]]


@dataclass(frozen=True)
class Alike:
    """A source meets the references whose styles are nearest to its own, or farthest from it, by cosine."""

    each: int
    codes: Tensor
    """(R, S), the references' styles."""
    farthest: bool
    own: Mapping[str, int]
    """Rows of references that are a source themselves, by its key: none meets itself."""

    def rows(self, sources: Sequence[Source], styles: Tensor) -> list[list[int]]:
        """styles: (N, S), each source's own. The best comes first; the search is exact."""
        without = torch.tensor([self.own.get(source.key, -1) for source in sources])
        _, found = nearest(
            self.codes,
            -styles if self.farthest else styles,
            self.each,
            without=without if self.own else None,
        )
        return found.tolist()


Pairing = Known | Alike


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One of these, or none of them: then every source meets every reference."""

    each: int | None = None
    """As many references at random for each source: by seed and the source's name, whatever the order."""
    nearest: int | None = None
    """The references whose styles are most like the source's own."""
    farthest: int | None = None
    """Those whose styles are least like it."""
    pairs: Path | None = None
    """A `PairList`."""
    latent: int | None = None
    """As many styles that the model makes up, which all sources get."""

    def check(self, reference: Path | None) -> None:
        """UserError for rules that exclude each other, or do not go with this REFERENCE."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        if (reference is None) == (self.latent is None):
            raise UserError(
                "name a REFERENCE to take the style from, or how many to make up with --latent: one of both"
            )
        if len(given) > 1:
            first, second, *_ = given
            raise UserError(f"--{first} and --{second} are two rules of who meets whom; choose one")
        for name, value in given.items():
            if isinstance(value, int) and value < 1:
                things = "style to make up" if name == "latent" else "reference of each source"
                raise UserError(f"there must be at least one {things}, not {value}")

    @property
    def chooses(self) -> bool:
        """Whether a source meets fewer than all."""
        return any(value is not None for value in (self.each, self.nearest, self.farthest, self.pairs))

    @property
    def most(self) -> int | None:
        """How many references a source meets, None for all or those on a list."""
        return self.each or self.nearest or self.farthest

    def __str__(self) -> str:
        """As it is written on the command line."""
        return (
            " ".join(f"--{name} {value}" for name, value in vars(self).items() if value is not None) or "all"
        )

    def pairing(self, styles: Styles, seed: int, own: Mapping[str, int]) -> Pairing:
        """own: rows of references that are a source themselves, by its key.

        UserError where there are too few references.
        """
        count = len(styles)
        if self.pairs is not None:
            row_of = {str(place): row for row, place in enumerate(styles.places)}
            return Known(1, lambda source: [row for row in [row_of.get(source.reference)] if row is not None])
        if self.most is None:
            return Known(count, lambda source: range(count))
        alike = self.each is None
        if self.most > (others := count - bool(alike and own)):
            raise UserError(f"{self} asks for more references than there are, {others}; ask for fewer")
        if alike:
            return Alike(self.most, styles.codes, self.farthest is not None, own)
        return Known(self.most, lambda source: drawn(source.key, count, self.most or count, seed))


def drawn(key: str, references: int, each: int, seed: int) -> list[int]:
    """``each`` of ``references`` rows, none twice: by seed and key alone, whoever was drawn for before.

    A Fisher-Yates shuffle that touches no more than what it gives.
    """
    moved, rows = dict[int, int](), []
    for i in range(each):
        j = i + mixed("pairing", seed, key, i) % (references - i)
        rows.append(moved.get(j, j))
        moved[j] = moved.get(i, i)
    return rows
