"""Walks of one source through styles, and what is measured of them beside a plain fade to the reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cluit.analysis.walk import smoothness, steps, walk
from cluit.apps.api import Painter
from cluit.core.images import to_bytes, to_unit
from cluit.evaluation.features import Features
from cluit.evaluation.reader import POSE_SPREAD, FaceReader, true_pose
from cluit.evaluation.structure import structure_kept
from cluit.evaluation.truth import held_out_pairs, species_of

PAIRS = 64  # held-out portraits that are walked


def painted(painter: Painter, structure: Tensor, styles: Tensor) -> Tensor:
    """(1, C, h, w), (F, S) -> uint8 (F, 3, S, S): one structure in every style, some at a time."""
    parts = styles.split(painter.batch_size)
    return torch.cat([painter.paint(structure.expand(len(part), -1, -1, -1), part) for part in parts])


def along(
    painter: Painter,
    source: Tensor,
    references: Sequence[Tensor],
    frames: int,
    domains: Sequence[str] | None = None,
) -> Tensor:
    """uint8 (F, 3, S, S): the source in its own style, then on straight lines to each reference's.

    source, references: uint8 (3, S, S). frames: of each line, as in `walk`. domains: of the source and each
    reference, for a model that tells some apart.
    """
    styles = painter.styles([source, *references], domains)
    return painted(painter, painter.structures(source), walk(styles[0], *styles[1:], frames=frames))


def fade(source: Tensor, references: Sequence[Tensor], frames: int) -> Tensor:
    """The trivial walk: each picture, from the source on, fades into the next. uint8 (F, 3, S, S)."""
    stops = [to_unit(picture).flatten() for picture in (source, *references)]
    return to_bytes(walk(stops[0], *stops[1:], frames=frames).view(-1, *source.shape))


@dataclass(frozen=True)
class Judge:
    """What frames are looked at with."""

    network: Features
    device: torch.device
    reader: FaceReader | None = None
    """Where they are portraits."""

    @torch.inference_mode()
    def measure(
        self, pictures: Tensor, source: Tensor, frames: int, pose: Tensor | None
    ) -> dict[str, list[float]]:
        """Of a walk, uint8 (F, 3, S, S), with ``frames`` in each of its lines.

        smoothness, of each line; step, from frame to frame, under the network; structure, kept of the source
        at each frame; pose, at each frame, with a reader and the source's ``pose`` (5,): the mean absolute
        difference of its five parts, in standard deviations of portraits' poses.
        """
        features = self.network(to_unit(pictures.to(self.device))).cpu()
        measured = {
            "smoothness": [
                smoothness(features[first : first + frames])
                for first in range(0, len(features) - 1, frames - 1)
            ],
            "step": steps(features).tolist(),
            "structure": structure_kept(pictures, source[None]).tolist(),
        }
        if self.reader is not None and pose is not None:
            measured["pose"] = self.drift(self.read(pictures), pose).tolist()
        return measured

    @torch.inference_mode()
    def read(self, pictures: Tensor) -> Tensor:
        """(N, 5): the poses that the reader sees, on the CPU."""
        assert self.reader is not None
        return self.reader.read(to_unit(pictures)).pose

    @staticmethod
    def drift(poses: Tensor, pose: Tensor) -> Tensor:
        """(F, 5), (5,) or (F, 5) -> (F,)."""
        return ((poses - pose).abs() / torch.tensor(POSE_SPREAD)).mean(dim=1)


def held_out_walks(
    painter: Painter, judge: Judge, frames: int, domain: str | None = None
) -> dict[str, dict[str, list[float]]]:
    """The same measures, means over PAIRS pairs of held-out portraits, each pose against the true one.

    Beside them the reader's own error on the sources: what no walk can stay below. domain: of all, for a
    model that tells domains apart; without it their species.
    """
    pairs = held_out_pairs(PAIRS, painter.image_size)
    truth = true_pose(pairs.structure)
    measures: dict[str, list[dict[str, list[float]]]] = {"walk": [], "fade": []}
    species = zip(species_of(pairs.source_style), species_of(pairs.style), strict=True)
    for source, reference, pose, own in zip(pairs.sources, pairs.references, truth, species, strict=True):
        told = ([domain] * 2 if domain else own) if painter.translator.domains else None
        ways = {
            "walk": along(painter, source, [reference], frames, told),
            "fade": fade(source, [reference], frames),
        }
        for name, pictures in ways.items():
            measures[name].append(judge.measure(pictures, source, frames, pose))
    means = {
        name: {key: torch.tensor([one[key] for one in each]).nanmean(dim=0).tolist() for key in each[0]}
        for name, each in measures.items()
    }
    error = judge.drift(judge.read(pairs.sources), truth).mean().item()
    return {**means, "reader": {"pose": [error]}}
