"""The tables of a comparison: scores with their spread, the best of them and what is even with it."""

from collections.abc import Mapping, Sequence
from typing import Any

from cluit.apps.compare_entry import reasons
from cluit.apps.compare_plan import Row
from cluit.apps.evaluate_page import called
from cluit.apps.monitor import POSE
from cluit.apps.planned import Outcome
from cluit.apps.scorer import OF_REFERENCE, Record, known_scores
from cluit.apps.tables import Table, comparison, mean_cell
from cluit.apps.truths import COLUMNS

DISTANCES = {
    "mean_class_frechet": "mFID ({})",
    "frechet": "Fréchet distance ({})",
    "kernel": "kernel × 1000 ({})",
}
"""Of each feature network, and what a table calls them; the second only where there is no first."""
COARSE = {
    "reference": "the reference's species",
    "sibling": "another species of its label",
    "other": "a species of another label",
    "told_apart": "told apart",
}
"""Shares of `species_confusion`, where several species have one label, and what a table calls them."""
LOWER = (*DISTANCES, "mae", "mae_face", "mae_background")
HIGHER = ("accuracy", "ssim_face", "species", *POSE)
"""Scores with a best row; of the others neither end is good by itself."""
TRAINED, NOT_TRAINED, FAILED = "trained", "not trained", "failed"


def figures(record: Record) -> dict[str, float]:
    """The scores of one answer that tables show, by name; of a network as ``score:network``."""
    flat = dict[str, float]()
    for network, one in record["networks"].items():
        name = "frechet" if one["mean_class_frechet"] is None else "mean_class_frechet"
        flat[f"{name}:{network}"] = one[name]
        if one["kernel"] is not None:
            flat[f"kernel:{network}"] = 1000 * one["kernel"]
    return {**flat, **known_scores(record)}


def by_class(record: Record) -> dict[str, dict[str, float]]:
    """The same for the scores that each class has: ``accuracy``, ``frechet:network``, ``species:share``."""
    found = {f"frechet:{name}": dict(one["class_frechet"]) for name, one in record["networks"].items()}
    if record["oracle"] is not None:
        shares = record["oracle"]["each"].items()
        found["accuracy"] = {name: share for name, share in shares if share is not None}
    coarse = (record.get("species") or {}).get("coarse", {})
    for share in COARSE:
        found[f"species:{share}"] = {
            label: one[share] for label, one in coarse.items() if one[share] is not None
        }
    return {name: values for name, values in found.items() if values}


def summaries(
    rows: Sequence[Row], outcomes: Sequence[Outcome], trivial: Mapping[str, Record]
) -> list[dict[str, Any]]:
    """What each row came to, as JSON values.

    Scores are of the seeds that count as trained, see `compare_entry`; their ``difference`` is from the row
    that is best by the mean.
    """
    summed = [
        summary(row, [one for one in outcomes if one.run.row == i], trivial) for i, row in enumerate(rows)
    ]
    for name in dict.fromkeys(name for one in summed for name in one["values"]):
        having = [one for one in summed if name in one["values"]]
        best = best_of(name, having)
        for one in having:
            values, reference = one["values"][name], () if best is None else best["values"][name]
            one["scores"][name] = {**comparison(values, reference, one is best), "best": one is best}
    for one in summed:
        del one["values"]
    return summed


def summary(row: Row, found: Sequence[Outcome], trivial: Mapping[str, Record]) -> dict[str, Any]:
    """One row by itself: its runs, and the values of all scores over the seeds that count as trained."""
    runs, trained = [], list[Record]()
    for one in found:
        record = one.scores.get("record")
        why = [] if record is None else reasons(one.scores["entry"], record["truth"], trivial)
        if record is None:
            state = NOT_TRAINED if one.diverged else FAILED
        else:
            state = NOT_TRAINED if why else TRAINED
            trained += [] if why else [record]
        runs.append(
            {
                "seed": one.run.seed,
                "folder": one.run.folder.name,
                "steps": one.run.done,
                "pictures": one.run.done * one.run.settings.run.batch_size,
                "seconds": one.seconds,
                "failed": one.failure is not None,
                "state": state,
                "reasons": why if one.failure is None else [one.failure],
                "entry": one.scores.get("entry"),
                "scores": record and figures(record),
            }
        )
    states = [run["state"] for run in runs]
    flat = [figures(record) for record in trained]
    classes = [by_class(record) for record in trained]
    return {
        "row": row.title,
        "method": row.method,
        "changes": dict(row.changes),
        "state": next(state for state in (TRAINED, NOT_TRAINED, FAILED) if state in states),
        "runs": runs,
        "values": {name: [one[name] for one in flat] for name in (flat[0] if flat else ())},
        "scores": {},
        "classes": {
            score: {name: mean_of([one[score].get(name) for one in classes]) for name in each}
            for score, each in (classes[0] if classes else {}).items()
        },
    }


