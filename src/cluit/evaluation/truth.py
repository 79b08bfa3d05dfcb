"""Scores against the true translation, which portraits alone can give: their every factor is known.

A source's structure in a reference's style is drawn and compared, pixel by pixel, face and background apart;
the face reader tells whether pose and species arrived.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.core.images import to_bytes, to_unit
from cluit.data.factors import SPECIES, Structure, Style
from cluit.data.portraits import Portraits, draw, face_mask
from cluit.evaluation.reader import POSE, FaceReader, true_pose

Translate = Callable[[Tensor, Tensor, Sequence[str]], Tensor]
"""Sources and references, (N, 3, S, S) in [-1, 1], and the references' species -> outputs, as the sources."""
BATCH = 64


class Measured(NamedTuple):
    """N outputs beside their true translations; one entry, or row, per output."""

    face_error: Tensor  # (N,) absolute error in levels of 0..255, summed over the pixels of the head
    background_error: Tensor  # (N,) and over the others
    face_pixels: Tensor  # (N,) how many these are
    background_pixels: Tensor
    face_similarity: Tensor  # (N,) structural similarity, summed over the pixels of the head
    species: Tensor  # (N,) long, as the face reader sees it
    pose: Tensor  # (N, 5), likewise

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        return cls(*map(torch.cat, zip(*parts, strict=True)))


def measure(outputs: Tensor, truths: Tensor, face: Tensor, reader: FaceReader) -> Measured:
    """outputs, truths: uint8 (N, 3, S, S); face: bool (N, S, S), the head in the truth."""
    error = (outputs.float() - truths.float()).abs().mean(dim=1).double()
    readings = [reader.read(to_unit(part)) for part in outputs.split(BATCH)]
    return Measured(
        (error * face).sum(dim=(1, 2)),
        (error * ~face).sum(dim=(1, 2)),
        face.sum(dim=(1, 2)),
        (~face).sum(dim=(1, 2)),
        (ssim_map(outputs, truths).double() * face).sum(dim=(1, 2)),
        torch.cat([reading.species for reading in readings]),
        torch.cat([reading.pose for reading in readings]),
    )


def summary(measured: Measured, structure: Structure, source_style: Style, style: Style) -> dict[str, float]:
    """What the outputs come to: levels of 0..255, correlations and shares.

    structure, source_style: the sources'; style: the references'; (N,) each.

    mae_face, mae_background, mae: mean absolute error over all pixels of that kind of all pictures;
    ssim_face; position, scale, tilt, turn: correlation of what the reader sees with the source's true pose
    (position: the mean of x and y); species: share read as the reference's; species_of_source: share read as
    the source's.
    """
    face, background = measured.face_pixels.sum(), measured.background_pixels.sum()
    face_error, background_error = measured.face_error.sum(), measured.background_error.sum()
    return {
        "mae_face": (face_error / face).item(),
        "mae_background": (background_error / background).item(),
        "mae": ((face_error + background_error) / (face + background)).item(),
        "ssim_face": (measured.face_similarity.sum() / face).item(),
        **pose_correlations(measured.pose, structure),
        "species": (measured.species == style.species).float().mean().item(),
        "species_of_source": (measured.species == source_style.species).float().mean().item(),
    }


def pose_correlations(pose: Tensor, structure: Structure) -> dict[str, float]:
    """How closely N poses follow those of ``structure``, by part: position (the mean of x and y), scale, tilt
    and turn. pose: (N, 5), as the face reader sees it."""
    follows = dict(zip(POSE, map(correlation, pose.T, true_pose(structure).T), strict=True))
    return {"position": (follows.pop("x") + follows.pop("y")) / 2, **follows}


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al., 2004) at each pixel: (N, S, S), 1 where both agree.

    a, b: uint8 (N, 3, S, S), compared in grey (Rec. 601) through a Gaussian window of sigma 1.5 and 11 pixels
    that is mirrored at the border; K1 0.01, K2 0.03.
    """
    luma = torch.tensor([0.299, 0.587, 0.114], device=a.device)[:, None, None]
    x, y = ((picture.float() * luma).sum(dim=1, keepdim=True) for picture in (a, b))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _window(x), _window(y)
    variance_x = _window(x * x) - mean_x**2
    variance_y = _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (similarity / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)))[:, 0]


def _window(x: Tensor) -> Tensor:
    """Gaussian means, (N, 1, S, S) -> the same."""
    offsets = torch.arange(-5.0, 6.0, device=x.device)
    weights = torch.exp(-(offsets**2) / (2 * 1.5**2))
    weights = weights / weights.sum()
    padded = F.pad(x, (5, 5, 5, 5), mode="reflect")
    return F.conv2d(F.conv2d(padded, weights.view(1, 1, 1, 11)), weights.view(1, 1, 11, 1))


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's, of two (N,); 0 where either is constant, since then nothing follows anything."""
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    norm = a.norm() * b.norm()
    return (a @ b / norm).item() if norm > 1e-9 else 0.0


