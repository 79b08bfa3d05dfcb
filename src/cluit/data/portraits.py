"""``portraits``, the embedded data set: animal faces whose every factor is known.

So the true translation of any source to any reference can be drawn:
``draw(portraits.structure[sources], portraits.style[references], size)``.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cluit.core.errors import UserError
from cluit.data.factors import SPECIES, Structure, Style, sample_structure, sample_style
from cluit.data.painter import SIZES, check_size, draw, face_mask

__all__ = ["SIZES", "Portraits", "draw", "face_mask"]

BLOCK = 64  # pictures drawn together when one of them is asked for


class Portraits(Dataset[Tensor]):
    """``count`` portraits as a map-style data set: ``[i]`` is uint8 (3, size, size).

    A picture is drawn when it is first asked for. Its labels, factors and true translations serve
    evaluation; training sees only the pictures, and the species where its method has to be told classes.
    """

    def __init__(
        self,
        count: int,
        size: int,
        seed: int = 0,
        split: str = "train",
        *,
        rare_poses: float = 0.0,
        hidden: float = 0.0,
        species_weights: Mapping[str, float] | None = None,
        coarse: Mapping[str, str] | None = None,
        cache_bytes: int = 2**29,
    ) -> None:
        """
        size: a power of two from 32 to 256. split: pictures of two splits of one seed have nothing in common.
        rare_poses, hidden: shares of extreme poses and of partly hidden faces.
        species_weights: relative frequency by species, 0 where a species is not named; all equal without it.
        coarse: names that replace species in the labels, such as {"cat": "wildcat", "fox": "wildcat"}.
        cache_bytes: the first pictures, as many as fit, are kept once drawn; the others are drawn each time.

        Raises UserError where a value is out of range.
        """
        _check(count, size, rare_poses, hidden, species_weights or {}, coarse or {})
        self.size = size
        index = torch.arange(count)
        self.structure: Structure = sample_structure(seed, split, index, rare_poses, hidden)
        self.style: Style = sample_style(seed, split, index, species_weights)
        names = [(coarse or {}).get(name, name) for name in SPECIES]
        self.classes: list[str] = sorted(set(names))
        self.labels: list[int] = [self.classes.index(names[s]) for s in self.style.species.tolist()]
        kept = min(count, cache_bytes // (3 * size * size))
        self._kept = torch.empty(kept, 3, size, size, dtype=torch.uint8)
        self._drawn = torch.zeros(kept, dtype=torch.bool)

    def __len__(self) -> int:
        return len(self.style)

    def __getitem__(self, index: int) -> Tensor:
        if not -len(self) <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        index %= len(self)
        if index >= len(self._kept):
            return self.batch([index])[0]
        if not self._drawn[index]:  # its neighbours will be wanted too, and together they cost less
            first = index // BLOCK * BLOCK
            self.batch(range(first, min(first + BLOCK, len(self._kept))))
        return self._kept[index]

    def batch(self, indices: Sequence[int] | Tensor) -> Tensor:
        """These pictures, uint8 (N, 3, size, size)."""
        wanted = torch.as_tensor(indices, dtype=torch.long)
        keep = wanted < len(self._kept)
        missing = wanted[keep][~self._drawn[wanted[keep]]].unique()
        if len(missing):
            self._kept[missing] = draw(self.structure[missing], self.style[missing], self.size)
            self._drawn[missing] = True
        pictures = torch.empty(len(wanted), 3, self.size, self.size, dtype=torch.uint8)
        pictures[keep] = self._kept[wanted[keep]]
        if not keep.all():
            rest = wanted[~keep]
            pictures[~keep] = draw(self.structure[rest], self.style[rest], self.size)
        return pictures


def _check(
    count: int, size: int, rare: float, hidden: float, weights: Mapping[str, float], coarse: Mapping[str, str]
) -> None:
    if count < 1:
        raise UserError(f"a data set needs at least one portrait, not {count}")
    check_size(size)
    for name, share in (("rare poses", rare), ("hidden faces", hidden)):
        if not 0 <= share <= 1:
            raise UserError(f"the share of {name} lies between 0 and 1, not at {share}")
    for name in [*weights, *coarse]:
        if name not in SPECIES:
            raise UserError(f"portraits have no species {name!r}; choose among {', '.join(SPECIES)}")
    if weights and not (min(weights.values()) >= 0 and 0 < sum(weights.values()) < float("inf")):
        raise UserError("the weights of species must not be negative, and at least one must be positive")
