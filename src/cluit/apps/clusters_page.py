"""The page of learned clusters: how large they are, what is in them, and how they agree with labels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from cluit.apps import report
from cluit.apps.gallery import Gallery, left_out
from cluit.apps.report import Html
from cluit.apps.thumbnails import GROUND, SIDE, Cell, thumbnail, wrapped


def rows_of(record: Mapping[str, Any], gallery: Gallery) -> list[list[Cell]]:
    """A row for each cluster: what it is in words, below nothing, then the pictures that it is surest of."""
    number = {name: i for i, name in enumerate(gallery.names)}
    rows = []
    for one in record["clusters"]:
        wanted = [number[shown["name"]] for shown in one["surest"]]
        drawn = dict(zip(*gallery.read(wanted), strict=True)) if wanted else {}
        row: list[Cell] = [
            (Image.new("RGB", (SIDE, SIDE), GROUND), [f"cluster {one['number']}", *words(one)])
        ]
        for shown, place in zip(one["surest"], wanted, strict=True):
            row.append((thumbnail(drawn[place]), [f"{shown['probability']:.3f}", shown["name"]]))
        rows.append(row)
    return rows


def words(one: Mapping[str, Any]) -> list[str]:
    """A cluster's size and its most frequent label, where labels are known."""
    if not one["size"]:
        return ["empty"]
    size = f"{one['size']:,} ({one['share']:.1%})"
    return [size, f"{called(one['label'])} {one['label_share']:.0%}"] if "label" in one else [size]


def called(label: str) -> str:
    """What a page calls a class."""
    return label or "no subfolder"


def listing(record: Mapping[str, Any]) -> list[str]:
    """The clusters and their scores as lines for a terminal."""
    lines = [f"cluster {one['number']}: {', '.join(words(one))}" for one in record["clusters"]]
    for name, scores in record["scores"].items():
        told = (
            f"{measure.replace('_', ' ')} {value:.3f}"
            for measure, value in scores.items()
            if value is not None
        )
        lines.append(f"{name}: {', '.join(told)}")
    return lines


def document(record: Mapping[str, Any], rows: Sequence[Sequence[Cell]]) -> str:
    """rows: of `rows_of`."""
    settings, all_of_them = record["settings"], record["clusters"]
    empty = sum(not one["size"] for one in all_of_them)
    left_empty = f" ({empty} of them empty)" if empty else ""
    sheets = [
        report.section(
            f"Cluster {one['number']}: {', '.join(words(one))}",
            wrapped(row[1:]) if one["size"] else report.paragraph("No picture is in it."),
        )
        for one, row in zip(all_of_them, rows, strict=True)
    ]
    return report.page(
        "Learned clusters",
        f"{record['pictures']:,} pictures of {report.place(settings['data'])}, sorted into "
        f"{len(all_of_them)} clusters{left_empty} by the model {report.place(settings['model'])}. Below "
        "each stand the pictures that it is surest of, with the probability that it gives the cluster.",
        report.section("Sizes", sizes(record)),
        *([report.section("Clusters and labels", labels(record))] if record["scores"] else []),
        *sheets,
        report.section(
            "Time",
            report.paragraph(f"Sorted in {record['seconds']['assignment']:.1f} s, on {record['machine']}."),
        ),
        *left_out(record["skipped"]),
    )


def sizes(record: Mapping[str, Any]) -> Html:
    header = ["cluster", "pictures", "share"]
    header += ["most frequent label", "its share"] if record["classes"] else []
    rows = [
        [
            str(one["number"]),
            f"{one['size']:,}",
            f"{one['share']:.1%}",
            *label_cells(one, known=bool(record["classes"])),
            one.get("probability", math.nan),
        ]
        for one in record["clusters"]
    ]
    note = "Probability: of its own cluster, as the model gives it to a picture; the mean over the cluster."
    return report.table([*header, "probability"], rows, note)


def label_cells(one: Mapping[str, Any], known: bool) -> list[str]:
    """A cluster's most frequent label and that label's share of it. known: whether there are labels."""
    if not known:
        return []
    return [called(one["label"]), f"{one['label_share']:.0%}"] if one["size"] else ["–", "–"]


def labels(record: Mapping[str, Any]) -> Html:
    rows = [
        [name, *(math.nan if value is None else value for value in scores.values())]
        for name, scores in record["scores"].items()
    ]
    note = (
        "Labels: subfolders, or species. Accuracy: the share of pictures in the cluster of their label, when "
        "each cluster has at most one label and each label at most one cluster, in the best way. Purity: the "
        "share of pictures of their cluster's most frequent label; more clusters can only raise it. Mutual "
        "information: normalised by the mean of both entropies; 0 where clusters say nothing of labels, 1 "
        "where each tells the other."
    )
    table = report.table(["sorted into", "accuracy", "purity", "mutual information"], rows, note, strong=1)
    return Html(table + "".join(map(report.paragraph, record["notes"])))
