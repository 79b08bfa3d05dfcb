"""One process's share of an evaluation: test pictures looked at, pairs painted and judged.

Each call is a function of its arguments alone and nothing is added up here, so whoever asks may divide the
work among any number of examiners.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from cluit.core.images import to_bytes, to_unit
from cluit.core.types import Translator
from cluit.data.folder import ImageFolder
from cluit.data.portraits import Portraits
from cluit.evaluation.features import Features
from cluit.evaluation.oracle import Oracle
from cluit.evaluation.protocol import structure_codes, style_codes, translations
from cluit.evaluation.reader import FaceReader
from cluit.evaluation.structure import structure_kept
from cluit.evaluation.truth import Measured, TruthSet, measure, trivial_answers

MODEL, TRUTH = "model", "true translation"
LOOKED_UP = ("source", "reference")
"""Answers that are test pictures themselves: their features are known already."""


class Looked(NamedTuple):
    """What is known of N real pictures."""

    styles: Tensor | None  # (N, S), of test pictures
    features: list[Tensor]  # per network that was asked for, (N, D)
    oracle: Tensor | None  # logits (N, C), of test pictures
    seconds: dict[str, float]


class Judged(NamedTuple):
    """What is known of one answer to P sources with E references each."""

    features: list[Tensor]  # per network, (P, E, D); empty for what is LOOKED_UP
    oracle: Tensor | None  # logits (P, E, C); None likewise
    structure: Tensor  # (P, E)
    truth: Measured | None  # of P · E, on portraits


@dataclass
class Clock:
    """Seconds by what they were spent on."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def running(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.add({stage: time.perf_counter() - began})

    def add(self, seconds: Mapping[str, float]) -> None:
        """What another clock counted."""
        for stage, spent in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent


@dataclass(frozen=True)
class Examiner:
    """The model and all that judges it, on one device."""

    translator: Translator
    sets: Sequence[ImageFolder | Portraits]
    """The test pictures and, where distances are to others, those real ones."""
    networks: Sequence[Features]
    oracle: Oracle | None = None
    precision: torch.dtype = torch.float32
    """Of the translator; all that judges works in float32."""
    batch_size: int = 16
    trivial: bool = True
    """Judge the trivial answers too and, on portraits, the true translations."""
    reader: FaceReader | None = None
    """The judge of portraits, where the test pictures are such."""

    @property
    def device(self) -> torch.device:
        return next(self.translator.parameters()).device

    def look(self, which: int, numbers: Sequence[int], networks: Sequence[int]) -> Looked:
        """At the pictures ``numbers`` of set ``which``, 0 being the test pictures, through those networks."""
        clock, styles, oracle = Clock(), None, None
        with clock.running("read"):
            pictures = self.sets[which].batch(numbers)
        with clock.running("features"):
            features = [self._features(self.networks[number], pictures) for number in networks]
        if which == 0:
            with clock.running("encode"):
                styles = style_codes(self.translator, pictures, self.precision, self.batch_size)
            with clock.running("oracle"):
                oracle = self._logits(pictures)
        return Looked(styles, features, oracle, clock.seconds)

    def paint(self, sources: Sequence[int], styles: Tensor, clock: Clock | None = None) -> Tensor:
        """Test pictures, each in each of its styles (P, E, S) -> uint8 (P, E, 3, H, W)."""
        clock = clock or Clock()
        with clock.running("read"):
            pictures = self.sets[0].batch(sources)
        with clock.running("encode"):
            structures = structure_codes(self.translator, pictures, self.precision, self.batch_size)
        with clock.running("decode"):
            return translations(self.translator, structures, styles, self.precision, self.batch_size)

    def judge(
        self, sources: Sequence[int], references: Tensor, styles: Tensor
    ) -> tuple[dict[str, Judged], dict[str, float]]:
        """All answers to some pairs, by name, the model's first; and the seconds that went into them.

        sources: P numbers of test pictures; references: (P, E) long; styles: (P, E, S), the references'.
        """
        clock = Clock()
        firsts, seconds = torch.tensor(sources).repeat_interleave(references.shape[1]), references.flatten()
        answers = {MODEL: self.paint(sources, styles, clock).flatten(0, 1)}
        with clock.running("read"):
            shown = self.sets[0].batch(firsts.tolist())
        with clock.running("truth"):
            truth = self._truth(firsts, seconds)
        if self.trivial:
            with clock.running("trivial answers"):
                trivial = trivial_answers(to_unit(shown), to_unit(self.sets[0].batch(seconds.tolist())))
                answers |= {name: to_bytes(answer) for name, answer in trivial.items()}
            answers |= {TRUTH: truth.truths} if truth is not None else {}
        judged = {
            name: self._judged(outputs, shown, truth, references.shape, name in LOOKED_UP, clock)
            for name, outputs in answers.items()
        }
        return judged, clock.seconds

    def _judged(
        self,
        outputs: Tensor,
        sources: Tensor,
        truth: TruthSet | None,
        shape: torch.Size,
        looked_up: bool,
        clock: Clock,
    ) -> Judged:
        """One answer: outputs and sources (P · E, 3, H, W); shape: (P, E)."""
        with clock.running("features"):
            features = [] if looked_up else [self._features(one, outputs) for one in self.networks]
        with clock.running("oracle"):
            logits = None if looked_up else self._logits(outputs)
        with clock.running("structure"):
            structure = structure_kept(outputs, sources)
        with clock.running("truth"):
            measured = None if truth is None else self._measured(outputs, truth)
        return Judged(
            [rows.unflatten(0, shape) for rows in features],
            None if logits is None else logits.unflatten(0, shape),
            structure.unflatten(0, shape),
            measured,
        )

    @torch.inference_mode()
    def _features(self, network: Features, pictures: Tensor) -> Tensor:
        parts = [network(to_unit(part.to(self.device))).float().cpu() for part in pictures.split(64)]
        return torch.cat(parts)

    @torch.inference_mode()
    def _logits(self, pictures: Tensor) -> Tensor | None:
        if self.oracle is None:
            return None
        return torch.cat([self.oracle.logits(to_unit(p.to(self.device))).cpu() for p in pictures.split(64)])

    def _truth(self, sources: Tensor, references: Tensor) -> TruthSet | None:
        portraits = self.sets[0]
        if self.reader is None or not isinstance(portraits, Portraits):
            return None
        return TruthSet.of(portraits, sources, references)

    def _measured(self, outputs: Tensor, truth: TruthSet) -> Measured:
        assert self.reader is not None
        return measure(outputs, truth.truths, truth.face, self.reader)
