"""The one place that makes pages: self-contained HTML, without network, for phone and desk, dark and light.

What returns `Html` is markup that another function takes; whatever is a plain ``str`` is escaped.
"""

import base64
import html
import io
import json
import math
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, NewType

from PIL import Image

from cluit.core.files import atomic_file, disk_errors

Html = NewType("Html", str)
"""Text that is markup already."""

Points = Sequence[tuple[float, float]]
"""(x, y), in the order of x."""

WIDTH, HEIGHT = 360, 220  # of a chart, in its own units: near a phone's pixels, so that text stays readable
LEFT, RIGHT, TOP, BOTTOM = 48, 20, 10, 44
BAR, GAP = 9, 8  # heights
NAMES = LEFT + 70  # where bars begin: names stand before it
MOST_POINTS = 400
LONG = 18  # letters: a cell with more may break anywhere, others stay on one line
COLOURS = 6

STYLE = files("cluit.apps").joinpath("report.css").read_text("utf-8")
POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)
"""What a browser lets a page do: nothing from a network, whatever stands in it."""


def escape(text: object) -> Html:
    """Any text as markup that shows it."""
    return Html(html.escape(str(text)))


def place(path: object) -> str:
    """How a page names a file or a folder: as the user did, without what only this machine has.

    An absolute path is told from the working folder on, or by its last part; the JSON has it whole.
    """
    given = Path(str(path))
    if not given.is_absolute():
        return str(path)
    here = Path.cwd()
    return str(given.relative_to(here)) if given.is_relative_to(here) else f"…/{given.name}"


def paragraph(text: str) -> Html:
    return Html(f"<p>{escape(text)}</p>")


def command(line: str) -> Html:
    """A line for the reader's own terminal; `place` tells its paths."""
    words = re.findall(r"'[^']*'|[^\s']+|\s+|'", line)  # quotes stay where they are
    told = "".join(
        word.replace(inner, place(inner)) if (inner := word.strip("'")) else word for word in words
    )
    return Html(f"<pre><code>{escape(told)}</code></pre>")


def row(*parts: Html) -> Html:
    """Side by side where the screen is wide enough, else one below the other."""
    return Html(f'<div class="row">{"".join(parts)}</div>')


def section(heading: str, *parts: Html) -> Html:
    return Html(f"<section><h2>{escape(heading)}</h2>{''.join(parts)}</section>")


