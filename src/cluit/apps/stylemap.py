"""`cluit map`: the style space of a folder as a picture, and as a page to look around in."""

import colorsys
import json
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from cluit.analysis.neighbours import precision_at_k
from cluit.analysis.plane import FEWEST, By, kept_neighbours, project
from cluit.apps import report
from cluit.apps.api import load
from cluit.apps.gallery import free_folder, left_out, open_gallery, progress
from cluit.apps.report import Html, data_uri
from cluit.apps.thumbnails import thumbnail
from cluit.apps.translate import write_picture
from cluit.core.errors import UserError
from cluit.core.machine import describe

PAGE, TWIN, PICTURE = "index.html", "index.json", "map.png"
MOST = 5000  # pictures of one page
SIDE, FRAME = 48, 3  # pixels of a thumbnail and of the coloured frame that tells its class
WIDTH = 1800  # pixels of the picture


def style_map(
    model: str | Path,
    data: str | Path,
    *,
    out: str | Path,
    by: By = "tsne",
    count: int = 1000,
    seed: int = 0,
    domain: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int = 16,
) -> dict[str, Any]:
    """Write a picture of the style space with thumbnails, a page and its JSON, which is returned.

    data: a folder, of which at most ``count`` pictures are shown, or portraits: ``count`` held-out ones.
    by, seed: see `project`. domain: see `domains_of`. UserError for what the user can mend.
    """
    if not FEWEST <= count <= MOST:
        raise UserError(
            f"a map shows from {FEWEST} to {MOST:,} pictures, not {count}; choose another --count"
        )
    folder = free_folder(Path(out), PAGE, TWIN, PICTURE, apart=[data])
    painter = load(model, device=device, precision=precision, batch_size=batch_size)
    gallery = open_gallery(data, painter.image_size, count)
    marks = [time.perf_counter()]
    numbers, codes = gallery.encode(painter, gallery.sample(count), gallery.domains(painter, domain))
    marks.append(time.perf_counter())
    with progress() as bar:
        bar.add_task(f"laying out by {by}", total=None)
        place = project(codes, by, seed)
    marks.append(time.perf_counter())

    labels = gallery.labels[numbers]
    record = {
        "settings": {
            "model": str(model), "data": str(data), "by": by, "count": count, "seed": seed, "domain": domain,
        },
        "machine": describe(painter.device),
        "skipped": gallery.skipped,
        "classes": gallery.classes,
        "pictures": [
            {"name": gallery.names[i], "class": int(label), "x": x, "y": y}
            for i, label, (x, y) in zip(numbers, labels, place.tolist(), strict=True)
        ],
        "trustworthiness": kept_neighbours(codes, place) if by == "tsne" else None,
        "precision_at_10": {
            "codes": precision_at_k(codes, labels).mean().item(),
            "map": precision_at_k_in_plane(place, labels),
        } if gallery.classes and len(numbers) > 10 else {},
        "seconds": {"codes": marks[1] - marks[0], "layout": marks[2] - marks[1]},
    }  # fmt: skip
    thumbnails = [thumbnail(gallery.read([i])[1][0], SIDE) for i in numbers]
    colours = class_colours(len(gallery.classes))
    write_picture(folder / PICTURE, drawn(thumbnails, place, labels, colours))
    report.write(folder / PAGE, document(record, thumbnails, colours), record)
    print(f"{len(numbers)} pictures on {folder / PICTURE}", f"page: {(folder / PAGE).resolve()}", sep="\n")
    return record


def precision_at_k_in_plane(place: Tensor, labels: Tensor, k: int = 10) -> float:
    """As `precision_at_k`, of the nearest in the plane (N, 2)."""
    found = torch.cdist(place, place).fill_diagonal_(torch.inf).topk(k, dim=1, largest=False).indices
    return (labels[found] == labels[:, None]).float().mean().item()


def class_colours(count: int) -> list[str]:
    """``#rrggbb`` for each class, evenly round the circle; one grey where there are none."""
    tones = [colorsys.hls_to_rgb(i / max(1, count), 0.55, 0.6) for i in range(count)]
    return ["#" + "".join(f"{round(255 * part):02x}" for part in tone) for tone in tones] or ["#888888"]