def mean_of(values: Sequence[float | None]) -> float | None:
    """None where there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def best_of(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The row with the best mean; None for a single row, and for a score without a good end."""
    score = name.partition(":")[0]
    if score not in LOWER + HIGHER or len(rows) < 2:
        return None
    sign = 1 if score in LOWER else -1
    return min(rows, key=lambda row: sign * sum(row["values"][name]) / len(row["values"][name]))


def columns(record: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, str]:
    """Of these scores, networks left out, those that any answer has, with what a table calls them."""
    titles = {
        "accuracy": f"accuracy ({(record['oracle'] or {}).get('name')})",
        "structure_kept": "structure kept",
        **COLUMNS,
        **{OF_REFERENCE + name: f"the reference's {name}" for name in POSE},
    }
    answers = [*record["rows"], *record["trivial"].values()]
    found = {}
    for name in dict.fromkeys(name for answer in answers for name in answer["scores"]):
        score, _, network = name.partition(":")
        if score in wanted:
            found[name] = DISTANCES[score].format(network) if network else titles[score]
    return found


def scores_table(record: Mapping[str, Any], wanted: Sequence[str]) -> Table:
    """Mean ± deviation of these scores of each row and, below, of each trivial answer."""
    titles = columns(record, wanted)
    rows = [
        [standing(row), *(row_cell(name, row["scores"].get(name)) for name in titles)]
        for row in record["rows"]
    ]
    for answer, one in record["trivial"].items():
        values = (one["scores"].get(name) for name in titles)
        cells = (
            "–" if value is None else f"{value:.{decimals(name)}f}"
            for name, value in zip(titles, values, strict=True)
        )
        rows.append([called(answer), *cells])
    return Table(["row", *titles.values()], rows)


def standing(row: Mapping[str, Any]) -> str:
    """A row's name, with what has to be known where not all of its seeds are in the means."""
    trained = sum(run["state"] == TRAINED for run in row["runs"])
    if not trained:
        return f"{row['row']}: {row['state']}"
    return (
        row["row"] if trained == len(row["runs"]) else f"{row['row']}, {trained} of {len(row['runs'])} seeds"
    )


def row_cell(name: str, score: Mapping[str, Any] | None) -> str:
    """With a word on how it stands beside the best, where there is a spread to tell by."""
    text = mean_cell(score, decimals(name))
    if score is None or score["deviation"] is None:
        return text
    if score["best"]:
        return f"{text} best"
    return f"{text} even" if score["beyond_spread"] is False else text


def decimals(name: str) -> int:
    """Distances and errors are tens, shares and correlations at most 1."""
    return 2 if name.partition(":")[0] in LOWER else 3


def class_tables(record: Mapping[str, Any], *, coarse: bool) -> list[Table]:
    """Of each score that classes have: rows by classes. coarse: of `COARSE` shares, or of all others."""
    tables = []
    for score in dict.fromkeys(score for row in record["rows"] for score in row["classes"]):
        if score.startswith("species:") != coarse:
            continue
        having = [row for row in record["rows"] if score in row["classes"]]
        classes = list(dict.fromkeys(name for row in having for name in row["classes"][score]))
        name, _, of = score.partition(":")
        digits = 2 if name in DISTANCES else 3
        title = COARSE[of] if coarse else f"{DISTANCES[name].format(of) if of else name} by class"
        lines = [
            [standing(row), *(number(row["classes"][score].get(one), digits) for one in classes)]
            for row in having
        ]
        tables.append(Table([title, *classes], lines))
    return tables


def number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
