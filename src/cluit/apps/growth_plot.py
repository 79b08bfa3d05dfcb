"""Measured growth beside its law: small plots with logarithmic axes, as one SVG by itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cluit.apps.charts import label, tick
from cluit.apps.report import escape

WIDTH, HEIGHT = 360, 230  # of one plot
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 34, 44
COLUMNS = 2
STYLE = (
    "text{font:12px sans-serif;fill:#333}.title{font-weight:bold}path,line{fill:none}"
    ".grid{stroke:#ddd}.law{stroke:#b5651d;stroke-dasharray:5 4;stroke-width:1.5}"
    ".measured{stroke:#2f5d8a;stroke-width:2}circle{fill:#2f5d8a}"
)


@dataclass(frozen=True)
class Panel:
    """One plot."""

    title: str
    x_label: str
    points: Sequence[tuple[float, float]]
    """Positive (x, y), in the order of x; none where nothing was measured."""
    base: float
    """The x at which the law is put through the measured y."""
    laws: Sequence[float]
    """Expected exponents."""
    fitted: float | None
    last: float | None
    """The exponent between the last two points alone."""

    @property
    def note(self) -> str:
        """Below the title."""
        expected = " to ".join(f"{law:g}" for law in self.laws)
        fitted = "" if self.fitted is None else f"exponent {self.fitted:.2f}, "
        last = "" if self.last is None else f"at the end {self.last:.2f}, "
        return f"{fitted}{last}expected {expected}"


def plot(panels: Sequence[Panel]) -> str:
    """All panels, two in a row."""
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT
    parts = [
        f'<g transform="translate({WIDTH * (i % COLUMNS)},{HEIGHT * (i // COLUMNS)})">{drawn(panel)}</g>'
        for i, panel in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><style>{STYLE}</style><rect width="{width}" height="{height}" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


def drawn(panel: Panel) -> str:
    """One panel with its upper left corner at the origin."""
    title = f'<text class="title" x="{LEFT}" y="14">{escape(panel.title)}</text>'
    title += f'<text x="{LEFT}" y="28">{escape(panel.note)}</text>'
    if not panel.points:
        return title + label(WIDTH / 2, HEIGHT / 2, "not measured on this system")
    xs, ys = zip(*panel.points, strict=True)
    start = dict(panel.points).get(panel.base, ys[0])
    laws = [[(x, start * (x / panel.base) ** law) for x in xs] for law in panel.laws]
    everything = [*ys, *(y for law in laws for _, y in law)]
    x_ends, y_ends = around(xs, 1.25), around(everything, 1.25, 10)

    def at(x: float, y: float) -> tuple[float, float]:
        across = share(x, x_ends)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - share(y, y_ends) * (
            HEIGHT - TOP - BOTTOM
        )

    parts = [title, label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, panel.x_label)]
    parts += [label(at(x, y_ends[0])[0], HEIGHT - BOTTOM + 18, f"{x:,g}") for x in xs]
    for y in round_numbers(*y_ends):
        height = at(x_ends[0], y)[1]
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>'
        )
        parts.append(label(LEFT - 6, height + 4, tick(y), "end"))
    parts += [path("law", [at(*point) for point in law]) for law in laws]
    places = [at(*point) for point in panel.points]
    parts.append(path("measured", places))
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in places]
    return "".join(parts)


def path(kind: str, places: Sequence[tuple[float, float]]) -> str:
    return f'<path class="{kind}" d="M{"L".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'


def around(values: Sequence[float], margin: float, least: float = 1) -> tuple[float, float]:
    """Ends that have these positive values well between them, and one ``least`` times the other."""
    low, high = min(values) / margin, max(values) * margin
    more = max(1, least * low / high) ** 0.5
    return low / more, high * more


def share(value: float, ends: tuple[float, float]) -> float:
    """How far along a logarithmic axis."""
    low, high = map(math.log, ends)
    return (math.log(value) - low) / (high - low)


def round_numbers(low: float, high: float) -> list[float]:
    """Some round numbers between these, evenly apart on a logarithmic axis."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        found = [d * 10.0**e for e in exponents for d in digits if low <= d * 10.0**e <= high]
        if len(found) >= 3:
            return found
    return found
