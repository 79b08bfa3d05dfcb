"""What a model that is handed on says of itself beside its method: what it learned from, how, and its scores.

All of it is told without this machine's paths.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluit.apps import report
from cluit.apps.settings import CHANGEABLE, layered, read_settings
from cluit.core.errors import UserError
from cluit.core.types import Translator
from cluit.core.weights import fingerprint
from cluit.engine.log import read_log
from cluit.engine.run import SETTINGS
from cluit.export.hub import SCHEME

TOLD = ("data", "count", "held_out", "init_from", "recipe", "fit", "batch_size", "seed", "precision")
"""The settings of a training that matter to who uses its model; the method's own are in the config."""

PLACES = ("data", "held_out", "init_from")
TWIN = "index.json"
"""Of the page that `cluit evaluate` writes."""


def run_of(folder: Path) -> Path | None:
    """The run that keeps its best or its latest model in ``folder``, if one does."""
    held = folder.name in ("best", "model") and (folder.parent / SETTINGS).is_file()
    return folder.parent if held else None


def training_of(run: Path, steps: int) -> dict[str, Any]:
    """How the model of ``run`` after ``steps`` was trained, and its last held-out scores until then."""
    settings = read_settings(run / SETTINGS)
    training = {name: settings[name] for name in TOLD if settings.get(name) is not None}
    training |= {name: place(training[name]) for name in PLACES if name in training}
    if training.get("data") != "portraits":
        training.pop("count", None)
    with suppress(UserError):  # of an older cluit, whose settings have other names
        training["command"] = command_of(settings, training, steps)
    lines = [line for line in read_log(run / "log.jsonl") if line["step"] <= steps]
    if lines:
        training["seconds"] = lines[-1].get("seconds")
    if scored := [line for line in lines if "realism" in line]:
        scores = {name: value for name, value in scored[-1].items() if isinstance(value, float)}
        scores.pop("seconds", None)
        training["held_out_scores"] = {"step": scored[-1]["step"], "scores": scores}
    return training


def command_of(settings: Mapping[str, Any], told: Mapping[str, Any], steps: int) -> str:
    """What trains the same: all settings that are not the recipe's."""
    chosen = {name: settings[name] for name in ("method", "recipe") if settings.get(name)}
    usual = json.loads(json.dumps(layered(chosen).flat()))  # lists, as YAML has no tuples
    changed = {
        name: told.get(name, "None" if value is None else value)
        for name, value in settings.items()
        if name in usual and name not in CHANGEABLE and value != usual[name]
    }
    flags = {**chosen, **changed, "steps": steps, "held_out": told.get("held_out")}
    return report.command_line(["train", told.get("data", "DATA"), "--out", "RUN"], flags)


def place(value: str) -> str:
    """What a folder or a model is called, without where it is."""
    return value if value.startswith(SCHEME) else Path(value).name


def evaluation_of(folder: Path, translator: Translator) -> dict[str, Any]:
    """The scores that `cluit evaluate` left in ``folder`` for this model, and its command.

    UserError where it left none, or those of another.
    """
    path = folder / TWIN
    try:
        record = json.loads(path.read_bytes())
        if record.get("weights") != fingerprint(translator):
            scored = report.place(record["settings"]["model"])
            raise UserError(
                f"the scores in {folder} are of {scored} with other weights than these; evaluate this model"
            )
        return {
            "command": report.placed(record["command"]),
            "data": place(record["settings"]["data"]),
            **{name: int(record["test"][name]) for name in ("sources", "each", "image_size")},
            "machine": str(record["machine"]),
            "scores": {answer: columns(one) for answer, one in record["scores"].items()},
        }
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; name what cluit evaluate wrote") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} holds no scores; name a folder that cluit evaluate wrote") from error


def columns(answer: Mapping[str, Any]) -> dict[str, float]:
    """What an evaluation says of one answer, the main figures alone."""
    figures = {} if not answer["oracle"] else {"accuracy": answer["oracle"]["accuracy"]}
    figures["structure kept"] = answer["structure_kept"]
    for name, one in answer["networks"].items():
        by_class = one["mean_class_frechet"]
        figures[f"Fréchet by class, {name}"] = by_class
        figures[f"Fréchet, {name}"] = one["frechet"]
        figures[f"kernel, {name}"] = one["kernel"]
    return {name: float(value) for name, value in figures.items() if value is not None}


def sample_of(folder: Path, steps: int) -> tuple[Path, int] | None:
    """The run's sample grid that is nearest to ``steps`` of training, and its own steps; None without one."""
    run = run_of(folder)
    if run is None:
        return None
    grids = [path for path in (run / "grids").glob("step-*.png") if path.stem[5:].isdecimal()]
    steps_of = {path: int(path.stem[5:]) for path in sorted(grids)}
    return min(steps_of.items(), key=lambda one: abs(one[1] - steps), default=None)