def trivial_answers(source: Tensor, reference: Tensor) -> dict[str, Tensor]:
    """What a translation has to beat. source, reference and each answer: (N, 3, S, S) in [-1, 1]."""
    spread, mean = torch.std_mean(source, dim=(2, 3), keepdim=True)
    wanted_spread, wanted_mean = torch.std_mean(reference, dim=(2, 3), keepdim=True)
    recoloured = (source - mean) / spread.clamp(min=1e-6) * wanted_spread + wanted_mean
    return {
        "source": source,
        "reference": reference,
        "recoloured source": recoloured.clamp(-1, 1),
        "average": (source + reference) / 2,
    }


@dataclass(frozen=True)
class TruthSet:
    """Held-out pairs with their true translations. Pictures are uint8 (N, 3, S, S)."""

    sources: Tensor
    references: Tensor
    truths: Tensor
    face: Tensor  # bool (N, S, S), the head in the true translation
    structure: Structure  # the sources'
    source_style: Style
    style: Style  # the references'

    @classmethod
    def of(cls, portraits: Portraits, sources: Tensor, references: Tensor) -> Self:
        """The pairs of these pictures, (N,) long each."""
        structure, style = portraits.structure[sources], portraits.style[references]
        return cls(
            sources=portraits.batch(sources),
            references=portraits.batch(references),
            truths=draw(structure, style, portraits.size),
            face=face_mask(structure, style, portraits.size),
            structure=structure,
            source_style=portraits.style[sources],
            style=style,
        )

    def __len__(self) -> int:
        return len(self.sources)

    @torch.no_grad()
    def answers(self, translate: Translate, device: str | torch.device = "cpu") -> Tensor:
        """What ``translate`` makes of the pairs, uint8 (N, 3, S, S), some at a time on the device."""
        parts = []
        for places in torch.arange(len(self)).split(BATCH):
            sources, references = (to_unit(one[places].to(device)) for one in (self.sources, self.references))
            made = translate(sources, references, species_of(self.style[places]))
            parts.append(to_bytes(made).cpu())
        return torch.cat(parts)

    def score(
        self, translate: Translate, reader: FaceReader, device: str | torch.device = "cpu"
    ) -> dict[str, float]:
        """All figures of ``score_outputs`` for what ``translate`` makes of the pairs."""
        return self.score_outputs(self.answers(translate, device), reader)

    def score_outputs(self, outputs: Tensor, reader: FaceReader) -> dict[str, float]:
        """The figures of ``summary``. outputs: uint8 (N, 3, S, S), one per pair."""
        measured = measure(outputs, self.truths, self.face, reader)
        return summary(measured, self.structure, self.source_style, self.style)

    def score_trivial(self, reader: FaceReader) -> dict[str, dict[str, float]]:
        """The same figures for each trivial answer."""
        answers = trivial_answers(to_unit(self.sources), to_unit(self.references))
        return {name: self.score_outputs(to_bytes(answer), reader) for name, answer in answers.items()}


def species_of(style: Style) -> list[str]:
    """By name."""
    return [SPECIES[number] for number in style.species.tolist()]


def held_out_pairs(count: int, size: int, seed: int = 0, split: str = "test") -> TruthSet:
    """``count`` pairs of different species and their true translations, a function of the arguments alone.

    A smaller count gives the first of the same pairs.
    """
    portraits = Portraits(4 * count + 64, size, seed, split, cache_bytes=0)
    species = portraits.style.species
    # Two neighbours are a pair where they differ. Five in six do, so that there are always more than enough.
    firsts = torch.arange(0, len(portraits), 2)
    firsts = firsts[species[firsts] != species[firsts + 1]][:count]
    return TruthSet.of(portraits, firsts, firsts + 1)
