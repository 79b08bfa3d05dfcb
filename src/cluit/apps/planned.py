"""Trainings that are planned together: each an ordinary run in a folder of its own, one after the other."""

import json
import math
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from cluit.apps.job import steps_of_model
from cluit.apps.settings import CHANGEABLE, Settings, checked, read_settings
from cluit.apps.train import train
from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_is_full
from cluit.engine.divergence import Diverged
from cluit.engine.log import read_log
from cluit.engine.run import SETTINGS, require_claimable

FREE = {*CHANGEABLE} - {"data", "held_out"}
"""Settings that may differ from those of a run that is there; budget and precision are looked at apart."""
SPENT = "spent.json"
"""In the folder of a run whose budget is time, once it is spent: how many minutes that were."""


@dataclass(frozen=True)
class Planned:
    """One training: a row with a seed. Its budget is ``minutes`` or, where there are none, ``steps``."""

    row: int
    seed: int
    folder: Path
    settings: Settings

    @property
    def done(self) -> int:
        """Steps that the model in the folder has seen; 0 where there is none that can be read."""
        return steps_of_model(self.folder)

    @property
    def seconds(self) -> float:
        """Trained so far, as its log says; NaN where there is none."""
        entries = read_log(self.folder / "log.jsonl")
        return float(entries[-1]["seconds"]) if entries else math.nan

    @property
    def spent(self) -> float | None:
        """The minutes of a budget that it has spent, None where it has spent none to the end."""
        with suppress(OSError, ValueError, LookupError, TypeError):
            return float(json.loads((self.folder / SPENT).read_bytes())["minutes"])
        return None

    @property
    def finished(self) -> bool:
        minutes = self.settings.run.minutes
        if minutes is None:
            return self.done == self.settings.run.steps
        return self.done > 0 and (self.spent == minutes or self.used >= minutes)

    @property
    def used(self) -> float:
        """Minutes of training that the model in the folder has seen: what came later is done anew."""
        done = self.done
        seen = [entry["seconds"] for entry in read_log(self.folder / "log.jsonl") if entry["step"] <= done]
        return seen[-1] / 60 if seen else 0.0

    @property
    def given(self) -> dict[str, Any]:
        """Its settings, but for empty lists: the data fill these in."""
        return {name: value for name, value in self.settings.flat().items() if value != ()}

    def check(self) -> None:
        """UserError where the folder holds something else than this run, finished or begun."""
        begun = (self.folder / SETTINGS).exists()
        require_claimable(self.folder, resume=begun)
        if not begun:
            return
        wanted, stored = self.given, checked(read_settings(self.folder / SETTINGS)).flat()
        free = FREE if wanted["precision"] == "auto" else FREE - {"precision"}
        for name, value in wanted.items():
            if name not in free and value != stored[name]:
                raise UserError(
                    f"{self.folder} was trained with {name} {stored[name]}, not {value}; choose another --out"
                )
        if (wanted["minutes"] is None) != (stored["minutes"] is None):
            by = "steps" if stored["minutes"] is None else "the clock"
            raise UserError(f"{self.folder} was trained by {by}; do so again, or choose another --out")
        if wanted["minutes"] is None:
            before, now, unit = float(self.done), wanted["steps"], "steps"
        else:
            before, now, unit = self.spent or 0.0, wanted["minutes"], "minutes"
        if before > now:
            raise UserError(
                f"{self.folder} was trained for {before:.12g} {unit}, more than {now:.12g}; "
                "ask for as many, or choose another --out"
            )

    def train(self) -> None:
        """From the start or from where it stopped, as `cluit train` does, whose errors come through."""
        values, begun = self.given, (self.folder / SETTINGS).exists()
        minutes = self.settings.run.minutes
        if begun and values["precision"] == "auto":
            del values["precision"]  # it keeps its own
        if minutes is not None:
            values["minutes"] = max(minutes - self.used, 1e-3)
        train(out=self.folder, resume=begun, **values)
        if minutes is not None:
            with atomic_file(self.folder / SPENT) as file:
                file.write(json.dumps({"minutes": minutes}).encode())


@dataclass(frozen=True)
class Outcome:
    """What became of one training."""

    run: Planned
    scores: Mapping[str, Any]
    """Empty where it failed."""
    failure: str | None = None
    diverged: bool = False
    """Whether it failed as numbers were no longer finite."""

    @property
    def seconds(self) -> float:
        """Trained, as its log says."""
        return self.run.seconds


def train_and_score(
    runs: Sequence[Planned],
    titles: Sequence[str],
    score: Callable[[Planned], Mapping[str, Any]],
    console: Console,
) -> list[Outcome]:
    """What is not finished is trained, one after the other; each is scored.

    titles: of rows. A run that fails leaves the others, unless the disk is full; Ctrl-C and SIGTERM come
    through once the one in progress has saved.
    """
    waiting, spent, outcomes = sum(not run.finished for run in runs), list[float](), list[Outcome]()
    for number, run in enumerate(runs, 1):
        began, new = time.monotonic(), not run.finished
        if new:
            remaining = time_left(sum(spent) / len(spent) * (waiting - len(spent))) if spent else ""
            head = f"run {number} of {len(runs)}: {titles[run.row]}, seed {run.seed}"
            console.print(head + remaining, highlight=False)
        try:
            if new:
                run.train()
            if not run.finished:
                raise UserError(f"the model of {run.folder} has seen {run.done} steps; run the same again")
            outcomes.append(Outcome(run, score(run)))
        except Exception as error:  # whatever it is, it is not worth the other rows
            if disk_is_full(error):  # the others would fail alike
                raise
            if not isinstance(error, UserError | OSError):
                traceback.print_exc(file=sys.stderr)
            reason = " ".join(str(error).split()) or type(error).__name__
            outcomes.append(Outcome(run, {}, reason, isinstance(error, Diverged)))
            console.print(f"{run.folder} failed: {reason}", highlight=False)
        if new:
            spent.append(time.monotonic() - began)
    return outcomes


def firsts(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Of each row the first seed that came through, in the order of the rows."""
    found = dict[int, Outcome]()
    for one in outcomes:
        if one.scores:
            found.setdefault(one.run.row, one)
    return [found[row] for row in sorted(found)]


def time_left(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f" · about {minutes} min left in all" if minutes else " · less than a minute left in all"
