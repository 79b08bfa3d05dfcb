"""The one place that makes pages: self-contained HTML, without network, for phone and desk, dark and light.

Every function below but the last returns markup that another takes; whatever is a plain ``str`` is escaped.
"""

import base64
import html
import io
import json
import math
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NewType

from PIL import Image

from cluit.core.files import atomic_file, disk_errors

Html = NewType("Html", str)
"""Text that is markup already."""

Points = Sequence[tuple[float, float]]
"""(x, y), in the order of x."""

WIDTH, HEIGHT = 420, 240  # of a chart, in its own units: near a phone's pixels, so that text stays readable
LEFT, RIGHT, TOP, BOTTOM = 48, 24, 10, 40
BAR, GAP = 9, 8  # heights
NAMES = LEFT + 70  # where bars begin: names stand before it
MOST_POINTS = 400
COLOURS = 6

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5d6570; --line: #dfe2e6;
  --ground: #fcfcfa; --card: #ffffff;
  --c0: #1f6fb2; --c1: #d1571b; --c2: #2c8a4b; --c3: #8a4fb0; --c4: #b0263f; --c5: #6b6f13; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --soft: #9aa3ad; --line: #363b42; --ground: #15171a; --card: #1d2024;
    --c0: #6db3ee; --c1: #f0945a; --c2: #6fcf8c; --c3: #c79be8; --c4: #f07f93; --c5: #cdd164; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--ground); }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p { max-width: 44rem; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); gap: 1rem;
  align-items: start; margin: 1rem 0; }
figure, pre { margin: 0; padding: .7rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; }
pre, .scroll { overflow-x: auto; margin: 1rem 0; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; image-rendering: pixelated; }
figcaption, .note { color: var(--soft); font-size: .9rem; }
figcaption { margin-top: .5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
tr.strong td { font-weight: 600; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; stroke: none; }
svg line { stroke: var(--line); stroke-width: 1; }
svg path { fill: none; stroke-width: 2; }
svg circle { fill: currentColor; }
svg .raw { opacity: .35; stroke-width: 1; }
.key { display: inline-block; margin-right: 1rem; }
.key::before { content: ""; display: inline-block; width: 1.2em; height: 3px; margin-right: .4em;
  vertical-align: middle; background: currentColor; }
""" + "".join(f".s{i} {{ stroke: var(--c{i}); color: var(--c{i}); }}\n" for i in range(COLOURS))


def escape(text: object) -> Html:
    """Any text as markup that shows it."""
    return Html(html.escape(str(text)))


def paragraph(text: str) -> Html:
    return Html(f"<p>{escape(text)}</p>")


def command(line: str) -> Html:
    """A line for the reader's own terminal."""
    return Html(f"<pre><code>{escape(line)}</code></pre>")


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
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = [
        "".join(
            f"<td>{number(cell, '#') if isinstance(cell, float) else escape(cell)}</td>" for cell in cells
        )
        for cells in rows
    ]
    body = "".join(f"<tr{' class=strong' if i < strong else ''}>{line}</tr>" for i, line in enumerate(lines))
    return Html(
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f'<p class="note">{escape(note)}</p>'
    )


def number(value: float, form: str = "") -> str:
    """Three significant digits, without an exponent where a reader needs none; – for what is not a number.

    form: ``#`` keeps zeros at the end, so that columns line up.
    """
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:{form}.3g}"


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

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_axis[0]) / (x_axis[-1] - x_axis[0])
        up = (y - y_axis[0]) / (y_axis[-1] - y_axis[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def path(points: Points, kind: str) -> str:
        if len(points) == 1:
            x, y = at(*points[0])
            return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        places = "L".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
        return f'<path class="{kind}" d="M{places}"/>'

    parts = [label((WIDTH + LEFT) / 2, HEIGHT - 4, x_label)]
    parts += [label(at(x, 0)[0], HEIGHT - BOTTOM + 16, number(x)) for x in x_axis]
    for height, value in ((at(0, y)[1], y) for y in y_axis):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(label(LEFT - 6, height + 4, number(value), "end"))
    for i, points in enumerate(drawn.values()):
        smooth = smoothed(points)
        parts += [path(points, f"raw s{i % COLOURS}")] if smooth is not points else []
        parts.append(path(smooth, f"s{i % COLOURS}"))
    keys = "".join(f'<span class="key s{i % COLOURS}">{escape(name)}</span>' for i, name in enumerate(drawn))
    words = f"<div>{escape(note)}</div>" if note else ""
    legend = words if list(drawn) == [title] else f"{keys}{words}"
    legend = f"<figcaption>{legend}</figcaption>" if legend else ""
    return Html(
        f'<figure><strong>{escape(title)}</strong><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>{legend}</figure>'
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
        f'<figure style="max-width: 34rem"><strong>{escape(title)}</strong>'
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
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{paragraph(lead)}{''.join(sections)}</body></html>\n"
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
