"""What a finished run of an ablation comes to on held-out pictures."""

from pathlib import Path

from cluit.apps.examination import ORACLE
from cluit.apps.pictures import PORTRAITS
from cluit.apps.planned import Planned
from cluit.apps.scorer import Record, Scorer, kept, known_scores
from cluit.apps.settings import Settings

SCORES = "scores.json"
SOURCES, EACH, SEED = 250, 10, 0
"""Held-out sources and references of each, at most, and the seed of both: the same pairs for every run."""


def open_scorer(settings: Settings, oracle: Path | None, features: str | None) -> Scorer:
    """settings: any run's. features: by default the oracle's own, else those of an ImageNet network where one
    is installed. UserError: see `Scorer`."""
    place = str(settings.run.data if settings.run.data == PORTRAITS else settings.run.held_out)
    names = [features] if features else [ORACLE] if oracle else []
    return Scorer(place, settings, oracle=oracle, features=names, each=EACH, seed=SEED, limit=SOURCES)


def scores(scorer: Scorer, run: Planned) -> dict[str, float]:
    """Of a finished run; read from its folder where the same was asked before."""
    asked = {**scorer.question, "steps": run.done}
    return kept(run.folder / SCORES, asked, lambda: flat(scorer.judged(scorer.model(run.folder / "model"))))


def flat(record: Record) -> dict[str, float]:
    """The scores that tables show, by name; ``record`` is under one network."""
    (distance,) = record["networks"].values()
    name = "frechet" if distance["mean_class_frechet"] is None else "mean_class_frechet"
    return {name: distance[name], **known_scores(record)}
