"""The results of a comparison for people: a page with its JSON, a file of tables, and the picture."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from cluit.apps import report
from cluit.apps.charts import COLOURS, bars, curves
from cluit.apps.compare_table import DISTANCES, class_tables, columns, number, scores_table
from cluit.apps.evaluate_page import share
from cluit.apps.monitor import POSE
from cluit.apps.planned import Outcome
from cluit.apps.report import Html
from cluit.apps.scorer import OF_REFERENCE
from cluit.apps.tables import Part, Table, require_replaceable
from cluit.apps.translate import write_picture
from cluit.apps.truths import COLUMNS, NOTE
from cluit.core.files import atomic_file
from cluit.engine.log import read_log

NAME = "comparison"  # as its JSON says
PAGE, TABLES, FIGURE = "index.html", "table.md", "figure.png"
QUALITY = (*DISTANCES, "accuracy", "structure_kept")
LEARNED = {
    "mae": "error against the true translation",
    "realism": "distance between outputs and real pictures",
}
"""Scores of the log whose curves are shown, as far as there are any."""
RULE = (
    "Means ± standard deviations over seeds. In each column the row with the best mean is marked; a row is "
    "even with it where the means differ by no more than the sum of both deviations."
)
ONE_SEED = (
    "Of one seed there is no spread: no difference can be called even, nor told from chance; add --seeds."
)


def require_free(out: Path) -> None:
    """UserError where files by the names of the results are no earlier results."""
    require_replaceable(out, NAME, str(Path(PAGE).with_suffix(".json")), [PAGE, TABLES, FIGURE])


def write(
    out: Path, record: Mapping[str, Any], outcomes: Sequence[Outcome], sheet: Image.Image | None
) -> None:
    """All of it into ``out``."""
    if sheet is not None:
        write_picture(out / FIGURE, sheet)
    report.write(out / PAGE, document(record, outcomes, sheet), record)
    with atomic_file(out / TABLES) as file:
        file.write(markdown(record).encode())


def document(record: Mapping[str, Any], outcomes: Sequence[Outcome], sheet: Image.Image | None) -> str:
    quality, *others = parts(record)
    sections = [quality.section()]
    if sheet is not None:
        caption = "The same pairs by the first seed of each row (the paper's Figures 3 and 4)."
        sections.append(report.section("Pictures", report.figure(sheet, caption)))
    sections += [part.section() for part in others]
    sections += [report.section("Accuracy by class", *charts)] if (charts := accuracy(record)) else []
    sections += (
        [report.section("While training", report.row(*lines))]
        if (lines := learning(outcomes, record))
        else []
    )
    sections.append(report.section("The same again", report.command(record["command"])))
    return report.page("Comparison", lead(record), *sections)


def markdown(record: Mapping[str, Any]) -> str:
    """The tables as a document takes them."""
    versions = ", ".join(f"{name} {value}" for name, value in report.versions().items())
    texts = ["## Comparison", lead(record), f"```\n{report.placed(record['command'])}\n```"]
    texts += [text for part in parts(record) for text in part.markdown()]
    return "\n\n".join([*texts, f"By {versions}."]) + "\n"


def lead(record: Mapping[str, Any]) -> str:
    budget, test, seeds = record["budget"], record["test"], len(record["seeds"])
    recipes = dict.fromkeys(str(row["settings"]["recipe"]) for row in record["rows"])
    if "minutes" in budget:
        each = f"trained for {budget['minutes']:g} minutes by the clock, looks at held-out pictures included"
    else:
        each = f"trained on {budget['pictures']:,} pictures, counted as often as they are seen"
    return (
        f"{len(record['rows'])} rows by {seeds} seed{'s' * (seeds > 1)}, each {each}, at "
        f"{test['image_size']} px on {record['machine']}; scored on the same {test['sources']:,} sources "
        f"with {test['each']} references each. The recipe of each is its method's own "
        f"{' or '.join(recipes)}, but for what its row and the command below say."
    )


def parts(record: Mapping[str, Any]) -> list[Part]:
    """The tables, those of quality first."""
    notes = [*quality_notes(record), *map(report.placed, record["notes"])]
    found = [Part("Quality", [scores_table(record, QUALITY)], notes)]
    if columns(record, tuple(COLUMNS)):
        found.append(Part("Against the true translation", [scores_table(record, tuple(COLUMNS))], [NOTE]))
        pose = scores_table(record, tuple(OF_REFERENCE + name for name in POSE))
        note = "Correlation of the output's pose with the reference's, which a translation keeps near 0."
        found.append(Part("Whose pose the output has", [pose], [note]))
    if tables := class_tables(record, coarse=False):
        found.append(Part("By the reference's class", tables))
    if tables := class_tables(record, coarse=True):
        note = (
            "Shares of outputs that show, as the judge of portraits reads them, the reference's species, "
            "another of its label, or one of another label; sources of the reference's own label are left "
            "out. Told apart: of those that show a species of the label, the share that shows the "
            "reference's, as a mean over its species: 0.5 by chance between two."
        )
        found.append(Part("Which species of a coarse label", tables, [note]))
    note = (
        "A row counts as trained where its training stayed finite, its outputs beat the trivial answers in "
        "colour and differ by source and by reference (`apps/compare_entry.py` has the figures); others have "
        "no scores above. Colour: distance of mean colours to the reference's, in levels of 255. Effects: "
        "how much outputs differ by source, and by reference, as a share of how much these do."
    )
    found.append(Part("Runs", [runs(record)], [note]))
    note = (
        "A translation: one picture, both its halves included; a median over "
        f"{record['rounds']} rounds in which the rows took turns. Step memory: what a training step adds to "
        "a process at most. Steps and pictures a second: medians over the lines of the logs, slower where "
        "the machine had other work."
    )
    found.append(Part("Size, speed and memory", [costs(record)], [note]))
    return found


def quality_notes(record: Mapping[str, Any]) -> list[str]:
    text = (
        "mFID: mean Fréchet distance by class, under the network that is named; lower is better, and figures "
        "under two networks have nothing to do with each other. Structure kept: correlation of edge "
        "directions with the source's. Rows that begin with return are answers that take no learning."
    )
    if oracle := record["oracle"]:
        own = (oracle["test"] or {}).get("accuracy")
        text += f" Accuracy: the oracle is itself right on {share(own)} of real test pictures."
    return [text, RULE if len(record["seeds"]) > 1 else ONE_SEED]


def runs(record: Mapping[str, Any]) -> Table:
    """Every training, what it saw, and whether it counts."""
    lines = []
    for row in record["rows"]:
        for run in row["runs"]:
            found = run["entry"] or {}
            verdict = run["state"] + "".join(f"; {report.placed(reason)}" for reason in run["reasons"])
            effects = [number(found.get(f"{what}_effect"), 2) for what in ("source", "reference")]
            colours = [number(found.get(name), 1) for name in ("colour", "colour_of_source")]
            spent = "–" if math.isnan(run["seconds"]) else f"{run['seconds'] / 60:,.1f}"
            lines.append(
                [
                    f"{row['row']}, seed {run['seed']}",
                    f"{run['pictures']:,}",
                    spent,
                    *effects,
                    *colours,
                    verdict,
                ]
            )
    header = [
        "run",
        "pictures",
        "minutes",
        "source effect",
        "reference effect",
        "colour",
        "the sources'",
        "result",
    ]
    return Table(header, lines)


def costs(record: Mapping[str, Any]) -> Table:
    lines = []
    for row in record["rows"]:
        cost, pace = row["cost"] or {}, row["speed"] or {}
        lines.append(
            [
                row["row"],
                number(scaled(cost, "parameters", 1e-6), 2),
                number(scaled(cost, "parameters_in_use", 1e-6), 2),
                number(scaled(cost, "macs", 1e-9), 3),
                number(scaled(cost, "seconds", 1e3), 1),
                number(scaled(cost, "step_bytes", 2**-20), 0),
                number(pace.get("steps_per_second"), 2),
                number(pace.get("pictures_per_second"), 0),
            ]
        )
    header = [
        "row", "parameters trained, M", "in use, M", "GMACs of a translation", "ms of a translation",
        "step memory, MiB", "steps a second", "pictures a second",
    ]  # fmt: skip
    return Table(header, lines)


def scaled(values: Mapping[str, float | None], name: str, factor: float) -> float | None:
    value = values.get(name)
    return None if value is None else value * factor


def accuracy(record: Mapping[str, Any]) -> list[Html]:
    """The paper's Figure 5: what the oracle sees in the outputs of each trained row, by class."""
    shares = {
        row["row"]: row["classes"]["accuracy"] for row in record["rows"] if "accuracy" in row["classes"]
    }
    rows = list(shares)
    names = list(dict.fromkeys(name for one in shares.values() for name in one))
    groups = (rows[i : i + COLOURS] for i in range(0, len(rows), COLOURS))
    title = "Share of outputs that show what the reference is"
    return [
        bars(title, {row: {name: shares[row].get(name, math.nan) for name in names} for row in group})
        for group in groups
    ]


def learning(outcomes: Sequence[Outcome], record: Mapping[str, Any]) -> list[Html]:
    """Scores on held-out pictures while the first seed was trained, by what it had seen and by the clock."""
    logs = [
        (
            record["rows"][one.run.row]["row"],
            one.run.settings.run.batch_size,
            read_log(one.run.folder / "log.jsonl"),
        )
        for one in outcomes
        if one.run.seed == record["seeds"][0]
    ]
    charts = []
    for score, title in LEARNED.items():
        if not any(score in entry for *_, log in logs for entry in log):
            continue
        seen = {
            row: [(entry["step"] * batch, entry[score]) for entry in log if entry.get(score) is not None]
            for row, batch, log in logs
        }
        spent = {
            row: [(entry["seconds"] / 60, entry[score]) for entry in log if entry.get(score) is not None]
            for row, _, log in logs
        }
        charts += [curves(title, seen, "pictures seen"), curves(title, spent, "minutes")]
    return charts
