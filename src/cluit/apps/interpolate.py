"""`cluit interpolate`: one source whose style goes from its own to those of references (Figure 7)."""

import time
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from torch import Tensor

from cluit.apps import report
from cluit.apps.animation import RATE, check_animation, write_animation
from cluit.apps.api import load
from cluit.apps.domains import domains_of
from cluit.apps.gallery import free_folder
from cluit.apps.interpolate_page import document
from cluit.apps.retrieval import open_baseline
from cluit.apps.squares import as_square
from cluit.apps.thumbnails import Cell, sheet, thumbnail
from cluit.apps.translate import write_picture
from cluit.apps.walks import Judge, along, fade, held_out_walks
from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.core.machine import describe
from cluit.evaluation.reader import FaceReader

PAGE, TWIN, STRIP = "index.html", "index.json", "strip.png"
MOST_FRAMES = 100  # in one row of a strip


def interpolate(
    model: str | Path,
    source: str | Path,
    references: Sequence[str | Path],
    *,
    out: str | Path,
    frames: int = 9,
    animation: str | Path | None = None,
    seconds: float = 2.0,
    portraits: bool = False,
    features: str | None = None,
    domain: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int = 16,
) -> dict[str, Any]:
    """Write a strip of frames, a page and its JSON, which is returned.

    frames: from one style to the next, with both. animation: a file to write too, .webp, .gif or .mp4,
    which takes ``seconds`` from style to style and comes back the same way.
    portraits: the pictures are portraits, whose pose a reader can tell: then it is reported along the
    way, and over held-out portraits. features: the network of the perceptual distance, see `open_features`.
    domain: of source and references, see `domains_of`. UserError for what the user can mend.
    """
    refuse_unusable(references, frames, seconds)
    folder = free_folder(Path(out), PAGE, TWIN, STRIP)
    film = Path(animation).expanduser() if animation else None
    if film:
        check_animation(film)
    began = time.perf_counter()
    painter = load(model, device=device, precision=precision, batch_size=batch_size)
    paths = [Path(path).expanduser() for path in (source, *references)]
    told = domains_of(painter.translator, paths, domain)
    first, *others = (as_square(path, painter.image_size) for path in paths)
    network = open_baseline(features, painter.device)
    judge = Judge(network, painter.device, FaceReader.load() if portraits else None)

    pictures = along(painter, first, others, frames, told)
    pose = judge.read(first[None])[0] if portraits else None
    record: dict[str, Any] = {
        "settings": {
            "model": str(model), "source": str(source), "references": list(map(str, references)),
            "frames": frames, "animation": film and str(film), "portraits": portraits,
            "features": network.name, "domain": domain,
            "precision": str(painter.dtype).removeprefix("torch."),
        },
        "machine": describe(painter.device),
        "walk": judge.measure(pictures, first, frames, pose),
        "fade": judge.measure(fade(first, others, frames), first, frames, pose),
        "held_out": held_out_walks(painter, judge, frames, domain) if portraits else {},
    }  # fmt: skip
    rows = strip_rows(pictures, first, others, frames)
    if film:
        there = along(painter, first, others, max(2, round(seconds * RATE)), told)
        write_animation(film, [as_picture(one) for one in (*there, *there.flip(0)[1:-1])])
    record["seconds"] = time.perf_counter() - began
    write_picture(folder / STRIP, sheet(rows))
    report.write(folder / PAGE, document(record, rows, film), record)
    told = [evenness(record["walk"]["smoothness"], frames)] if frames > 2 else []
    print(*told, *([f"animation: {film}"] if film else []), f"page: {(folder / PAGE).resolve()}", sep="\n")
    return record


def evenness(smoothness: Sequence[float], frames: int) -> str:
    """For the terminal; – where nothing moved. A line of two frames has one step, which is always even."""
    values = ", ".join(f"{value:.2f}" if isfinite(value) else "–" for value in smoothness)
    return f"smoothness {values} (1 is even, {frames - 1} one jump)"


def refuse_unusable(references: Sequence[object], frames: int, seconds: float) -> None:
    """UserError for what makes no walk."""
    if not references:
        raise UserError("name at least one reference to go to")
    if not 2 <= frames <= MOST_FRAMES:
        raise UserError(f"a strip has from 2 to {MOST_FRAMES} frames, not {frames}; choose other --frames")
    if not 0.1 <= seconds <= 60:
        raise UserError(f"an animation takes from 0.1 to 60 seconds a reference, not {seconds:g}")


def strip_rows(
    pictures: Tensor, source: Tensor, references: Sequence[Tensor], frames: int
) -> list[list[Cell]]:
    """One row for each reference: whose style it leaves, the frames, whose style it reaches."""
    stops = [source, *references]
    rows = []
    for i, (start, end) in enumerate(pairwise(stops)):
        line = pictures[i * (frames - 1) : i * (frames - 1) + frames]
        middle: list[Cell] = [
            (thumbnail(one), [f"{place / (frames - 1):.2f}"]) for place, one in enumerate(line)
        ]
        left = "source" if i == 0 else f"reference {i}"
        rows.append([(thumbnail(start), [left]), *middle, (thumbnail(end), [f"reference {i + 1}"])])
    return rows