def drawn(
    thumbnails: Sequence[Image.Image], place: Tensor, labels: Tensor, colours: Sequence[str]
) -> Image.Image:
    """Every thumbnail at its place in a colour's frame, white around."""
    sheet = Image.new("RGB", (WIDTH, WIDTH), "white")
    room = WIDTH - SIDE - 2 * FRAME
    low = place.min(dim=0).values
    spread = (place.max(dim=0).values - low).clamp(min=1e-9)
    corners = ((place - low) / spread * room).round().long().tolist()
    for picture, label, (left, top) in zip(thumbnails, labels.tolist(), corners, strict=True):
        width, height = picture.width + 2 * FRAME, picture.height + 2 * FRAME
        framed = Image.new("RGB", (width, height), colours[label % len(colours)])
        framed.paste(picture, (FRAME, FRAME))
        sheet.paste(framed, (left, top))
    return sheet


def document(record: Mapping[str, Any], thumbnails: Sequence[Image.Image], colours: Sequence[str]) -> str:
    settings, seconds = record["settings"], record["seconds"]
    named = {"tsne": "t-SNE", "umap": "UMAP"}[settings["by"]]
    rows = (
        [[f"trustworthiness of the map, {named}", record["trustworthiness"]]]
        if record["trustworthiness"]
        else []
    )
    rows += [
        [f"precision@10 by class, in the {where}", value]
        for where, value in record["precision_at_10"].items()
    ]
    spent = f"Codes in {seconds['codes']:.1f} s, the map in {seconds['layout']:.1f} s"
    note = (
        "Trustworthiness: whether neighbours on the map are near among the codes, 1 at best, 0.5 by chance. "
        "Precision@10: the share of a picture's ten nearest that are of its class. Distances between far "
        "groups on such a map mean little."
    )
    return report.page(
        "A map of styles",
        f"{len(thumbnails):,} pictures of {report.place(settings['data'])}, laid out by {named} so that "
        f"pictures whose style codes, by the model {report.place(settings['model'])}, are alike lie side by "
        "side. Drag to move, pinch or turn the wheel to zoom, point at or tap a picture to see it.",
        report.section("Map", interactive(record, thumbnails, colours)),
        *([report.section("Figures", report.table(["measure", "value"], rows, note))] if rows else []),
        report.section("Time", report.paragraph(f"{spent}, on {record['machine']}.")),
        *left_out(record["skipped"]),
    )


def interactive(record: Mapping[str, Any], thumbnails: Sequence[Image.Image], colours: Sequence[str]) -> Html:
    """The map as a canvas with its script; all thumbnails are one picture within the page."""
    columns = max(1, round(len(thumbnails) ** 0.5))
    atlas = Image.new("RGB", (columns * SIDE, -(-len(thumbnails) // columns) * SIDE))
    for i, picture in enumerate(thumbnails):
        atlas.paste(picture.resize((SIDE, SIDE)), (i % columns * SIDE, i // columns * SIDE))
    classes = record["classes"] or ["pictures"]
    points = [
        [one["x"], one["y"], one["class"] if record["classes"] else 0, one["name"]]
        for one in record["pictures"]
    ]
    data = {"side": SIDE, "columns": columns, "colours": list(colours), "classes": classes, "points": points}
    # "<" would end the script where a file's name holds "</script>"
    text = json.dumps(data).replace("<", "\\u003c")
    script = (files("cluit.apps") / "stylemap.js").read_text()
    keys = "".join(
        f'<button type="button" data-class="{i}" aria-pressed="false" style="border-color:{colour}">'
        f"{report.escape(name)}</button>"
        for i, (name, colour) in enumerate(zip(classes, colours, strict=True))
    )
    zooms = "".join(
        f'<button type="button" data-factor="{factor}" aria-label="{meaning}">{sign}</button>'
        for sign, meaning, factor in (
            ("+", "zoom in", 1.5),
            ("−", "zoom out", 1 / 1.5),
            ("whole", "whole map", 0),
        )
    )
    return Html(
        f'<div id="keys" class="keys">{keys if record["classes"] else ""}</div><figure class="map">'
        f'<canvas id="map" role="img" aria-label="{len(thumbnails)} pictures laid out by style"></canvas>'
        f'<div id="zoom" class="keys">{zooms}</div>'
        '<figcaption id="name" aria-live="polite">Point at a picture, or tap it.</figcaption></figure>'
        f"<noscript><p>The same map without a script: {PICTURE}.</p></noscript>"
        f'<img id="atlas" alt="" hidden src="{data_uri(atlas)}">'
        f'<script type="application/json" id="points">{text}</script><script>{script}</script>'
    )
