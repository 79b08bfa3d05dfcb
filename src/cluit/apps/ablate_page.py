"""The results of an ablation for people: a page with its JSON, and a file of tables for a document."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from cluit.apps import report
from cluit.apps.ablation_runs import SWEPT
from cluit.apps.ablation_table import (
    QUALITY,
    RULE,
    TRUTH,
    beside_the_paper,
    columns,
    differences,
    means,
)
from cluit.apps.charts import Points, curves
from cluit.apps.monitor import POSE
from cluit.apps.planned import Outcome
from cluit.apps.report import Html
from cluit.apps.scorer import OF_REFERENCE
from cluit.apps.tables import Part, Table, require_replaceable
from cluit.apps.truths import NOTE
from cluit.core.files import atomic_file
from cluit.engine.log import read_log

TITLES = {
    "augmentation": "Augmentations (the paper's Table 2)",
    "match": "Ways to match the style (the paper's Table 3)",
    "weights": "Weights of the cycle and of R1",
}
LEARNED = ("mae_face", "species", "position", "tilt", "realism")
"""Scores of the log whose curves are shown, as far as there are any."""


def write(
    out: Path, record: Mapping[str, Any], outcomes: Sequence[Outcome], sheet: Image.Image | None
) -> None:
    """NAME.html, NAME.json and NAME.md in ``out``; what is there gives way."""
    name = record["name"]
    report.write(out / f"{name}.html", document(record, outcomes, sheet), record)
    with atomic_file(out / f"{name}.md") as file:
        file.write(markdown(record).encode())


def require_free(out: Path, name: str) -> None:
    """UserError where files by the names of the results are no earlier results."""
    require_replaceable(out, name, f"{name}.json", [f"{name}.{suffix}" for suffix in ("html", "md", "png")])


def parts(record: Mapping[str, Any]) -> list[Part]:
    """Headings with their tables and what these mean."""
    notes = [quality_note(record), RULE, *map(report.placed, record["notes"])]
    found = [Part("Quality", compared(record, QUALITY), notes)]
    if columns(record, TRUTH):
        found.append(Part("Against the true translation", compared(record, TRUTH), [NOTE]))
        sources, references = POSE, [OF_REFERENCE + name for name in POSE]
        tables = [
            *compared(record, sources, "the source's pose"),
            *compared(record, references, "the reference's pose"),
        ]
        note = (
            "Correlation of the output's pose, as a judge reads it, with that of the source, and with that "
            "of the reference. A translation keeps the first near 1 and the second near 0."
        )
        found.append(Part("Whose pose the output has", tables, [note]))
    if all(row["paper"] for row in record["rows"]):
        table, sentences = beside_the_paper(record)
        note = (
            "The paper's figures are of AFHQ at 128 px after 100,000 steps: only their order can be compared."
        )
        found.append(Part("Beside the paper", [table], [note, *sentences]))
    return found


def compared(record: Mapping[str, Any], wanted: Sequence[str], of: str = "row") -> list[Table]:
    return [means(record, wanted, of), differences(record, wanted)]


def quality_note(record: Mapping[str, Any]) -> str:
    test, own = record["test"], record["oracle_accuracy"]
    text = (
        f"Means ± standard deviations over seeds, of {test['sources']} held-out sources with "
        f"{test['each']} references each, the same for all runs. mFID: mean Fréchet distance by class, under "
        "the network that is named; lower is better. Structure kept: correlation of edge directions with the "
        "source's."
    )
    if own is not None:
        text += f" Accuracy: the oracle is itself right on {own:.1%} of real test pictures."
    return text


def lead(record: Mapping[str, Any]) -> str:
    settings, seeds = record["settings"], record["seeds"]
    begun = settings["init_from"]
    start = "" if begun is None else f", all from the weights of {report.place(begun)}"
    return (
        f"{len(record['rows'])} rows by {len(seeds)} seed{'s' * (len(seeds) > 1)}, each "
        f"{settings['steps']:,} steps of {settings['batch_size']} pictures at {settings['image_size']} px, "
        f"recipe {settings['recipe']}{start}, on {record['machine']}. What a row does not name is the same "
        "in all."
    )


def document(record: Mapping[str, Any], outcomes: Sequence[Outcome], sheet: Image.Image | None) -> str:
    sections = [part.section() for part in parts(record)]
    if sheet is not None:
        caption = "The same pairs by the first seed of each row (the paper's Figure 8)."
        sections.insert(1, report.section("Pictures", report.figure(sheet, caption)))
    charts = sweeps(record) if record["name"] == "weights" else learning(record, outcomes)
    if charts:
        sections.append(report.section("Curves", report.row(*charts)))
    sections.append(report.section("Runs", runs(record)))
    sections.append(report.section("The same again", report.command(record["command"])))
    return report.page(TITLES[record["name"]], lead(record), *sections)


def learning(record: Mapping[str, Any], outcomes: Sequence[Outcome]) -> list[Html]:
    """Scores on held-out pictures while the first seed was trained."""
    firsts = [
        (row["row"], read_log(one.run.folder / "log.jsonl"))
        for number, row in enumerate(record["rows"])
        for one in outcomes
        if one.run.row == number and one.run.seed == record["seeds"][0]
    ]
    titles = columns(record, LEARNED)
    return [
        curves(
            titles.get(name, name),
            {
                row: [(e["step"], e[name]) for e in entries if e.get(name) is not None]
                for row, entries in firsts
            },
        )
        for name in LEARNED
        if any(name in entry for _, entries in firsts for entry in entries)
    ]


def sweeps(record: Mapping[str, Any]) -> list[Html]:
    """Each score over the multiple of the base's weight."""
    wanted = columns(
        record, ("mean_class_frechet", "frechet", "accuracy", "species", "mae", "position", "tilt")
    )
    return [
        curves(
            title,
            {called: sweep(record, setting, name) for setting, called in SWEPT.items()},
            x_label="log₂ of the multiple of the base's",
        )
        for name, title in wanted.items()
    ]


def sweep(record: Mapping[str, Any], setting: str, name: str) -> Points:
    """(log2 of the multiple of the base's value, mean score), in order; the base among them."""
    base = record["settings"][setting]
    points = [
        (math.log2(row["changes"].get(setting, base) / base), row["scores"][name]["mean"])
        for row in record["rows"]
        if (row["base"] or setting in row["changes"]) and name in row["scores"]
    ]
    return sorted(points)


def runs(record: Mapping[str, Any]) -> Html:
    """Every training: how long it took and, of one that failed, why."""
    rows = [
        [
            f"{row['row']}, seed {run['seed']}",
            run["seconds"],
            run["folder"],
            report.placed(run["failure"] or "finished"),
        ]
        for row in record["rows"]
        for run in row["runs"]
    ]
    return report.table(["run", "seconds", "folder", "result"], rows, "Seconds: trained, by the clock.")


def markdown(record: Mapping[str, Any]) -> str:
    """The tables as a document takes them."""
    versions = ", ".join(f"{name} {value}" for name, value in report.versions().items())
    texts = [f"## {TITLES[record['name']]}", lead(record), f"```\n{report.placed(record['command'])}\n```"]
    texts += [text for part in parts(record) for text in part.markdown()]
    failed = [
        f"{row['row']}, seed {run['seed']}: {report.placed(run['failure'])}"
        for row in record["rows"]
        for run in row["runs"]
        if run["failure"]
    ]
    texts += [f"Failed: {'; '.join(failed)}."] if failed else []
    return "\n\n".join([*texts, f"By {versions}."]) + "\n"