def figure(picture: Image.Image, caption: str, zoom: int = 1) -> Html:
    """A picture within the page itself, shown ``zoom`` times as large, never wider than the screen."""
    size = f'width="{picture.width * zoom}" height="{picture.height * zoom}"'
    return Html(
        f'<figure><img {size} alt="{escape(caption)}" src="{data_uri(picture)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def data_uri(picture: Image.Image, kind: str = "PNG") -> str:
    """The picture itself as an address."""
    file = io.BytesIO()
    picture.save(file, kind, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]], note: str = "", strong: int = 0) -> Html:
    """Numbers in columns, floats to three digits, and a note below; the first ``strong`` rows stand out."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(
        f"<tr{' class=strong' if i < strong else ''}>{''.join(map(cell, cells))}</tr>"
        for i, cells in enumerate(rows)
    )
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    return Html(
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"</div>{below}"
    )


def cell(value: object) -> str:
    text = number(value, "#") if isinstance(value, float) else str(value)
    return f"<td{' class=long' if len(text) > LONG else ''}>{escape(text)}</td>"


def number(value: float, form: str = "") -> str:
    """Three significant digits, without an exponent where a reader needs none; – for what is not a number.

    form: ``#`` keeps zeros at the end, so that columns line up.
    """
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:{form}.3g}".removesuffix(".")


def tick(value: float) -> str:
    """As `number`, thousands as k and millions as M, so that labels keep apart."""
    for unit, sign in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= max(unit, 1e4):
            return f"{value / unit:g}{sign}"
    return number(value)


def curves(title: str, series: Mapping[str, Points], x_label: str = "step", note: str = "") -> Html:
    """Lines over one pair of axes, at most six. Noisy ones are drawn twice: raw, faint, and smoothed.

    note: a line under the chart, for what the names do not say.
    """
    finite = {name: [p for p in points if math.isfinite(p[1])] for name, points in series.items()}
    drawn = {name: thin(points) for name, points in finite.items() if points}
    if not drawn:
        return Html(f"<figure><figcaption>{escape(title)}: nothing measured yet</figcaption></figure>")
    xs, ys = zip(*(point for points in drawn.values() for point in points), strict=True)
    x_axis, y_axis = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    x_ends = (min(xs), max(xs)) if min(xs) < max(xs) else (x_axis[0], x_axis[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ends[0]) / (x_ends[1] - x_ends[0])
        up = (y - y_axis[0]) / (y_axis[-1] - y_axis[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def path(points: Points, kind: str) -> str:
        if len(points) == 1:
            x, y = at(*points[0])
            return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        places = "L".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
        return f'<path class="{kind}" d="M{places}"/>'

    parts = [label((WIDTH + LEFT) / 2, HEIGHT - 4, x_label)]
    inside = [x for x in x_axis if x_ends[0] <= x <= x_ends[1]]
    parts += [label(at(x, 0)[0], HEIGHT - BOTTOM + 20, tick(x)) for x in inside]
    for height, value in ((at(0, y)[1], y) for y in y_axis):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(label(LEFT - 6, height + 4, tick(value), "end"))
    for i, points in enumerate(drawn.values()):
        smooth = smoothed(points)
        parts += [path(points, f"raw s{i % COLOURS}")] if smooth is not points else []
        parts.append(path(smooth, f"s{i % COLOURS}"))
    keys = "".join(f'<span class="key s{i % COLOURS}">{escape(name)}</span>' for i, name in enumerate(drawn))
    words = f"<div>{escape(note)}</div>" if note else ""
    legend = words if list(drawn) == [title] else f"{keys}{words}"
    legend = f"<figcaption>{legend}</figcaption>" if legend else ""
    return Html(
        f'<figure class="chart"><strong>{escape(title)}</strong><svg viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>{legend}</figure>'
    )


def bars(title: str, series: Mapping[str, Mapping[str, float]]) -> Html:
    """Shares from 0 to 1 as bars that lie below each other: by name, and for each name one of each series."""
    names = list(next(iter(series.values())))
    pitch = len(series) * BAR + GAP
    height = len(names) * pitch + 24

    def at(share: float) -> float:
        return NAMES + share * (WIDTH - RIGHT - NAMES)

    parts = [label(at(share), height - 6, f"{share:.0%}") for share in (0.0, 0.5, 1.0)]
    for x in map(at, (0.0, 0.5, 1.0)):
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 20}"/>')
    for i, name in enumerate(names):
        top = i * pitch + GAP / 2
        parts.append(label(NAMES - 6, top + (pitch - GAP) / 2 + 4, shortened(name), "end"))
        for j, shares in enumerate(series.values()):
            if shares[name] == shares[name]:  # of no pictures there is no share
                parts.append(
                    f'<rect class="s{j}" style="fill: currentColor; stroke: none" x="{NAMES}" '
                    f'y="{top + j * BAR:.1f}" height="{BAR - 1}" width="{at(shares[name]) - NAMES:.1f}"/>'
                )
    keys = "".join(f'<span class="key s{j}">{escape(name)}</span>' for j, name in enumerate(series))
    return Html(
        f'<figure class="chart"><strong>{escape(title)}</strong>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg><figcaption>{keys}</figcaption></figure>'
    )


def shortened(name: str, most: int = 16) -> str:
    """What fits beside a bar."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def label(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def thin(points: Points) -> Points:
    """At most a few hundred points: means of runs of neighbours."""
    length = -(-len(points) // MOST_POINTS)
    runs = (points[i : i + length] for i in range(0, len(points), length))
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def smoothed(points: Points) -> Points:
    """Means over a tenth of the points, centred, over fewer at the ends; a short line stays as it is."""
    if len(points) < 20:
        return points
    reach = len(points) // 20
    windows = (points[max(0, i - reach) : i + reach + 1] for i in range(len(points)))
    return [
        (x, sum(y for _, y in window) / len(window)) for (x, _), window in zip(points, windows, strict=True)
    ]


def ticks(low: float, high: float) -> list[float]:
    """Four to seven round numbers, the first at most ``low``, the last at least ``high``."""
    if high - low <= 1e-9 * abs(high):
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def page(title: str, lead: str, *sections: Html) -> str:
    """The whole document."""
    made_by = ", ".join(f"{name} {escape(which)}" for name, which in versions().items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{paragraph(lead)}{''.join(sections)}<footer>{made_by}</footer></body></html>\n"
    )


def versions() -> dict[str, str]:
    """What the figures depend on beside the settings."""
    import torch

    from cluit.core.release import release

    return {"cluit": release(), "torch": torch.__version__, "python": platform.python_version()}


def write(path: Path, document: str, record: Mapping[str, Any]) -> None:
    """The page at ``path`` and beside it its twin for programs, with suffix ``.json``.

    record: settings, seeds, results and timings, as JSON values; versions and the time are added here.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    twin = json.dumps(finite({"written": now, "versions": versions(), **record}), indent=2, allow_nan=False)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    for target, text in ((path, document), (path.with_suffix(".json"), twin + "\n")):
        with atomic_file(target) as file:
            file.write(text.encode(errors="replace"))  # the name of a file may be no text


def finite(value: Any) -> Any:
    """Nested values with null for NaN and infinity, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
