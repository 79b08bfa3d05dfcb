"""`cluit ablate`: the paper's ablations as runs that differ in one thing, scored alike (Tables 2 and 3)."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from cluit.apps import ablate_page, report
from cluit.apps.ablation_figure import strategies
from cluit.apps.ablation_runs import SEEDS, Name, Planned, Row, plan
from cluit.apps.ablation_scores import Scorer
from cluit.apps.ablation_table import RULE, Outcome, summaries
from cluit.apps.settings import read_settings
from cluit.apps.translate import write_picture
from cluit.core.errors import UserError
from cluit.core.files import disk_is_full, together
from cluit.core.machine import describe
from cluit.engine.console import run_console


def ablate(
    name: Name,
    data: str | Path,
    *,
    out: str | Path,
    seeds: int | None = None,
    oracle: str | Path | None = None,
    features: str | None = None,
    config: str | Path | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Train every row with every seed below ``out``, score them all and write NAME.html, .json and .md there.

    What is there already is neither trained nor scored again. seeds: by default 3, of ``weights`` 1. oracle,
    features: see `Scorer`. config, given: settings as `cluit train` takes them; the rest come from the recipe
    ``ablation``. Returns the JSON, which tells what failed; UserError for what the user can mend.
    """
    console, folder = run_console(), Path(out).expanduser()
    named = {**(read_settings(Path(config)) if config else {}), **given}
    rows, runs = plan(name, str(data), folder, SEEDS[name] if seeds is None else seeds, named)
    for run in runs:
        run.check()
    ablate_page.require_replaceable(folder, name)
    base = next(run for run in runs if rows[run.row].base)
    scorer = Scorer(base.settings, None if oracle is None else Path(oracle), features)
    outcomes = train_and_score(runs, [row.title for row in rows], scorer, console)
    asked = {"out": folder, "seeds": seeds, "oracle": oracle, "features": features, "config": config, **given}
    record = {
        "name": name,
        "command": report.command_line(["ablate", name, data], asked),
        "settings": base.settings.flat(),
        "seeds": list(dict.fromkeys(run.seed for run in runs)),
        "machine": describe(scorer.examiner.device),
        "test": scorer.question,
        "network": scorer.network,
        "oracle": scorer.question["oracle"],
        "oracle_accuracy": scorer.oracle_accuracy,
        "rule": RULE,
        "notes": scorer.notes,
        "rows": summaries(rows, outcomes),
        "seconds": {"training": sum(one.seconds for one in outcomes if not one.failure)},
    }
    write(folder, record, rows, outcomes, scorer)
    console.print(f"page: {(folder / name).resolve()}.html", highlight=False)
    return record


def train_and_score(
    runs: Sequence[Planned], titles: Sequence[str], scorer: Scorer, console: Console
) -> list[Outcome]:
    """What is not finished is trained, one after the other.

    A run that fails leaves the others; Ctrl-C and SIGTERM come through once the one in progress has saved.
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
            outcomes.append(Outcome(run, scorer.scores(run)))
        except (UserError, RuntimeError, OSError) as error:
            if disk_is_full(error):  # the others would fail alike
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            outcomes.append(Outcome(run, {}, reason))
            console.print(f"{run.folder} failed: {reason}", highlight=False)
        if new:
            spent.append(time.monotonic() - began)
    return outcomes


def time_left(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f" · about {minutes} min left in all" if minutes else " · less than a minute left in all"


def write(
    folder: Path, record: Mapping[str, Any], rows: Sequence[Row], outcomes: Sequence[Outcome], scorer: Scorer
) -> None:
    """Page, JSON, tables and, of the ways to match, the picture of them."""
    sheet = None
    with together(folder) as unfinished:
        if record["name"] == "match" and any(one.scores for one in outcomes):
            sheet = strategies(scorer, [row.title for row in rows], outcomes)
            write_picture(unfinished / "match.png", sheet)
        ablate_page.write(unfinished, record, outcomes, sheet)
