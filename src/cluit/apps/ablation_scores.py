"""What a finished run of an ablation comes to on held-out pictures."""

from pathlib import Path

from cluit.apps.examination import ORACLE
from cluit.apps.pictures import PORTRAITS
from cluit.apps.planned import Planned
from cluit.apps.scorer import Record, Scorer, kept
from cluit.apps.settings import Settings
from cluit.apps.truths import COLUMNS

SCORES = "scores.json"
SOURCES, EACH, SEED = 250, 10, 0
"""Held-out sources and references of each, at most, and the seed of both: the same pairs for every run."""
POSES = ("position", "scale", "tilt", "turn")  # by the names of `pose_correlations`
OF_REFERENCE = "reference_"  # before the name of a pose: how far the output follows the reference's


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
    (distance,), oracle = record["networks"].values(), record["oracle"]
    mean, truth = distance["mean_class_frechet"], record["truth"] or {}
    return {
        **({"frechet": distance["frechet"]} if mean is None else {"mean_class_frechet": mean}),
        **({} if oracle is None else {"accuracy": oracle["accuracy"]}),
        "structure_kept": record["structure_kept"],
        **{name: truth[name] for name in COLUMNS if name in truth},
        **{OF_REFERENCE + name: value for name, value in record["reference_pose"].items()},
    }
