"""Tables of runs with several seeds: means, their spread, and which differences exceed it."""

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluit.apps import report
from cluit.apps.report import Html
from cluit.core.errors import UserError


@dataclass(frozen=True)
class Table:
    """Text in rows and columns."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        rule = ["---"] + ["---:"] * (len(self.header) - 1)
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (self.header, rule, *self.rows))


def comparison(values: Sequence[float], base: Sequence[float], is_base: bool = False) -> dict[str, Any]:
    """Mean and standard deviation over seeds, the difference from the base row and whether it is beyond the
    spread: larger than the sum of both deviations. None for what there is not."""
    mean, deviation = spread(values)
    of_base, base_deviation = spread(base) if base and not is_base else (None, None)
    difference = None if of_base is None else mean - of_base
    beyond = None
    if difference is not None and deviation is not None and base_deviation is not None:
        beyond = abs(difference) > deviation + base_deviation
    return {
        "values": list(values),
        "mean": mean,
        "deviation": deviation,
        "difference": difference,
        "beyond_spread": beyond,
    }


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation, None of one value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def mean_cell(score: Mapping[str, Any] | None, decimals: int) -> str:
    """Mean ± deviation of a `comparison`; – without one."""
    if score is None:
        return "–"
    mean = f"{score['mean']:.{decimals}f}"
    return mean if score["deviation"] is None else f"{mean} ± {score['deviation']:.{decimals}f}"


@dataclass(frozen=True)
class Part:
    """A heading with tables and what these mean, for a page and for a document alike."""

    heading: str
    tables: Sequence[Table]
    notes: Sequence[str] = ()

    def section(self) -> Html:
        tables = (report.table(table.header, table.rows) for table in self.tables)
        return report.section(self.heading, *tables, *map(report.paragraph, self.notes))

    def markdown(self) -> list[str]:
        """Paragraphs."""
        return [f"### {self.heading}", *(table.markdown().rstrip() for table in self.tables), *self.notes]


def require_replaceable(out: Path, name: str, twin: str, others: Sequence[str]) -> None:
    """UserError where files in ``out`` by the names of results are no earlier results.

    twin: the JSON file that says ``name`` of itself, and has rows; others: the files beside it.
    """
    with suppress(OSError, ValueError, RecursionError):
        before = json.loads((out / twin).read_bytes())
        if isinstance(before, dict) and before.get("name") == name and "rows" in before:
            return
    for path in (out / twin, *(out / other for other in others)):
        if os.path.lexists(path):
            raise UserError(f"{path} is there and no result of {name}; move it away, or choose another --out")
