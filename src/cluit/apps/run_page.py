"""RUN/report.html: what a run has come to so far, in one page that needs nothing beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from cluit.apps import report
from cluit.apps.charts import curves
from cluit.apps.report import Html
from cluit.apps.settings import Settings
from cluit.core.machine import describe, pick_device
from cluit.engine.log import read_log

CHARTS = {
    "Distance between real pictures and translations": (
        "realism: the Fréchet distance under a random network; lower is better; best/ keeps the lowest",
        ("realism",),
    ),
    "How much outputs differ by source, by reference": (
        "as a share of how much those differ themselves; at 0 the generator ignores them",
        ("source_effect", "reference_effect"),
    ),
    "Error against the true translation, in levels of 255": (
        "over all pixels, in the face, on the background; lower is better",
        ("mae", "mae_face", "mae_background"),
    ),
    "How closely the pose follows the source (correlation)": (
        "as the data set's judge reads it; 1 is best",
        ("position", "scale", "tilt", "turn"),
    ),
    "Species that a judge sees in the translation (share)": (
        "the reference's, which is right, and the source's",
        ("species", "species_of_source"),
    ),
    "Species read by a linear probe (share)": (
        "from what the critic judges style by, and from the style codes: what each has learned",
        ("probe_features", "probe_style"),
    ),
}
"""Held-out scores that are drawn together: what they are, and their names in the log."""

Entry = Mapping[str, Any]


def write_run_page(run: Path, settings: Settings, done: int) -> None:
    """Write the page, and its twin for programs, from the run's log and its latest grid."""
    log = read_log(run / "log.jsonl")
    flat = settings.flat()
    none = report.paragraph(f"None yet: they are logged every {settings.run.log_every} steps.")
    parts = [report.section("Losses", report.row(*losses(log)) if losses(log) else none)]
    if any("realism" in entry for entry in log):
        parts.insert(0, report.section("Held-out scores", *warnings(log), report.row(*held_out(log))))
    if pictures := sorted(path for path in (run / "grids").glob("step-*.png") if path.stem[5:].isdecimal()):
        step = int(pictures[-1].stem.removeprefix("step-"))
        caption = f"After {step:,} steps. References in the first row, sources in the first column."
        zoom = max(1, 64 // settings.config.image_size)
        with Image.open(pictures[-1]) as picture:
            parts.insert(0, report.section("Translations", report.figure(picture, caption, zoom)))
    table = report.table(["setting", "value"], [[name, report.place(value)] for name, value in flat.items()])
    parts.append(report.section("Settings", table))
    parts.append(report.section("Go on", report.command(f"cluit train --out {run} --resume")))
    machine = describe(pick_device(settings.run.device))
    lead = (
        f"{done:,} of {settings.run.steps:,} steps on {report.place(settings.run.data or 'a data set')}, on "
        f"{machine}."
    )
    page = report.page(f"{settings.run.method} in {run.name}", lead, *parts)
    scores = [entry for entry in log if "realism" in entry]
    record = {
        "settings": flat,
        "machine": machine,
        "steps": done,
        "seconds": log[-1]["seconds"] if log else 0.0,
        "scores": scores[-1] if scores else None,
    }
    report.write(run / "report.html", page, record)


def warnings(log: Sequence[Entry]) -> list[Html]:
    """The warning that stands now, if one does."""
    latest = [entry for entry in log if "realism" in entry][-1]
    return [report.paragraph(f"Warning: {latest['warning']}")] if "warning" in latest else []


def losses(log: Sequence[Entry]) -> list[Html]:
    """A chart for every loss in the log."""
    lines = [entry for entry in log if "realism" not in entry]
    names = {name for entry in lines for name in entry if not name.startswith("learning_rate")}
    return [chart(name, (name,), lines) for name in sorted(names - {"step", "seconds", "steps_per_second"})]


def held_out(log: Sequence[Entry]) -> list[Html]:
    """The charts of the scores that the log has."""
    known = {name for entry in log for name in entry}
    return [chart(title, names, log, note) for title, (note, names) in CHARTS.items() if known & set(names)]


def chart(title: str, names: Sequence[str], log: Sequence[Entry], note: str = "") -> Html:
    """Some of the log's numbers by step."""
    series = {
        name: [(entry["step"], entry[name]) for entry in log if isinstance(entry.get(name), int | float)]
        for name in names
    }
    return curves(title, series, note=note)
