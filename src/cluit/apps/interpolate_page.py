"""The page of a walk through styles: its frames, how even they are, and what stays of the source."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluit.apps import report
from cluit.apps.charts import curves
from cluit.apps.report import Html
from cluit.apps.thumbnails import Cell, wrapped
from cluit.apps.walks import PAIRS

WALK, FADE = "walk", "fade to the reference"


def document(
    record: Mapping[str, Any],
    rows: Sequence[Sequence[Cell]],
    film: Path | None,
) -> str:
    """rows: of the strip, one for each reference. film: the animation's file."""
    settings = record["settings"]
    reached = "each reference in turn" if len(rows) > 1 else report.place(settings["references"][0])
    return report.page(
        "From style to style",
        f"{report.place(settings['source'])}, painted by the model {report.place(settings['model'])} in its "
        f"own style, then in styles on a straight line to that of {reached}. "
        "The structure is the source's in every frame.",
        report.section("Frames", *map(wrapped, rows)),
        *([report.section("In motion", moving(film))] if film else []),
        report.section("Evenness", *evenness(record)),
        report.section("Structure", *structure(record)),
        *([report.section("Over held-out portraits", held_out(record))] if record["held_out"] else []),
        report.section(
            "Time", report.paragraph(f"{record['seconds']:.1f} s in all, on {record['machine']}.")
        ),
    )


def moving(film: Path) -> Html:
    """The animation within the page."""
    data = base64.b64encode(film.read_bytes()).decode()
    kind, caption = film.suffix.lower()[1:], report.escape(film.name)
    look = 'style="display:block;width:16rem;max-width:100%;margin:0 auto"'
    if kind == "mp4":
        address = f'src="data:video/mp4;base64,{data}"'
        shown = f"<video {look} {address} autoplay loop muted playsinline controls></video>"
    else:
        shown = f'<img {look} alt="the walk as an animation" src="data:image/{kind};base64,{data}">'
    return Html(f"<figure>{shown}<figcaption>{caption}</figcaption></figure>")


def lines(record: Mapping[str, Any], key: str) -> dict[str, list[tuple[float, float]]]:
    """A measure along the way, of the walk and of the fade."""
    first = 1 if key == "step" else 0
    return {
        name: [(float(i), value) for i, value in enumerate(record[way][key], first)]
        for name, way in ((WALK, "walk"), (FADE, "fade"))
    }


def evenness(record: Mapping[str, Any]) -> list[Html]:
    """Steps in a perceptual distance, and the largest over their mean, where there is more than one."""
    names = [Path(name).name for name in record["settings"]["references"]]
    rows = [
        [f"to {name}", *pair]
        for name, *pair in zip(names, record["walk"]["smoothness"], record["fade"]["smoothness"], strict=True)
    ]
    note = (
        "Smoothness: the largest step from frame to frame over the mean step, by Euclidean distance between "
        f"{record['settings']['features']} features. 1 where all steps are equal, "
        f"{record['settings']['frames'] - 1} where everything happens at once. The fade mixes the pixels of "
        "the two pictures, which in between shows neither. –: nothing moves."
    )
    return [
        *([report.table(["line", WALK, FADE], rows, note)] if record["settings"]["frames"] > 2 else []),
        curves(
            "Step from the frame before",
            lines(record, "step"),
            "frame",
            f"distance between {record['settings']['features']} features",
        ),
    ]


def structure(record: Mapping[str, Any]) -> list[Html]:
    """What is kept of the source along the way; the pose, where a reader can tell it."""
    title = "Structure kept of the source"
    charts = [curves(title, lines(record, "structure"), "frame", "correlation of edge directions")]
    text = (
        "Structure kept: the correlation of edge directions with the source's, 1 for the source itself, "
        "about 0 for a picture that has nothing to do with it; what a style changes in shape lowers it too. "
    )
    if "pose" in record["walk"]:
        title = "Pose: distance from the source's"
        charts.append(curves(title, lines(record, "pose"), "frame", "in standard deviations of poses"))
        text += (
            "Pose: a reader of portraits looks at every frame; the mean difference of position, size, tilt "
            "and turn from what it reads in the source, in standard deviations of portraits' poses."
        )
    return [report.row(*charts), report.paragraph(text)]


def held_out(record: Mapping[str, Any]) -> Html:
    """Means over many pairs, which one walk cannot tell."""
    measured = record["held_out"]
    rows = []
    for name, way in ((WALK, "walk"), (FADE, "fade")):
        kept, pose = measured[way]["structure"], measured[way]["pose"]
        middle = len(pose) // 2
        cells = [kept[0], kept[middle], kept[-1], pose[0], pose[middle], pose[-1]]
        rows.append([name, measured[way]["smoothness"][0], *cells])
    header = ["", "smoothness", "structure: start", "middle", "end", "pose off: start", "middle", "end"]
    note = (
        f"Means over {PAIRS} pairs of held-out portraits of different species. Pose off: from the source's "
        "true pose, in standard deviations of portraits' poses; the reader alone is off by "
        f"{measured['reader']['pose'][0]:.3f} on the sources themselves."
    )
    return report.table(header, rows, note, strong=1)
