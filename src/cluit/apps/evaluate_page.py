"""The page of an evaluation: scores beside the trivial answers', one table for each feature network."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from cluit.apps import failures, report
from cluit.apps.charts import bars
from cluit.apps.failures import Shown
from cluit.apps.report import Html
from cluit.apps.truths import COLUMNS as TRUE_COLUMNS
from cluit.apps.truths import NOTE
from cluit.core.images import as_picture, grid
from cluit.evaluation.examiner import MODEL
from cluit.evaluation.examiner import TRUTH as TRUE

ROWS, COLUMNS = 6, 5  # of the grid: sources, and references of each


def write(path: Path, record: Mapping[str, Any], shown: Shown) -> None:
    """The page and its JSON twin."""
    report.write(path, document(record, shown), record)


def document(record: Mapping[str, Any], shown: Shown) -> str:
    settings, test, scores = record["settings"], record["test"], record["scores"]
    model, data = report.place(settings["model"]), report.place(settings["data"])
    lead = (
        f"{model} on {data}: {test['sources']:,} sources, each in the style of "
        f"{test['each']} references of the same {test['pictures']:,} test pictures, never of itself: "
        f"{test['sources'] * test['each']:,} translations, of central squares at {test['image_size']} px. "
        "Below the model stand answers that take no learning; a score that they reach too says little."
        + (" The true translations show what a perfect model would score." if TRUE in scores else "")
    )
    sections = [
        report.section(
            "Translations",
            translations(shown),
            report.link("The worst outputs, by each score", failures.PAGE),
        ),
        report.section("What the outputs show", what_is_shown(record)),
        *([report.section("Accuracy by class", accuracy(record))] if record["oracle"] else []),
        *[report.section(f"Distances under {name}", *distances(name, record)) for name in record["networks"]],
        *([report.section("Against the true translation", truths(scores))] if scores[MODEL]["truth"] else []),
        report.section("To know", *map(report.paragraph, record["notes"])) if record["notes"] else Html(""),
        report.section("Where the time went", times(record)),
        report.section("The same again", report.command(record["command"])),
    ]
    return report.page("Evaluation", lead, *sections)


def translations(shown: Shown) -> Html:
    """A grid of the first pairs, spread over the sources."""
    rows = torch.linspace(0, len(shown.styles) - 1, ROWS).long().unique().tolist()
    columns = range(min(COLUMNS, shown.styles.shape[1]))
    lines = list[list[torch.Tensor]]()
    for row in rows:
        triples = [shown.triple(row, column) for column in columns]
        blank = torch.full_like(triples[0][0], 255)
        lines += [[blank, *(reference for _, reference, _ in triples)]]
        lines += [[triples[0][0], *(output for _, _, output in triples)]]
    sheet: Image.Image = as_picture(grid(lines))
    caption = "Each second row: a source at the left, then its translations; above them their references."
    return report.figure(sheet, caption, shown.zoom)


def what_is_shown(record: Mapping[str, Any]) -> Html:
    """Translation accuracy and structure kept."""
    header = ["answer", *(["accuracy"] if record["oracle"] else []), "structure kept"]
    rows = [
        [called(name), *([one["oracle"]["accuracy"]] if record["oracle"] else []), one["structure_kept"]]
        for name, one in record["scores"].items()
    ]
    note = (
        "Structure kept: correlation of edge directions with the source's, 1 for the source itself; a true "
        "change of shape lowers it too."
    )
    if oracle := record["oracle"]:
        own, grey = ((oracle[key] or {}).get("accuracy") for key in ("test", "grey"))
        note = (
            f"Accuracy: share of outputs in which the oracle ({oracle['name']}) sees what the reference is. "
            f"It is itself right on {share(own)} of real test pictures, and on {share(grey)} of them without "
            f"colours. {note}"
        )
    return report.table(header, rows, note, strong=1)


def called(answer: str) -> str:
    """What the tables call an answer."""
    return answer if answer in (MODEL, TRUE) else f"return {answer}"


def share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.1%}"


def accuracy(record: Mapping[str, Any]) -> Html:
    """The paper's Figure 5: translation accuracy of each class or attribute."""
    scores, recoloured = record["scores"], "recoloured source"
    names = [MODEL, recoloured] if recoloured in scores else [MODEL]
    series = {called(name): scores[name]["oracle"]["each"] for name in names}
    own = (record["oracle"]["test"] or {}).get("each", {})
    series["the oracle itself, on real pictures"] = {name: own.get(name) for name in series[MODEL]}
    known = {
        title: {name: math.nan if share is None else share for name, share in shares.items()}
        for title, shares in series.items()
    }
    return bars("Share of outputs that show what the reference is", known)


