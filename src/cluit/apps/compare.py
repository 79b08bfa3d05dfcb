"""`cluit compare`: methods under one budget, scored alike (the paper's Table 1, Figures 3 to 5)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from cluit.apps import compare_page, report
from cluit.apps.compare_cost import ROUNDS, costs, speed
from cluit.apps.compare_entry import entry
from cluit.apps.compare_plan import Row, plan, require_told, scored_on
from cluit.apps.compare_table import TRAINED, by_class, figures, summaries
from cluit.apps.evaluate import no_kernel, oracle_record, plain
from cluit.apps.examination import ORACLE
from cluit.apps.planned import Outcome, Planned, firsts, train_and_score
from cluit.apps.scorer import Record, Scorer, kept
from cluit.apps.side_by_side import side_by_side
from cluit.core.files import disk_errors, together
from cluit.core.machine import describe
from cluit.engine.console import run_console
from cluit.evaluation.features import EfficientNetLite0

SCORES, TRIVIAL = "scores.json", "trivial.json"


def compare(
    data: str | Path,
    *,
    methods: Sequence[str],
    out: str | Path,
    pictures: int | None = None,
    test: str | Path | None = None,
    oracle: str | Path | None = None,
    features: Sequence[str] = (),
    seeds: int = 1,
    each: int = 10,
    limit: int | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Train every row with every seed below ``out``, score all on the same pairs, write the page and tables.

    What is there already is neither trained nor scored again. methods: see `Row.of`. pictures: that each row
    sees; without, ``given`` has the minutes. test: a folder or the word portraits, by default ``held_out``.
    oracle, features: as `cluit evaluate` takes them. each, limit: of the pairs, whose seed is the first
    run's. given: settings of `cluit train`, for all rows.

    Returns the JSON, which tells what failed; UserError for what the user can mend.
    """
    console, folder = run_console(), Path(out).expanduser()
    rows, runs = plan(str(data), folder, methods, pictures, seeds, given)
    place = scored_on(str(data), None if test is None else str(test), given.get("held_out"), folder)
    for run in runs:
        run.check()
    compare_page.require_free(folder)
    first = runs[0]
    networks = tuple(features) or (EfficientNetLite0.name, *([ORACLE] if oracle else []))
    scorer = Scorer(
        place, first.settings, oracle=None if oracle is None else Path(oracle), features=networks,
        each=each, seed=first.seed, limit=limit,
    )  # fmt: skip
    require_told(runs, scorer.examiner.sets[0].classes)
    trivial = trivial_answers(folder, scorer, console)
    outcomes = train_and_score(runs, [row.title for row in rows], lambda run: scored(run, scorer), console)
    asked = {
        "methods": list(methods), "out": folder, "pictures": pictures, "test": test, "oracle": oracle,
        "features": list(features), "seeds": seeds, "each": each, "limit": limit, **given,
    }  # fmt: skip
    record = {
        "name": compare_page.NAME,
        "command": report.command_line(["compare", data], asked),
        "budget": {"minutes": given["minutes"]} if pictures is None else {"pictures": pictures},
        "seeds": list(dict.fromkeys(run.seed for run in runs)),
        "machine": describe(scorer.examiner.device),
        "test": {**scorer.work.counts(), **scorer.question},
        "networks": {network.name: network.dim for network in scorer.examiner.networks},
        "oracle": oracle_record(scorer.examiner),
        "notes": [*scorer.notes, *no_kernel(scorer.work)],
        "rounds": ROUNDS,
        "rows": measured(summaries(rows, outcomes, trivial), outcomes),
        "trivial": {
            name: {"scores": figures(one), "classes": by_class(one)} for name, one in trivial.items()
        },
        "seconds": {"training": sum(one.seconds for one in outcomes if one.scores)},
        "settings": plain({"data": data, "seed": first.seed, **asked}),
    }
    with together(folder) as unfinished:
        compare_page.write(unfinished, record, outcomes, sheet(scorer, rows, record, outcomes))
    console.print(f"page: {(folder / compare_page.PAGE).resolve()}", highlight=False)
    return record


def trivial_answers(folder: Path, scorer: Scorer, console: Console) -> dict[str, Record]:
    """Scored once, and kept in ``folder``."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)

    def make() -> dict[str, Record]:
        console.print("scoring the trivial answers", highlight=False)
        return scorer.trivial()

    return kept(folder / TRIVIAL, scorer.question, make)


def scored(run: Planned, scorer: Scorer) -> dict[str, Any]:
    """A finished run's ``record`` and its ``entry`` check; kept in its folder."""

    def judge() -> dict[str, Any]:
        translator, work = scorer.model(run.folder / "model"), scorer.work
        found = entry(scorer.of(translator), work.sources, work.references)
        return {"record": scorer.judged(translator), "entry": found}

    return kept(run.folder / SCORES, {**scorer.question, "steps": run.done}, judge)


def measured(summed: Sequence[dict[str, Any]], outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The rows with their ``settings``, their ``speed``, and the ``cost`` where any of a row's runs came
    through."""
    models = firsts(outcomes)
    found = dict(zip((one.run.row for one in models), costs([one.run for one in models]), strict=True))
    rows = []
    for i, row in enumerate(summed):
        own = [one for one in outcomes if one.run.row == i]
        settings = own[0].run.settings.flat()
        rows.append({**row, "settings": settings, "cost": found.get(i), "speed": speed(own)})
    return rows


def sheet(
    scorer: Scorer, rows: Sequence[Row], record: Mapping[str, Any], outcomes: Sequence[Outcome]
) -> Image.Image | None:
    """The figure, by the first seed of each row that came through; None where no row did."""
    models = []
    for one in firsts(outcomes):
        runs = {run["seed"]: run for run in record["rows"][one.run.row]["runs"]}
        state = runs[one.run.seed]["state"]
        words = (*rows[one.run.row].words, *([] if state == TRAINED else [state]))
        models.append((words, one.run.folder / "model"))
    return side_by_side(scorer, models) if models else None
