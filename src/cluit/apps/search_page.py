"""The page of a search: neighbours as pictures, and what the search is worth."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from cluit.apps import report
from cluit.apps.gallery import Gallery, left_out
from cluit.apps.report import Html
from cluit.apps.retrieval import NO_PRECISION, PROBES, K
from cluit.apps.thumbnails import Cell, thumbnail, wrapped


def rows_of(
    queries: Sequence[Mapping[str, Any]], pictures: Sequence[Tensor], gallery: Gallery
) -> list[list[Cell]]:
    """One row for each query: itself, then its neighbours with their similarities."""
    number = {name: i for i, name in enumerate(gallery.names)}
    rows = []
    for query, picture in zip(queries, pictures, strict=True):
        row: list[Cell] = [(thumbnail(picture), ["query", report.place(query["query"])])]
        wanted = [number[one["name"]] for one in query["nearest"]]
        drawn = dict(zip(*gallery.read(wanted), strict=True))
        for one, place in zip(query["nearest"], wanted, strict=True):
            row.append((thumbnail(drawn[place]), [f"{one['similarity']:.3f}", one["name"]]))
        rows.append(row)
    return rows


def document(record: Mapping[str, Any], rows: Sequence[Sequence[Cell]]) -> str:
    settings, seconds = record["settings"], record["seconds"]
    return report.page(
        "Pictures of the same style",
        f"The {settings['k']} pictures among {record['pictures']:,} of {report.place(settings['data'])} "
        f"whose style codes, by the model {report.place(settings['model'])}, are most like those of each "
        "query: by cosine, best first"
        + (", searched in an approximate graph." if settings["approximate"] else ", searched exactly."),
        report.section("Nearest styles", *map(wrapped, rows)),
        report.section("Precision", *precision(record)),
        *([report.section("The same style in another pose", poses(record))] if another(record) else []),
        report.section(
            "Time",
            report.paragraph(
                f"Codes {'read from the index and checked' if record['index'] == 'reused' else 'made'} in "
                f"{seconds['codes']:.1f} s, {len(rows)} searches in {seconds['search']:.3f} s, figures "
                f"in {seconds['scores']:.1f} s, on {record['machine']}."
            ),
            *approximate(record),
        ),
        *left_out(record["skipped"]),
    )


def another(record: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    """The figures of searches for another pose; empty where the pictures are no portraits."""
    return record["scores"]["another_pose"]


def precision(record: Mapping[str, Any]) -> list[Html]:
    """By class and representation, or why there is none."""
    table = record["scores"]["precision_at_10"]
    if not table:
        return [report.paragraph(f"{NO_PRECISION}.")]
    ways = list(table)
    rows = [
        [name or "mean over classes", *(table[way][name] for way in ways)]
        for name in next(iter(table.values()))
    ]
    note = (
        f"Precision@{K}: the share of a picture's {K} nearest others, by cosine, that are of its class; the "
        f"mean over {record['compared']:,} pictures. Labels are used for this alone. Chance: the share that "
        f"a blind search finds. A class of m pictures cannot reach more than (m - 1) / {K}."
    )
    return [report.table(["class", *ways], rows, note, strong=1)]


def poses(record: Mapping[str, Any]) -> Html:
    """Whether codes say who it is, not how the head is held."""
    rows = [
        [
            way,
            *(scores[name] for name in ("recall_at_1", "recall_at_10")),
            f"{scores['median_rank']:.0f}",
            scores["style_over_pose"],
        ]
        for way, scores in another(record).items()
    ]
    others = next(iter(another(record).values()))["distractors"]
    note = (
        f"{PROBES} new animals, each drawn in two poses: the one is looked for with the other among "
        f"{others:,.0f} portraits of other styles. Found first and among ten: shares. Median rank: 1 at "
        "best. Style over pose: the share that is nearer to itself in another pose than to another animal in "
        "the same pose; 0.5 by chance."
    )
    header = ["representation", "found first", "among ten", "median rank", "style over pose"]
    return report.table(header, rows, note, strong=1)


def approximate(record: Mapping[str, Any]) -> list[Html]:
    """How much an approximate search misses, where it was one."""
    if "approximate_recall" not in record["scores"]:
        return []
    share = record["scores"]["approximate_recall"]
    return [report.paragraph(f"The approximate search finds {share:.1%} of the true neighbours.")]
