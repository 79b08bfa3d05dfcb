"""What a finished run comes to on held-out pictures, by the protocol of `cluit evaluate`."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cluit.apps.ablation_runs import Planned
from cluit.apps.api import Painter, load
from cluit.apps.crew import crew
from cluit.apps.evaluate import rare_classes, small_sets
from cluit.apps.evaluation_set import EvaluationSet, open_pictures
from cluit.apps.examination import ORACLE, Examination, open_network
from cluit.apps.pictures import PORTRAITS
from cluit.apps.retrieval import open_baseline
from cluit.apps.settings import Settings
from cluit.apps.truths import COLUMNS
from cluit.core.files import atomic_file
from cluit.core.types import Translator
from cluit.data.portraits import Portraits
from cluit.evaluation.cache import content
from cluit.evaluation.clock import Clock
from cluit.evaluation.examiner import MODEL, Examiner
from cluit.evaluation.oracle import load_oracle
from cluit.evaluation.protocol import random_pairs
from cluit.evaluation.reader import FaceReader
from cluit.evaluation.tally import Tally
from cluit.evaluation.truth import pose_correlations

SCORES = "scores.json"
SOURCES, EACH, SEED = 250, 10, 0
"""Held-out sources and references of each, at most, and the seed of both: the same pairs for every run."""
POSES = ("position", "scale", "tilt", "turn")  # by the names of `pose_correlations`
OF_REFERENCE = "reference_"  # before the name of a pose: how far the output follows the reference's
BATCH = 64  # pictures painted together


class Scorer:
    """Everything that judges the runs of an ablation: held-out pictures, pairs, networks."""

    def __init__(self, settings: Settings, oracle: Path | None, features: str | None) -> None:
        """settings: any run's. oracle: a folder. features: a network's name as `cluit evaluate` takes it; by
        default the oracle's own features, else those of an ImageNet network where one is installed.

        UserError for pictures or networks that are not there or do not go together.
        """
        painter = Painter(
            settings.config.build_translator(),
            device=settings.run.device,
            precision=settings.run.precision,
        )
        place = str(settings.run.data if settings.run.data == PORTRAITS else settings.run.held_out)
        pictures, judge = open_pictures(place, settings.config.image_size), None
        if oracle is not None:
            judge = load_oracle(oracle).to(painter.device)
        if features is None and judge is None:
            network = open_baseline(None, painter.device)
        else:
            network = open_network(features or ORACLE, judge, painter.device)
        self.examiner = Examiner(
            painter.translator, [pictures], [network], judge, painter.dtype, BATCH, False,
            FaceReader.load() if isinstance(pictures, Portraits) else None,
        )  # fmt: skip
        self.digest = content(pictures)
        self.known = EvaluationSet.of([pictures], judge, None)
        names = self.known.names
        each = min(EACH, len(set(names)) - 1)
        self.sources, self.references = random_pairs(names, each, SEED, SOURCES).numbers(names)
        self.work = Examination(self.examiner, self.known, self.sources, self.references, SEED)
        self.notes = [*self.known.notes, *rare_classes(self.work), *small_sets(self.work)]
        self.question = {
            "pictures": place,
            "content": self.digest,
            "sources": len(self.sources),
            "each": each,
            "seed": SEED,
            "features": network.name,
            "oracle": None if judge is None else judge.name,
            "oracle_weights": None if judge is None else fingerprint(judge.state_dict()),
        }
        """What the scores depend on beside the model."""

    def scores(self, run: Planned) -> dict[str, float]:
        """Of a finished run; read from its folder where the same was asked before."""
        asked, kept = {**self.question, "steps": run.done}, run.folder / SCORES
        if (before := kept_scores(kept, asked)) is not None:
            return before
        began = time.perf_counter()
        found = self.judged(load(run.folder / "model").translator)
        record = {"question": asked, "scores": found, "seconds": time.perf_counter() - began}
        with atomic_file(kept) as file:
            file.write((json.dumps(record, indent=2) + "\n").encode())
        return found

    def judged(self, translator: Translator) -> dict[str, float]:
        """All scores that these pictures allow."""
        examiner = replace(self.examiner, translator=translator.to(self.examiner.device))
        work = replace(self.work, examiner=examiner)
        with crew(examiner, lambda: examiner, processes=1) as ask:
            found = work.examine([self.digest], ask, Clock())
        tally = found.tallies[MODEL]
        scores = work.scores(tally, found.real)
        distance = scores["networks"][self.network]
        mean, oracle, truth = distance["mean_class_frechet"], scores["oracle"], scores["truth"] or {}
        return {
            **({"frechet": distance["frechet"]} if mean is None else {"mean_class_frechet": mean}),
            **({} if oracle is None else {"accuracy": oracle["accuracy"]}),
            "structure_kept": scores["structure_kept"],
            **{name: truth[name] for name in COLUMNS if name in truth},
            **self.follows_reference(tally),
        }

    @property
    def network(self) -> str:
        """The name of the feature network."""
        return self.examiner.networks[0].name

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
        follows = pose_correlations(truth.pose, pictures.structure[self.references.flatten()])
        return {OF_REFERENCE + name: value for name, value in follows.items()}


def kept_scores(path: Path, question: Mapping[str, Any]) -> dict[str, float] | None:
    """What the file answers to this very question; None of any other file, a damaged one, or none."""
    try:
        record = json.loads(path.read_bytes())
        found = dict(record["scores"]) if record["question"] == question else {}
    except (FileNotFoundError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if found and all(isinstance(value, int | float) for value in found.values()) else None


def fingerprint(state: dict[str, torch.Tensor]) -> str:
    """Of weights, to the bit."""
    digest = hashlib.blake2b(digest_size=8)
    for value in state.values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
