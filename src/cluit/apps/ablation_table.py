"""The table of an ablation: means and deviations over seeds, and which differences exceed them."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from cluit.apps.ablation_runs import Row
from cluit.apps.monitor import POSE
from cluit.apps.planned import Outcome
from cluit.apps.scorer import OF_REFERENCE
from cluit.apps.tables import Table, comparison, mean_cell
from cluit.apps.truths import COLUMNS

RULE = (
    "A difference from the base row is beyond the spread where that of the means is larger than the sum of "
    "both standard deviations over seeds; of one seed there is no spread."
)
DISTANCES = ("mean_class_frechet", "frechet")
LOWER_IS_BETTER = (*DISTANCES, "mae", "mae_face", "mae_background")
QUALITY = (*DISTANCES, "accuracy", "species", "structure_kept")
TRUTH = ("mae_face", "mae_background", "mae", "ssim_face")


def summaries(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Each row with the `comparison` of every score that it has, as JSON values."""
    by_row = [[one for one in outcomes if one.run.row == i] for i in range(len(rows))]
    base = next(found for row, found in zip(rows, by_row, strict=True) if row.base)
    return [
        {
            "row": row.title,
            "changes": dict(row.changes),
            "base": row.base,
            "paper": row.paper and dict(zip(("mFID", "accuracy"), row.paper, strict=True)),
            "runs": [
                {
                    "seed": one.run.seed,
                    "folder": one.run.folder.name,
                    "seconds": one.seconds,
                    "failure": one.failure,
                }
                for one in found
            ],
            "scores": {
                name: comparison(values_of(found, name), values_of(base, name), row.base)
                for name in dict.fromkeys(name for one in found for name in one.scores)
            },
        }
        for row, found in zip(rows, by_row, strict=True)
    ]


def values_of(outcomes: Sequence[Outcome], name: str) -> list[float]:
    """One score of the seeds that did not fail."""
    return [one.scores[name] for one in outcomes if name in one.scores]


def columns(record: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, str]:
    """Of these scores those that any row has, with what a table calls them."""
    titles = {
        "mean_class_frechet": f"mFID ({record['network']})",
        "frechet": f"Fréchet distance ({record['network']})",
        "accuracy": f"accuracy ({record['oracle']})",
        "structure_kept": "structure kept",
        **COLUMNS,
        **{OF_REFERENCE + name: name for name in POSE},
    }
    had = {name for row in record["rows"] for name in row["scores"]}
    return {name: titles[name] for name in wanted if name in had}


def means(record: Mapping[str, Any], wanted: Sequence[str], of: str = "row") -> Table:
    """Mean ± deviation of these scores; – where no seed came through. of: the title of the first column."""
    titles = columns(record, wanted)
    rows = [
        [row["row"], *(mean_cell(row["scores"].get(name), decimals(name)) for name in titles)]
        for row in record["rows"]
    ]
    return Table([of, *titles.values()], rows)


def differences(record: Mapping[str, Any], wanted: Sequence[str]) -> Table:
    """From the base row, and whether they are beyond the spread."""
    titles = columns(record, wanted)
    base = next(row["row"] for row in record["rows"] if row["base"])
    rows = [
        [row["row"], *(difference_cell(name, row["scores"].get(name)) for name in titles)]
        for row in record["rows"]
        if not row["base"]
    ]
    return Table([f"difference from {base}", *titles.values()], rows)


def decimals(name: str) -> int:
    """Distances and errors are tens, shares and correlations at most 1."""
    return 2 if name in LOWER_IS_BETTER else 3


def difference_cell(name: str, score: Mapping[str, Any] | None) -> str:
    if score is None or score["difference"] is None:
        return "–"
    word = {True: "beyond", False: "within", None: "one seed"}[score["beyond_spread"]]
    return f"{score['difference']:+.{decimals(name)}f} {word}"


def beside_the_paper(record: Mapping[str, Any]) -> tuple[Table, list[str]]:
    """The paper's figures beside these, and which pairs of rows stand in another order."""
    distance = next((name for name in DISTANCES if columns(record, [name])), None)
    share = next((name for name in ("accuracy", "species") if columns(record, [name])), None)
    compared = [
        (theirs, ours) for theirs, ours in (("mFID", distance), ("accuracy", share)) if ours is not None
    ]
    header, sentences = ["row"], list[str]()
    for theirs, ours in compared:
        title = columns(record, [ours])[ours]
        header += [f"paper's {theirs}", title]
        sentences.append(ordering(record["rows"], theirs, ours, title))
    rows = [
        [
            row["row"],
            *(
                cell
                for theirs, ours in compared
                for cell in (f"{row['paper'][theirs]}", mean_cell(row["scores"].get(ours), decimals(ours)))
            ),
        ]
        for row in record["rows"]
    ]
    return Table(header, rows), sentences


def ordering(rows: Sequence[Mapping[str, Any]], theirs: str, ours: str, title: str) -> str:
    """Which pairs of rows are not in the paper's order by a score, and how clearly."""
    known = [row for row in rows if ours in row["scores"]]
    pairs, turned = list(itertools.combinations(known, 2)), list[str]()
    sign = (1 if theirs == "mFID" else -1) * (1 if ours in LOWER_IS_BETTER else -1)
    for a, b in pairs:
        one, other = a["scores"][ours], b["scores"][ours]
        paper = a["paper"][theirs] - b["paper"][theirs]
        if sign * paper * (one["mean"] - other["mean"]) < 0:
            beyond = comparison(one["values"], other["values"])["beyond_spread"]
            word = {True: "beyond the spread", False: "within the spread", None: "one seed"}[beyond]
            turned.append(f"{a['row']} and {b['row']} ({word})")
    text = f"By {title}, {len(pairs) - len(turned)} of {len(pairs)} pairs of rows stand in the paper's order"
    return f"{text}; not so {'; '.join(turned)}." if turned else f"{text}."
