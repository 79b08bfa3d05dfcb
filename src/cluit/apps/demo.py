"""`cluit demo`: the main job on drawn portraits, in minutes, and one page that shows what came of it."""

import os
import shutil
import sys
import time
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from cluit.apps import report
from cluit.apps.api import SHIPPED, Painter, load
from cluit.apps.report import Html
from cluit.apps.run_page import held_out, losses
from cluit.apps.settings import layered
from cluit.apps.train import train
from cluit.apps.truths import COLUMNS, NOTE
from cluit.core.errors import UserError
from cluit.core.images import as_picture, grid
from cluit.core.machine import describe, pick_device, pick_precision
from cluit.data.factors import SPECIES
from cluit.data.portraits import draw
from cluit.engine.log import read_log
from cluit.evaluation.reader import FaceReader
from cluit.evaluation.truth import TruthSet, held_out_pairs

PAIRS = 256
SHOWN = 6  # sources, and references, of the grid on the page
LOG_EVERY, SCORE_EVERY = 20, 250  # steps: a slow machine does a thousand or two in all

Scores = dict[str, float]


def demo(
    *,
    out: str | Path = "demo",
    minutes: float = 8.0,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    browser: bool = True,
) -> Path:
    """Train on portraits for ``minutes``, translate held-out ones, and return the page that shows it.

    Each call trains anew, in the first free folder of ``out/run``, ``out/run-2``, ...; the page
    ``out/index.html`` is the latest run's. browser: open the page where there is a display.
    """
    if not minutes > 0:
        raise UserError(f"minutes must be positive, got {minutes}")
    out = Path(out).expanduser()
    run, page = free_folder(out), out / "index.html"
    refuse_strangers(out, run, [page, page.with_suffix(".json")])
    settings: dict[str, Any] = {
        "minutes": minutes, "seed": seed, "device": device, "precision": precision,
        "log_every": LOG_EVERY, "score_every": SCORE_EVERY,
    }  # fmt: skip
    pick_precision(precision, pick_device(device))
    layered({"data": "portraits", **settings}, "small")  # a UserError here leaves no folder behind
    began = time.monotonic()
    train("portraits", out=run, recipe="small", **settings)
    seconds = {"training": time.monotonic() - began}

    painter = load(run / "model", device=device, precision=precision)
    pairs, reader = held_out_pairs(PAIRS, painter.image_size), FaceReader.load()
    steps = painter.card["steps"]
    rows = {f"this run, {steps:,} steps": score(painter, pairs, reader)}
    rows |= shipped_row(device, precision, reader)
    rows |= {f"return {name}": scores for name, scores in pairs.score_trivial(reader).items()}
    seconds["in all"] = time.monotonic() - began

    record = {
        "settings": {"minutes": minutes, "seed": seed, "run": str(run), **painter.card["config"]},
        "machine": describe(painter.device),
        "steps": steps,
        "scores": rows,
        "seconds": seconds,
    }
    report.write(page, document(record, painter, pairs, read_log(run / "log.jsonl")), record)
    print(f"page: {page.resolve()}")
    if browser and has_display():
        webbrowser.open(page.resolve().as_uri())
    return page


def free_folder(out: Path) -> Path:
    """The first of out/run, out/run-2, ... that is not there yet."""
    number = 1
    while (folder := out / (f"run-{number}" if number > 1 else "run")).exists():
        number += 1
    return folder


def refuse_strangers(out: Path, run: Path, pages: Sequence[Path]) -> None:
    """UserError where a page is not an earlier demo's: it has written its run before."""
    if run == out / "run" and (there := [page for page in pages if os.path.lexists(page)]):
        raise UserError(f"{there[0]} is already there and not of a demo; choose another --out")


def score(painter: Painter, pairs: TruthSet, reader: FaceReader) -> Scores:
    """Of a model, on pairs of its own size."""
    parts = [
        painter.paint(painter.structures(list(sources)), painter.styles(list(references)))
        for sources, references in zip(pairs.sources.split(32), pairs.references.split(32), strict=True)
    ]
    return pairs.score_outputs(torch.cat(parts), reader)


def shipped_row(device: str, precision: str, reader: FaceReader) -> dict[str, Scores]:
    """The same figures of the model in the package, on the same pairs at its size; none if there is none."""
    try:
        painter = load(SHIPPED, device=device, precision=precision)
    except UserError:
        return {}
    name = f"shipped model, {painter.image_size} px"
    return {name: score(painter, held_out_pairs(PAIRS, painter.image_size), reader)}


