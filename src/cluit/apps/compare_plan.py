"""What a comparison trains: methods with their settings, each an ordinary run under one budget."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluit.apps.domains import require_domains
from cluit.apps.pictures import PORTRAITS, open_data, require_others
from cluit.apps.planned import Planned
from cluit.apps.settings import Settings, layered, listed
from cluit.apps.train import absolute, machine_recipe, require_apart
from cluit.core.errors import UserError
from cluit.methods import CONFIGS

ALIKE = ("data", "held_out", "fit", "count", "image_size", "seed", "device")
"""Settings that a row cannot have for itself: all are compared by the same pictures."""
BUDGET = ("steps", "minutes")
UNLIMITED = 1_000_000_000  # steps, where time is what ends a training


@dataclass(frozen=True)
class Row:
    """One line of the table: a method, and what of its recipe is changed."""

    method: str
    changes: Mapping[str, Any]

    @classmethod
    def of(cls, spec: str) -> "Row":
        """``METHOD`` or ``METHOD:setting=value,setting=value``. UserError for anything else."""
        method, colon, given = spec.partition(":")
        if method not in CONFIGS:
            raise UserError(f"unknown method {method!r}; choose {listed(CONFIGS)}")
        changes = dict[str, Any]()
        for pair in given.split(",") if colon else ():
            name, equals, value = pair.partition("=")
            name = name.strip().replace("-", "_")
            if not name or not equals or name in changes:
                raise UserError(
                    f"{spec!r} is no method with settings; write it as {method}:name=value,name=value"
                )
            if name in (*ALIKE, *BUDGET, "method"):
                raise UserError(f"{name} is the same for all that is compared; take it out of {spec!r}")
            try:
                changes[name] = yaml.safe_load(value)
            except yaml.YAMLError:
                changes[name] = value
        return cls(method, changes)

    @property
    def words(self) -> tuple[str, ...]:
        """The method, then what is changed, where anything is."""
        changed = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.changes.items())
        return (self.method, changed) if changed else (self.method,)

    @property
    def title(self) -> str:
        """E.g. ``tunit (clusters 3)``."""
        method, *changed = self.words
        return f"{method} ({changed[0]})" if changed else method

    @property
    def slug(self) -> str:
        """Of its runs' folders, whatever the order of its settings."""
        parts = [self.method, *sorted(f"{name}{value}" for name, value in self.changes.items())]
        return "-".join(re.sub(r"[^\w.+]+", "-", part) for part in parts)


def plan(
    data: str, out: Path, specs: Sequence[str], pictures: int | None, seeds: int, named: Mapping[str, Any]
) -> tuple[list[Row], list[Planned]]:
    """The rows, and their runs below ``out``, all rows with the first seed first.

    pictures: that every row sees in training; None where ``named`` has the minutes that it trains for. named:
    settings for all rows; ``seed`` is the first of the seeds. UserError for what cannot be compared.
    """
    minutes = named.get("minutes")
    if (pictures is None) == (minutes is None):
        raise UserError("a comparison needs one budget for all; give either --pictures or --minutes")
    if taken := [name for name in ("method", "steps") if named.get(name) is not None]:
        better = {"method": "--methods", "steps": "--pictures, which is steps times pictures a step"}[
            taken[0]
        ]
        raise UserError(f"a comparison has no --{taken[0]}; give {better}")
    if seeds < 1:
        raise UserError(f"a comparison needs at least 1 seed, not {seeds}")
    rows = [Row.of(spec) for spec in specs]
    if not rows:
        raise UserError(f"name what to compare with --methods: {', '.join(CONFIGS)}")
    slugs = [row.slug for row in rows]
    if twice := [row.title for row in rows if slugs.count(row.slug) > 1]:
        raise UserError(f"{twice[0]} is named twice; name each row once, and its further runs with --seeds")
    named = absolute({**named, "data": data})
    require_apart(out, named)
    runs = []
    first = settings_of(rows[0], pictures, named).run.seed
    for seed in range(first, first + seeds):
        for number, row in enumerate(rows):
            settings = settings_of(row, pictures, {**named, "seed": seed})
            runs.append(Planned(number, seed, out / "runs" / f"{row.slug}-seed{seed}", settings))
    if len(sizes := {run.settings.config.image_size for run in runs}) > 1:
        few, many = min(sizes), max(sizes)
        raise UserError(f"the recipes draw at {few} and at {many} px; give one --image-size for all")
    return rows, runs


def require_told(runs: Sequence[Planned], classes: Sequence[str]) -> None:
    """UserError where a method has to be told classes which the training pictures lack, or does not know
    those of the test pictures, ``classes``. What is trained already is not asked."""
    for run in runs:
        if run.seed == runs[0].seed and run.settings.config.labelled_share and not run.finished:
            told = open_data(run.settings.run.data, run.settings).config
            require_domains(getattr(told, "domains", ()), classes)


def settings_of(row: Row, pictures: int | None, named: Mapping[str, Any]) -> Settings:
    """All of a run's: the row's own before those for all, these before the recipe's."""
    given = {**named, "method": row.method, **row.changes, "steps": UNLIMITED}
    recipe = machine_recipe(named.get("device", "auto"))
    try:
        settings = layered(given, recipe)
    except UserError as error:
        raise UserError(f"{row.title}: {error}") from error
    if pictures is None:
        return settings
    steps = pictures // settings.run.batch_size
    if steps < 1:
        raise UserError(
            f"a step of {row.title} takes {settings.run.batch_size} pictures, more than {pictures}; "
            "give more --pictures"
        )
    return layered({**given, "steps": steps}, recipe)


def scored_on(data: str, test: str | None, held_out: Any, out: Path) -> str:
    """The place of the pictures that rows are scored on. UserError where they would be trained on."""
    if test is None:
        if data != PORTRAITS and held_out is None:
            raise UserError("rows are scored on pictures that none was trained on; add --test FOLDER")
        return PORTRAITS if held_out is None else str(held_out)
    if test != PORTRAITS:
        require_others(data, test, "test")
        require_apart(out, {"data": test})
    return test
