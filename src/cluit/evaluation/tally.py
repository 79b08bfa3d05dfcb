"""What an answer comes to over all pairs: outputs are added up in the order of the pairs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cluit.data.labels import Labels
from cluit.data.portraits import Portraits
from cluit.evaluation.clock import Clock
from cluit.evaluation.confusion import labels_of_species, species_confusion
from cluit.evaluation.crowd import Crowd, distances
from cluit.evaluation.diversity import mean_pairwise_distance
from cluit.evaluation.examiner import Judged
from cluit.evaluation.kernel import Block
from cluit.evaluation.marks import Marks, marks_of
from cluit.evaluation.reader import POSE_SPREAD, true_pose
from cluit.evaluation.truth import Measured, summary


class Tally:
    """One answer. Each `add` takes the next sources with all of their references."""

    def __init__(self, crowds: Sequence[Crowd], near: Tensor | None = None) -> None:
        """
        crowds: one per network, empty.
        near: real pictures' features under the first network (M, D), where each output's distance to its
            nearest is wanted.
        """
        self.crowds, self._near = crowds, near
        self._diversity = [list[Tensor]() for _ in crowds]
        self._structure, self._nearest = list[Tensor](), list[Tensor]()
        self._logits, self._truth = list[Tensor](), list[Measured]()

    def add(self, judged: Judged, labels: Tensor | None, clock: Clock | None = None) -> None:
        """labels: (P, E), the classes of the references."""
        clock, flat = clock or Clock(), None if labels is None else labels.flatten()
        for crowd, parts, features in zip(self.crowds, self._diversity, judged.features, strict=True):
            rows = features.flatten(0, 1)
            with clock.running("means and covariances", rows):
                crowd.add(rows, flat)
            with clock.running("diversity", rows):
                parts.append(mean_pairwise_distance(features))
        self._structure.append(judged.structure)
        if judged.oracle is not None:
            self._logits.append(judged.oracle)
        if judged.truth is not None:
            self._truth.append(judged.truth)
        if self._near is not None:
            rows = judged.features[0]
            with clock.running("nearest real pictures", rows.flatten(0, 1)):
                self._nearest.append(torch.cdist(rows, self._near).amin(dim=2))

    @property
    def structure(self) -> Tensor:
        """(P, E): structure kept."""
        return torch.cat(self._structure)

    @property
    def nearest(self) -> Tensor | None:
        """(P, E): distance to the nearest real picture."""
        return torch.cat(self._nearest) if self._nearest else None

    @property
    def truth(self) -> Measured | None:
        """Of all P · E outputs."""
        return Measured.cat(self._truth) if self._truth else None

    def diversity(self, network: int) -> Tensor:
        """(P,): mean distance between two outputs of a source."""
        return torch.cat(self._diversity[network])

    def belief(self, wanted: Tensor) -> Tensor | None:
        """(P, E): the oracle's probability of the reference's class, or of its attributes in the mean.

        wanted: (P, E) long or (P, E, C) bool.
        """
        if not self._logits:
            return None
        logits = torch.cat(self._logits)
        if wanted.ndim == 3:
            return torch.where(wanted, logits, -logits).sigmoid().mean(dim=2)
        return logits.softmax(dim=2).gather(2, wanted[..., None])[..., 0]

    def marks(self, labels: Labels, references: Tensor) -> Marks | None:
        """Translation accuracy: how often the oracle sees in an output what the reference is.

        labels: of all test pictures, by the oracle's numbers; references: (P, E).
        """
        if not self._logits:
            return None
        logits = torch.cat(self._logits).flatten(0, 1)
        predicted = logits > 0 if labels.multi else logits.argmax(dim=1)
        return marks_of(labels.classes, predicted, labels.values[references.flatten()])

    def scores(
        self, real: Sequence[Crowd], names: Sequence[str], classes: Sequence[str], blocks: Sequence[Block]
    ) -> dict[str, Any]:
        """Under each network its `distances` to the real crowds and the mean diversity; structure kept."""
        networks = {
            name: {
                **distances(crowd, made, classes, blocks),
                "diversity": self.diversity(number).mean().item(),
            }
            for number, (name, crowd, made) in enumerate(zip(names, real, self.crowds, strict=True))
        }
        return {"networks": networks, "structure_kept": self.structure.mean().item()}

    def truth_scores(
        self, portraits: Portraits, sources: Tensor, references: Tensor
    ) -> dict[str, float] | None:
        """On portraits, against the true translations: see `summary`. sources: (P,), references: (P, E)."""
        if (truth := self.truth) is None:
            return None
        firsts, seconds = sources.repeat_interleave(references.shape[1]), references.flatten()
        return summary(truth, portraits.structure[firsts], portraits.style[firsts], portraits.style[seconds])

    def species(self, portraits: Portraits, sources: Tensor, references: Tensor) -> dict[str, Any] | None:
        """On portraits, which species the outputs show: see `species_confusion`. Arguments as above."""
        if (truth := self.truth) is None:
            return None
        firsts, seconds = sources.repeat_interleave(references.shape[1]), references.flatten()
        species = portraits.style.species
        return species_confusion(
            truth.species, species[seconds], species[firsts], labels_of_species(portraits)
        )

    def pose_errors(self, portraits: Portraits, sources: Tensor) -> Tensor | None:
        """(P, E): root mean square over the five parts of the pose of how far what the reader sees is from
        the source's, in standard deviations of portraits' poses."""
        if (truth := self.truth) is None:
            return None
        pose = truth.pose.unflatten(0, (len(sources), -1))
        off = (pose - true_pose(portraits.structure[sources])[:, None]) / torch.tensor(POSE_SPREAD)
        return off.square().mean(dim=2).sqrt()