def document(
    record: Mapping[str, Any], painter: Painter, pairs: TruthSet, log: Sequence[Mapping[str, Any]]
) -> str:
    """The page."""
    made, true = grids(painter, pairs)
    minutes, rows = record["seconds"]["training"] / 60, record["scores"]
    zoom = max(1, 64 // painter.image_size)
    return report.page(
        "Any portrait in the style of any other",
        f"Learned in {minutes:.1f} minutes ({record['steps']:,} steps) from drawn portraits, without any "
        f"label, on {record['machine']}. A translation keeps the source's pose and takes all else from the "
        "reference: species, coat, pattern, eyes, glasses and background. None of the portraits below was "
        "trained on.",
        report.section(
            "Translations",
            report.row(
                report.figure(
                    made, "Learned: references in the first row, sources in the first column.", zoom
                ),
                report.figure(true, "True: the same pairs, drawn from the factors of both portraits.", zoom),
            ),
        ),
        report.section("Scores", report.paragraph(verdict(rows)), figures(rows)),
        report.section("Losses", report.row(*losses(log))),
        report.section("Held-out scores along the way", report.row(*held_out(log))),
        report.section("Your own pictures", *own_pictures(record["settings"]["run"])),
    )


def grids(painter: Painter, pairs: TruthSet) -> tuple[Image.Image, Image.Image]:
    """What the model makes of some sources and a reference of each species, and what is true."""
    species = pairs.style.species.tolist()
    chosen = [species.index(number) for number in range(len(SPECIES)) if number in species][:SHOWN]
    sources, references = pairs.sources[:SHOWN], pairs.references[chosen]
    structures, styles = painter.structures(list(sources)), painter.styles(list(references))
    made = [painter.paint(one.expand(len(styles), -1, -1, -1), styles) for one in structures[:, None]]
    true = [
        draw(pairs.structure[[i] * len(chosen)], pairs.style[chosen], painter.image_size)
        for i in range(len(sources))
    ]
    header = [torch.full_like(sources[0], 255), *references]
    made_sheet, true_sheet = (
        grid([header, *([source, *row] for source, row in zip(sources, rows, strict=True))])
        for rows in (made, true)
    )
    return as_picture(made_sheet), as_picture(true_sheet)


def figures(rows: Mapping[str, Scores]) -> Html:
    """The table: one row per answer, this run's first."""
    cells = [[name, *(scores[key] for key in COLUMNS)] for name, scores in rows.items()]
    note = f"{PAIRS} held-out pairs of different species. {NOTE}"
    return report.table(["answer", *COLUMNS.values()], cells, note, strong=1)


def verdict(rows: Mapping[str, Scores]) -> str:
    """What the figures say, in sentences."""
    (_, own), *others = rows.items()
    trivial = {name: scores for name, scores in others if name.startswith("return")}
    nearest = min(trivial, key=lambda name: trivial[name]["mae"])
    beaten = own["mae"] < trivial[nearest]["mae"]
    text = (
        f"Over the whole picture this run is off by {own['mae']:.1f} levels of 255, "
        f"{'less' if beaten else 'not less'} than the best trivial answer ({nearest}: "
        f"{trivial[nearest]['mae']:.1f}). The head's position follows the source's with a correlation of "
        f"{own['position']:.2f}, and a judge sees the reference's species in {own['species']:.0%} of the "
        "translations. "
    )
    for name, shipped in others:
        if name.startswith("shipped"):
            text += (
                f"More training moves shapes as well as colours: the shipped model stands at "
                f"{shipped['mae']:.1f} levels and {shipped['species']:.0%} of species, in the row below."
            )
    return text


def own_pictures(run: str) -> list[Html]:
    """The commands to go on with."""
    here = Path(sys.argv[0])
    program = os.path.relpath(here) if here.name == "cluit" and not shutil.which("cluit") else "cluit"
    return [
        report.paragraph("Learn from a folder of your own (a few hundred pictures or more), then translate:"),
        report.command(f"{program} train MY_FOLDER --out MY_RUN"),
        report.command(f"{program} translate MY_RUN SOURCE.png REFERENCE.png --out OUT.png"),
        report.paragraph("This run goes on where it stopped, for another hour, with:"),
        report.command(f"{program} train --out {run} --resume --minutes 60"),
    ]


def has_display() -> bool:
    """Whether a browser window could be seen."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
