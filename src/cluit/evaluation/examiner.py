"""One process's share of an evaluation: test pictures looked at, pairs painted and judged.

Each call is a function of its arguments alone and nothing is added up here, so whoever asks may divide the
work among any number of examiners.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cluit.core.images import to_bytes, to_unit
from cluit.core.types import Translator
from cluit.data.folder import ImageFolder
from cluit.data.portraits import Portraits
from cluit.evaluation.clock import Clock, Spent
from cluit.evaluation.features import Features, vectors_of
from cluit.evaluation.oracle import Oracle, OracleFeatures
from cluit.evaluation.pixels import Pixels
from cluit.evaluation.protocol import structure_codes, style_codes, translations
from cluit.evaluation.reader import FaceReader
from cluit.evaluation.structure import structure_kept
from cluit.evaluation.truth import Measured, TruthSet, measure, trivial_answers

MODEL, TRUTH = "model", "true translation"
LOOKED_UP = ("source", "reference")
"""Answers that are test pictures themselves: their features are known already."""


class Looked(NamedTuple):
    """What is known of N real pictures."""

    features: list[Tensor]  # per network that was asked for, (N, D)
    oracle: Tensor | None  # logits (N, C), of test pictures
    phases: dict[str, Spent]


class Judged(NamedTuple):
    """What is known of one answer to P sources with E references each."""

    features: list[Tensor]  # per network, (P, E, D); empty for what is LOOKED_UP
    oracle: Tensor | None  # logits (P, E, C); None likewise
    structure: Tensor  # (P, E)
    truth: Measured | None  # of P · E, on portraits


@dataclass(frozen=True)
class Examiner:
    """The model and all that judges it, on one device."""

    translator: Translator
    sets: Sequence[ImageFolder | Portraits | Pixels]
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
        return self.translator.device

    def look(self, which: int, numbers: Sequence[int], networks: Sequence[int]) -> Looked:
        """At the pictures ``numbers`` of set ``which``, 0 being the test pictures, through those networks."""
        clock = Clock()
        with clock.running("read", numbers):
            pictures = self.sets[which].batch(numbers)
        wanted = [self.networks[number] for number in networks]
        features, logits = self._seen(pictures, wanted, "real pictures", clock, ask_oracle=which == 0)
        return Looked(features, logits, clock.phases)

    def encode(self, numbers: Sequence[int]) -> tuple[Tensor, dict[str, Spent]]:
        """Styles (N, S) of test pictures; and what went into them."""
        clock = Clock()
        with clock.running("read", numbers):
            pictures = self.sets[0].batch(numbers)
        with clock.running("encode styles", numbers):
            domain = self._domain(numbers)
            styles = style_codes(self.translator, pictures, self.precision, self.batch_size, domain)
        return styles, clock.phases

    def _domain(self, numbers: Sequence[int]) -> Tensor | None:
        """Of test pictures: their classes, to a translator that tells such domains apart, None to others."""
        known = self.sets[0]
        return self.translator.domain_numbers([known.classes[known.labels[number]] for number in numbers])

    def paint(self, sources: Sequence[int], styles: Tensor, clock: Clock | None = None) -> Tensor:
        """Test pictures, each in each of its styles (P, E, S) -> uint8 (P, E, 3, H, W)."""
        clock = clock or Clock()
        with clock.running("read", sources):
            pictures = self.sets[0].batch(sources)
        with clock.running("encode structures", sources):
            structures = structure_codes(self.translator, pictures, self.precision, self.batch_size)
            if self.device.type == "cuda":  # which works on while nobody waits for it
                torch.cuda.synchronize(self.device)
        with clock.running("decode outputs", styles.flatten(0, 1)):
            return translations(self.translator, structures, styles, self.precision, self.batch_size)

    def judge(
        self, sources: Sequence[int], references: Tensor, styles: Tensor
    ) -> tuple[dict[str, Judged], dict[str, Spent]]:
        """All answers to some pairs, by name, the model's first; and what went into them.

        sources: P numbers of test pictures; references: (P, E) long; styles: (P, E, S), the references'.
        """
        clock = Clock()
        firsts, seconds = torch.tensor(sources).repeat_interleave(references.shape[1]), references.flatten()
        answers = {MODEL: self.paint(sources, styles, clock).flatten(0, 1)}
        with clock.running("read", sources):
            shown = self.sets[0].batch(sources)
        truth = self._truth(firsts, seconds, clock)
        if self.trivial:
            with clock.running("read", seconds):
                worn = self.sets[0].batch(seconds.tolist())
            with clock.running("make trivial answers", seconds):
                beside = to_unit(shown).repeat_interleave(references.shape[1], dim=0)
                trivial = trivial_answers(beside, to_unit(worn))
                answers |= {name: to_bytes(answer) for name, answer in trivial.items()}
            answers |= {TRUTH: truth.truths} if truth is not None else {}
        judged = {
            name: self._judged(outputs, shown, truth, references.shape, name in LOOKED_UP, clock)
            for name, outputs in answers.items()
        }
        return judged, clock.phases

    def _judged(
        self,
        outputs: Tensor,
        sources: Tensor,
        truth: TruthSet | None,
        shape: torch.Size,
        looked_up: bool,
        clock: Clock,
    ) -> Judged:
        """One answer: outputs (P · E, 3, H, W), sources (P, 3, H, W); shape: (P, E)."""
        features, logits = list[Tensor](), None
        if not looked_up:
            features, logits = self._seen(outputs, self.networks, "outputs", clock)
        with clock.running("structure kept", outputs):
            structure = structure_kept(outputs.to(self.device), sources.to(self.device)).cpu()
        measured = None
        if truth is not None and self.reader is not None:
            with clock.running("measure against the truth", outputs):
                measured = measure(outputs, truth.truths, truth.face, self.reader)
        return Judged(
            [rows.unflatten(0, shape) for rows in features],
            None if logits is None else logits.unflatten(0, shape),
            structure.unflatten(0, shape),
            measured,
        )

    @torch.inference_mode()
    def _seen(
        self,
        pictures: Tensor,
        networks: Sequence[Features],
        what: str,
        clock: Clock,
        ask_oracle: bool = True,
    ) -> tuple[list[Tensor], Tensor | None]:
        """Features (N, D) under each network, and the oracle's logits (N, C), None where it is not asked.

        An oracle whose own features are among these is not run again. what: the pictures are, for the clock.
        """
        features, logits = list[Tensor](), None
        ask = self.oracle if ask_oracle else None
        for network in networks:
            with clock.running(f"features of {what}: {network.name}", pictures):
                features.append(vectors_of(network, pictures, self.device))
                if ask is not None and isinstance(network, OracleFeatures) and network.oracle is ask:
                    logits = ask.logits_of(features[-1].to(self.device)).cpu()
        if ask is not None and logits is None:
            with clock.running(f"oracle on {what}", pictures):
                logits = vectors_of(ask.logits, pictures, self.device)
        return features, logits

    def _truth(self, sources: Tensor, references: Tensor, clock: Clock) -> TruthSet | None:
        portraits = self.sets[0]
        if self.reader is None or not isinstance(portraits, Portraits):
            return None
        with clock.running("draw true translations", sources):
            return TruthSet.of(portraits, sources, references)
