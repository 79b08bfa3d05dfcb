"""Charts for pages: lines and bars as SVG within the page itself, in the page's own colours."""

import math
from collections.abc import Iterable, Mapping, Sequence

from cluit.apps.report import Html, escape, number

Points = Sequence[tuple[float, float]]
"""(x, y), in the order of x."""

WIDTH, HEIGHT = 360, 220  # of a chart, in its own units: near a phone's pixels, so that text stays readable
LEFT, RIGHT, TOP, BOTTOM = 48, 20, 10, 44
BAR, GAP = 9, 8  # heights
NAMES = LEFT + 70  # where bars begin: names stand before it
MOST_POINTS = 400
COLOURS = 6


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

    parts = [label((WIDTH + LEFT) / 2, HEIGHT - 4, x_label)]
    inside = [x for x in x_axis if x_ends[0] <= x <= x_ends[1]]
    parts += [label(at(x, 0)[0], HEIGHT - BOTTOM + 20, tick(x)) for x in inside]
    for height, value in ((at(0, y)[1], y) for y in y_axis):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(label(LEFT - 6, height + 4, tick(value), "end"))
    for i, points in enumerate(drawn.values()):
        smooth = smoothed(points)
        parts += [line([at(*point) for point in points], f"raw s{i % COLOURS}")] if smooth != points else []
        parts.append(line([at(*point) for point in smooth], f"s{i % COLOURS}"))
    words = f"<div>{escape(note)}</div>" if note else ""
    return chart(title, HEIGHT, parts, words if list(drawn) == [title] else keys(drawn) + words)


def line(places: Points, kind: str) -> str:
    """Through these places of the chart; a single one is a dot."""
    if len(places) == 1:
        (x, y), *_ = places
        return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    return f'<path class="{kind}" d="M{"L".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'


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
            if not math.isnan(shares[name]):  # of no pictures there is no share
                parts.append(
                    f'<rect class="s{j}" style="fill: currentColor; stroke: none" x="{NAMES}" '
                    f'y="{top + j * BAR:.1f}" height="{BAR - 1}" width="{at(shares[name]) - NAMES:.1f}"/>'
                )
    return chart(title, height, parts, keys(series))


def chart(title: str, height: int, parts: Sequence[str], legend: str) -> Html:
    """SVG ``parts`` under their title, and above a legend where there is one."""
    below = f"<figcaption>{legend}</figcaption>" if legend else ""
    return Html(
        f'<figure class="chart"><strong>{escape(title)}</strong><svg viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>{below}</figure>'
    )


def keys(names: Iterable[str]) -> str:
    """Names beside the colours in which they are drawn."""
    return "".join(f'<span class="key s{i % COLOURS}">{escape(name)}</span>' for i, name in enumerate(names))


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


def tick(value: float) -> str:
    """As `number`, thousands as k and millions as M, so that labels keep apart."""
    for unit, sign in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= max(unit, 1e4):
            return f"{value / unit:g}{sign}"
    return number(value)
