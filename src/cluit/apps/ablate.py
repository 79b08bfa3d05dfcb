"""`cluit ablate`: the paper's ablations as runs that differ in one thing, scored alike (Tables 2 and 3)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cluit.apps import ablate_page, report
from cluit.apps.ablation_runs import SEEDS, Name, Row, plan
from cluit.apps.ablation_scores import open_scorer, scores
from cluit.apps.ablation_table import RULE, summaries
from cluit.apps.planned import Outcome, firsts, train_and_score
from cluit.apps.scorer import Scorer
from cluit.apps.settings import read_settings
from cluit.apps.side_by_side import side_by_side
from cluit.apps.translate import write_picture
from cluit.core.files import together
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
    ablate_page.require_free(folder, name)
    base = next(run for run in runs if rows[run.row].base)
    scorer = open_scorer(base.settings, None if oracle is None else Path(oracle), features)
    titles = [row.title for row in rows]
    outcomes = train_and_score(runs, titles, partial(scores, scorer), console)
    asked = {"out": folder, "seeds": seeds, "oracle": oracle, "features": features, "config": config, **given}
    record = {
        "name": name,
        "command": report.command_line(["ablate", name, data], asked),
        "settings": base.settings.flat(),
        "seeds": list(dict.fromkeys(run.seed for run in runs)),
        "machine": describe(scorer.examiner.device),
        "test": scorer.question,
        "network": scorer.examiner.networks[0].name,
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


def write(
    folder: Path, record: Mapping[str, Any], rows: Sequence[Row], outcomes: Sequence[Outcome], scorer: Scorer
) -> None:
    """Page, JSON, tables and, of the ways to match, the picture of them."""
    sheet = None
    with together(folder) as unfinished:
        if record["name"] == "match" and any(one.scores for one in outcomes):
            models = [((rows[one.run.row].title,), one.run.folder / "model") for one in firsts(outcomes)]
            sheet = side_by_side(scorer, models)
            write_picture(unfinished / "match.png", sheet)
        ablate_page.write(unfinished, record, outcomes, sheet)
