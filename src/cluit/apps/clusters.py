"""`cluit clusters`: the groups that a model has sorted pictures into by itself, listed and shown."""

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cluit.analysis.clusters import (
    Assignment,
    assignment,
    clustering_accuracy,
    contingency,
    normalised_mutual_information,
    purity,
)
from cluit.apps import report
from cluit.apps.api import Painter, load
from cluit.apps.clusters_page import document, listing, rows_of
from cluit.apps.gallery import Gallery, free_folder, open_gallery
from cluit.apps.thumbnails import sheet
from cluit.apps.translate import write_picture
from cluit.core.errors import UserError
from cluit.core.files import atomic_file, together
from cluit.core.images import to_unit
from cluit.core.machine import describe
from cluit.core.types import ClusterAssigner

PAGE, TWIN, SHEET, TABLE = "index.html", "index.json", "sheet.png", "assignments.csv"
MOST_SHOWN = 100  # pictures of one cluster


def clusters(
    model: str | Path,
    data: str | Path,
    *,
    out: str | Path,
    each: int = 24,
    count: int = 1000,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int = 16,
) -> dict[str, Any]:
    """Write a page of the model's clusters with its JSON, which is returned, a sheet, and a table of files.

    data: a folder, or the word portraits: ``count`` held-out ones. each: pictures shown of a cluster.
    UserError for what the user can mend, and for a model that assigns no clusters.
    """
    if not 1 <= each <= MOST_SHOWN:
        raise UserError(
            f"of each cluster 1 to {MOST_SHOWN} pictures are shown, not {each}; choose another --each"
        )
    folder = free_folder(Path(out), PAGE, TWIN, SHEET, TABLE, apart=[data])
    painter = load(model, device=device, precision=precision, batch_size=batch_size)
    assigner = painter.translator
    if not isinstance(assigner, ClusterAssigner):
        raise UserError(
            f"{model} assigns no clusters; name a model that sorts pictures into clusters, such as one of "
            "--method tunit"
        )
    gallery = open_gallery(data, painter.image_size, count)
    began = time.perf_counter()
    numbers, found = assigned(gallery, painter, assigner)
    seconds = time.perf_counter() - began

    names, labels = [gallery.names[i] for i in numbers], gallery.labels[numbers]
    table = contingency(found.cluster, labels, assigner.clusters, max(1, len(gallery.classes)))
    scores, notes = agreement(table) if gallery.classes else ({}, [])
    record: dict[str, Any] = {
        "settings": {
            "model": str(model), "data": str(data), "each": each, "count": count,
            "precision": str(painter.dtype).removeprefix("torch."),
        },
        "machine": describe(painter.device),
        "pictures": len(names),
        "skipped": gallery.skipped,
        "classes": gallery.classes,
        "clusters": described(found, names, table, gallery.classes, each),
        "scores": scores,
        "notes": notes,
        "seconds": {"assignment": seconds},
    }  # fmt: skip
    rows = rows_of(record, gallery)
    with together(folder) as unfinished:
        write_table(unfinished / TABLE, names, found)
        write_picture(unfinished / SHEET, sheet(rows))
        report.write(unfinished / PAGE, document(record, rows), record)
    print(*listing(record), *notes, f"page: {(folder / PAGE).resolve()}", sep="\n")
    return record


@torch.inference_mode()
def assigned(gallery: Gallery, painter: Painter, assigner: ClusterAssigner) -> tuple[list[int], Assignment]:
    """The numbers of those pictures that can be read, and their clusters."""
    readable, logits = list[int](), list[Tensor]()
    for good, pixels in gallery.batches(range(len(gallery)), "sorting"):
        readable += good
        for part in pixels.split(painter.batch_size):
            images = to_unit(part.to(painter.device)).contiguous(memory_format=torch.channels_last)
            with torch.autocast(painter.device.type, painter.dtype, enabled=painter.dtype != torch.float32):
                logits.append(assigner.assign(images).float().cpu())
    return readable, assignment(torch.cat(logits))


def described(
    found: Assignment, names: Sequence[str], table: Tensor, classes: Sequence[str], each: int
) -> list[dict[str, Any]]:
    """Each cluster by its number: size, share, labels, and the ``each`` pictures it is surest of.

    names: of the pictures; table: (K, C), see `contingency`.
    """
    result = []
    for number, (counts, size) in enumerate(zip(table.tolist(), table.sum(dim=1).tolist(), strict=True)):
        one: dict[str, Any] = {"number": number, "size": size, "share": size / len(names)}
        if size:
            one["probability"] = found.probability[found.cluster == number].mean().item()
        if classes:
            one["counts"] = dict(zip(classes, counts, strict=True))
            if size:
                one["label"] = classes[counts.index(max(counts))]
                one["label_share"] = max(counts) / size
        one["surest"] = [
            {"name": names[place], "probability": found.probability[place].item()}
            for place in found.surest(number, each).tolist()
        ]
        result.append(one)
    return result


def agreement(table: Tensor) -> tuple[dict[str, dict[str, float | None]], list[str]]:
    """What the clusters (K, C) and, for comparison, one cluster of all score; and what is missing, why."""
    notes, scores = dict[str, None](), dict[str, dict[str, float | None]]()
    for name, counts in (("the model's clusters", table), ("one cluster of all", table.sum(dim=0)[None])):
        try:
            accuracy = clustering_accuracy(counts)
        except UserError as error:
            accuracy, notes[f"No accuracy: {error}."] = None, None
        scores[name] = {
            "accuracy": accuracy,
            "purity": purity(counts),
            "normalised_mutual_information": normalised_mutual_information(counts),
        }
    return scores, list(notes)


def write_table(path: Path, names: Sequence[str], found: Assignment) -> None:
    """Every picture's file, cluster and the probability of that."""
    with atomic_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="")
        writer = csv.writer(text)
        writer.writerow(["file", "cluster", "probability"])
        for name, cluster, probability in zip(names, *(part.tolist() for part in found), strict=True):
            writer.writerow([name, cluster, f"{probability:.6g}"])
        text.detach()
