"""How often an oracle is right: on the pictures as they are, and without their colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cluit.core.images import to_unit
from cluit.data.augment import grey_of
from cluit.data.labels import Labelled
from cluit.evaluation.oracle import Oracle

AT_ONCE = 64  # pictures looked at together


@dataclass(frozen=True)
class Marks:
    """What was seen of what was there, as counts; every share below is NaN where it is one of no pictures.

    counts: (C, C) long, pictures of each class (rows) by the class seen (columns); of attributes (C, 2, 2),
    for each the pictures without and with it by what was seen.
    """

    classes: tuple[str, ...]
    counts: Tensor

    @property
    def multi(self) -> bool:
        return self.counts.ndim == 3

    @property
    def pictures(self) -> int:
        return int(self.counts[0].sum() if self.multi else self.counts.sum())

    def recalls(self) -> Tensor:
        """(C,): share of each class seen as such; (C, 2) of the pictures without and with an attribute."""
        right = self.counts.diagonal(dim1=-2, dim2=-1).double()
        return right / self.counts.sum(dim=-1)

    def each(self) -> dict[str, float]:
        """Per class its share that was seen right; per attribute the share of all pictures."""
        if self.multi:
            shares = self.counts.diagonal(dim1=1, dim2=2).sum(dim=1).double() / self.counts.sum(dim=(1, 2))
        else:
            shares = self.recalls()
        return dict(zip(self.classes, shares.tolist(), strict=True))

    def each_balanced(self) -> dict[str, float]:
        """Per attribute the mean of the shares right of pictures with and without it; per class as `each`.

        It shows an oracle that never sees a rare attribute, whom `each` flatters: 0.5 is worth nothing.
        """
        recalls = self.recalls()
        shares = recalls.nanmean(dim=1) if self.multi else recalls
        return dict(zip(self.classes, shares.tolist(), strict=True))

    @property
    def accuracy(self) -> float:
        """Share of pictures whose class was seen; of attributes, the mean of their shares (the paper's)."""
        right = self.counts.diagonal(dim1=-2, dim2=-1).sum()
        return float(right.double() / self.counts.sum())

    @property
    def balanced(self) -> float:
        """The mean over classes or attributes of `each_balanced`."""
        return torch.tensor(list(self.each_balanced().values()), dtype=torch.float64).nanmean().item()

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "pictures": self.pictures,
            "accuracy": known(self.accuracy),
            "balanced": known(self.balanced),
            "each": {name: known(share) for name, share in self.each().items()},
            "each_balanced": {name: known(share) for name, share in self.each_balanced().items()},
            "counts": self.counts.tolist(),
        }


def known(share: float) -> float | None:
    """JSON has no NaN."""
    return None if share != share else round(share, 6)


def marks_of(classes: Sequence[str], predicted: Tensor, true: Tensor) -> Marks:
    """From (N,) long predictions and truths or, of attributes, (N, C) bool ones."""
    count = len(classes)
    if true.ndim == 1:
        counts = torch.bincount(true * count + predicted, minlength=count**2).view(count, count)
    else:
        cells = 4 * torch.arange(count) + 2 * true.long() + predicted.long()
        counts = torch.bincount(cells.flatten(), minlength=4 * count).view(count, 2, 2)
    return Marks(tuple(classes), counts)


@torch.no_grad()
def examine(
    oracle: Oracle, data: Labelled, *, grey: bool = False, dtype: torch.dtype = torch.float32
) -> Marks:
    """Marks of ``oracle``, wherever it is, on all of ``data``, whose labels are by the oracle's numbers.

    grey: of the pictures without their colours. dtype: of the arithmetic.
    """
    device = next(oracle.parameters()).device
    training = oracle.training
    oracle.eval()
    predicted, true = list[Tensor](), list[Tensor]()
    for first in range(0, len(data), AT_ONCE):
        pixels, labels = data.batch(range(first, min(first + AT_ONCE, len(data))))
        images = to_unit(pixels.to(device))
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            predicted.append(oracle.predict(without_colour(images) if grey else images).cpu())
        true.append(labels)
    oracle.train(training)
    return marks_of(oracle.classes, torch.cat(predicted), torch.cat(true))


def without_colour(images: Tensor) -> Tensor:
    """(N, 3, H, W) -> the same shape, grey, by the luma weights of Rec. 601."""
    return grey_of(images).expand_as(images)
