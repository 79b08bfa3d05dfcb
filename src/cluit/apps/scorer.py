"""What any number of models come to on the same pairs of pictures, by the protocol of `cluit evaluate`."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cluit.apps.api import load
from cluit.apps.crew import crew
from cluit.apps.evaluate import bar, choose, rare_classes, small_sets
from cluit.apps.evaluation_set import EvaluationSet, open_pictures
from cluit.apps.examination import Examination, open_network, reader_of
from cluit.apps.retrieval import open_baseline
from cluit.apps.settings import Settings
from cluit.apps.truths import COLUMNS
from cluit.core.files import atomic_file
from cluit.core.machine import pick_device, pick_precision
from cluit.core.types import Translator
from cluit.data.portraits import Portraits
from cluit.evaluation.cache import content
from cluit.evaluation.clock import Clock
from cluit.evaluation.examiner import MODEL, Examiner
from cluit.evaluation.oracle import load_oracle
from cluit.evaluation.tally import Tally
from cluit.evaluation.truth import pose_correlations

BATCH = 64  # pictures painted together

OF_REFERENCE = "reference_"  # before the name of a pose: how far the output follows the reference's

Record = dict[str, Any]
"""Of one answer what `Examination.scores` gives, with its ``reference_pose``; as JSON values."""


class Unchanged(Translator):
    """Returns its source: what stands where a model would, while the trivial answers are scored."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.place = nn.Parameter(torch.zeros(()))  # only tells the device

    def encode_structure(self, source: Tensor) -> Tensor:
        return source

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        return reference.new_zeros(len(reference), 1)

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return structure


class Scorer:
    """Everything that judges models beside each other: test pictures, pairs, networks."""

    def __init__(
        self,
        place: str,
        settings: Settings,
        *,
        oracle: Path | None,
        features: Sequence[str],
        each: int,
        seed: int,
        limit: int | None,
    ) -> None:
        """place: of the test pictures. settings: any run's. oracle: a folder. features: networks by the names
        that `cluit evaluate` takes; without any an ImageNet network where one is installed. each, seed,
        limit: of the pairs, see `random_pairs`; of too few pictures each source meets all others.

        UserError for pictures or networks that are not there or do not go together.
        """
        device = pick_device(settings.run.device)
        pictures, judge = open_pictures(place, settings.config.image_size), None
        if oracle is not None:
            judge = load_oracle(oracle).to(device)
        networks = [open_network(name, judge, device) for name in features] or [open_baseline(None, device)]
        self.examiner = Examiner(
            Unchanged(settings.config.image_size).to(device), [pictures], networks, judge,
            pick_precision(settings.run.precision, device), BATCH, False,
            reader_of([pictures]),
        )  # fmt: skip
        self.digest = content(pictures)
        known = EvaluationSet.of([pictures], judge, None)
        each = min(each, len(set(known.names)) - 1)
        pairs = choose(known.names, None, each, seed, limit)
        self.work = Examination(self.examiner, known, *pairs.numbers(known.names), seed)
        self.notes = [*known.notes, *rare_classes(self.work), *small_sets(self.work)]
        self.question = {
            "pictures": place,
            "content": self.digest,
            "sources": len(self.work.sources),
            "each": each,
            "seed": seed,
            "features": [network.name for network in networks],
            "oracle": None if judge is None else judge.name,
            "oracle_weights": None if judge is None else fingerprint(judge.state_dict()),
        }
        """What the scores depend on beside the model."""

    def judged(self, translator: Translator) -> Record:
        """All scores that these pictures allow."""
        return self._answers(translator, trivial=False)[MODEL]

    def trivial(self) -> dict[str, Record]:
        """The same of the answers that take no learning and, on portraits, of the true translations."""
        answers = self._answers(self.examiner.translator, trivial=True)
        return {name: record for name, record in answers.items() if name != MODEL}

    def _answers(self, translator: Translator, trivial: bool) -> dict[str, Record]:
        examiner, clock = replace(self.of(translator), trivial=trivial), Clock()
        work = replace(self.work, examiner=examiner)
        with crew(examiner, lambda: examiner, processes=1) as ask, bar(len(work.sources)) as advance:
            found = work.examine([self.digest], ask, clock, advance)
        return {
            name: {**work.scores(tally, found.real), "reference_pose": self.follows_reference(tally)}
            for name, tally in found.tallies.items()
        }

    def of(self, translator: Translator) -> Examiner:
        """The examiner of another model."""
        return replace(self.examiner, translator=translator.to(self.examiner.device))

    def model(self, folder: Path) -> Translator:
        """What ``folder`` has, on the device."""
        return load(folder, device=self.examiner.device.type).translator

    @property
    def oracle_accuracy(self) -> float | None:
        """The oracle's own, on real test pictures, where it is known."""
        oracle = self.examiner.oracle
        own = None if oracle is None else oracle.card.get("test")
        return own.get("accuracy") if own else None

    def follows_reference(self, tally: Tally) -> dict[str, float]:
        """On portraits, the `pose_correlations` of the outputs, over all pairs, with their references."""
        pictures = self.examiner.sets[0]
        if not isinstance(pictures, Portraits) or (truth := tally.truth) is None:
            return {}
        return pose_correlations(truth.pose, pictures.structure[self.work.references.flatten()])

    def some_pairs(self, count: int) -> tuple[Tensor, Tensor]:
        """At most so many (N,), spread over the sources; of two classes wherever a source has such a pair."""
        work = self.work
        rows = torch.linspace(0, len(work.sources) - 1, count).long().unique()
        sources, references, labels = work.sources[rows], work.references[rows], work.known.classes
        if labels is None:
            return sources, references[:, 0]
        other = labels.values[references] != labels.values[sources][:, None]
        column = other.byte().argmax(dim=1)  # the first that differs, or the first of all
        return sources, references[torch.arange(len(rows)), column]


def known_scores(record: Record) -> dict[str, float]:
    """Those of one answer that hang on no feature network, by the names that tables have for them."""
    oracle, truth = record["oracle"], record["truth"] or {}
    return {
        **({} if oracle is None else {"accuracy": oracle["accuracy"]}),
        "structure_kept": record["structure_kept"],
        **{name: truth[name] for name in COLUMNS if name in truth},
        **{OF_REFERENCE + name: value for name, value in record["reference_pose"].items()},
    }


def kept(path: Path, question: Mapping[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The scores that ``make`` gives, or those that ``path`` has in answer to this very question.

    Any other file gives way, a damaged one too.
    """
    if (before := kept_scores(path, question)) is not None:
        return before
    began = time.perf_counter()
    found = make()
    record = {"question": dict(question), "scores": found, "seconds": time.perf_counter() - began}
    with atomic_file(path) as file:
        file.write((json.dumps(record, indent=2) + "\n").encode())
    return found


def kept_scores(path: Path, question: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the file answers to this very question; None of any other file, a damaged one, or none."""
    try:
        record = json.loads(path.read_bytes())
        found = dict(record["scores"]) if record["question"] == question else {}
    except (FileNotFoundError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return found or None


def fingerprint(state: dict[str, torch.Tensor]) -> str:
    """Of weights, to the bit."""
    digest = hashlib.blake2b(digest_size=8)
    for value in state.values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