def distances(name: str, record: Mapping[str, Any]) -> list[Html]:
    """Of every answer to the real pictures under one network; and class by class."""
    found = {answer: one["networks"][name] for answer, one in record["scores"].items()}
    kernel = found[MODEL]
    has_mean = kernel["mean_class_frechet"] is not None
    mean = ["mean Fréchet by class"] if has_mean else []
    header = ["answer", *mean, "Fréchet", "kernel × 1000", "±", "diversity"]
    columns = [
        *(["mean_class_frechet"] if has_mean else []),
        "frechet",
        "kernel",
        "kernel_error",
        "diversity",
    ]
    rows = [
        [called(answer), *(in_table(one[name], name) for name in columns)] for answer, one in found.items()
    ]
    note = (
        f"Distances of the outputs to {record['test']['real']:,} real pictures under {name} "
        f"({record['networks'][name]:,} features); lower is better, and values under another network have "
        f"nothing to do with these. {kernel_note(kernel)} Diversity: mean distance "
        "between two outputs of one source."
    )
    if record["settings"]["real"] is None:
        note += " The real pictures are the test pictures" + (
            ", all of them sources, so that the Fréchet distance of returning these is 0 over all classes, "
            "but for rounding."
            if record["test"]["sources"] == record["test"]["real"]
            else "."
        )
    parts = [report.table(header, rows, note, strong=1)]
    if has_mean:
        classes = list(kernel["class_frechet"])
        lines = [
            [called(answer), *(one["class_frechet"][c] for c in classes)] for answer, one in found.items()
        ]
        note = "Fréchet distance by the reference's class, to the real pictures of that class."
        parts.append(report.table(["answer", *classes], lines, note, strong=1))
    return parts


def kernel_note(scores: Mapping[str, Any]) -> str:
    """How the kernel distance was taken. scores: an answer's under one network."""
    if scores["kernel"] is None:
        return "No kernel distance: there are too few pictures."
    blocks, (real, outputs) = scores["kernel_blocks"], scores["kernel_block"]
    several = f"the mean over {blocks} blocks, each of at least" if blocks > 1 else "of"
    return (
        f"Kernel: squared MMD, {several} {real} real pictures and {outputs} outputs. It is unbiased, as no "
        "picture is in a block twice, be it as source, reference or real picture."
        + (" Its standard error (±) does not cover that blocks share pictures." if blocks > 1 else "")
    )


def in_table(value: float | None, name: str) -> float:
    """Kernel distances are small: the table has a thousand times theirs."""
    if value is None:
        return math.nan
    return 1000 * value if name.startswith("kernel") else value


def truths(scores: Mapping[str, Any]) -> Html:
    rows = [[called(name), *(one["truth"][key] for key in TRUE_COLUMNS)] for name, one in scores.items()]
    note = f"Portraits are drawn, so the true translation of every pair is known. {NOTE}"
    return report.table(["answer", *TRUE_COLUMNS.values()], rows, note, strong=1)


def times(record: Mapping[str, Any]) -> Html:
    timing = record["timings"]
    rows = [
        [phase, f"{one['pictures']:,}", f"{one['seconds']:,.2f}", f"{one['pictures_per_second']:,.0f}"]
        for phase, one in timing["phases"].items()
    ]
    memory = timing["peak_memory"].get("process")
    note = (
        f"Seconds are summed over the processes ({record['settings']['workers']}), on {record['machine']}; "
        f"all took {timing['wall']:,.1f} s by the clock"
        + (f", and at most {memory / 2**20:,.0f} MiB in the main process." if memory else ".")
    )
    return report.table(["phase", "pictures", "seconds", "pictures a second"], rows, note)
