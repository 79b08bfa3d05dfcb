"""`cluit search`: the pictures of a folder whose style is most like a query's (the paper's Figure 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cluit.analysis.neighbours import ApproximateIndex, nearest, recall, require_count
from cluit.apps import report, retrieval
from cluit.apps.api import Painter, load
from cluit.apps.code_index import CodeIndex, codes_of
from cluit.apps.domains import domains_of
from cluit.apps.gallery import Gallery, free_folder, open_gallery, progress
from cluit.apps.search_page import document, rows_of
from cluit.apps.squares import as_square
from cluit.apps.thumbnails import sheet
from cluit.apps.translate import write_picture
from cluit.core.errors import UserError
from cluit.core.extras import needs
from cluit.core.machine import describe
from cluit.data.folder import ImageFolder
from cluit.data.portraits import Portraits
from cluit.evaluation.clock import Clock

PAGE, TWIN, SHEET = "index.html", "index.json", "sheet.png"
EXAMPLES = 6  # queries where none is given
MOST_SHOWN = 100  # neighbours of one query
CHECKED = 100  # codes whose exact neighbours an approximate search is compared with


@dataclass(frozen=True)
class Query:
    """A picture whose neighbours are looked for."""

    name: str
    picture: Tensor
    """uint8 (3, S, S)."""
    own: int = -1
    """Its own row among the codes, which it must not find; -1 for a picture from elsewhere."""
    domain: str | None = None
    """Of a model that tells domains apart."""


def search(
    model: str | Path,
    data: str | Path,
    query: Sequence[str | Path] = (),
    *,
    out: str | Path,
    k: int = 10,
    index: str | Path | None = None,
    approximate: bool = False,
    features: str | None = None,
    count: int = 1000,
    domain: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int = 16,
) -> dict[str, Any]:
    """Write a sheet of the ``k`` nearest styles of each query, a page and its JSON, which is returned.

    data: a folder, or the word portraits: ``count`` held-out ones. query: pictures; one that lies in the
    folder does not find itself. Without any, the first picture of each class asks, up to ``EXAMPLES``.
    index: a file that keeps the codes, see `code_index`. approximate: search by a graph, with faiss.
    features: the network of a baseline, see `open_features`. domain: see `domains_of`.
    UserError for what the user can mend.
    """
    refuse_unusable(k, approximate)
    folder = free_folder(Path(out), PAGE, TWIN, SHEET, apart=[data])
    kept = Path(index).expanduser() if index else None
    painter = load(model, device=device, precision=precision, batch_size=batch_size)
    told = domains_of(painter.translator, query, domain)
    asked = [
        Query(
            str(path),
            as_square(Path(path).expanduser(), painter.image_size),
            domain=told[i] if told else None,
        )
        for i, path in enumerate(query)
    ]
    gallery = open_gallery(data, painter.image_size, count)
    require_count(k, len(gallery) - 1)
    network = retrieval.open_baseline(features, painter.device)

    clock = Clock()
    with clock.running("codes", gallery.names):
        codes, reused = codes_of(painter, gallery, kept, domain)
    graph = open_graph(codes, kept, clock) if approximate else None
    queries = (
        given(asked, gallery, codes) if query else examples(gallery, codes, gallery.domains(painter, domain))
    )
    found = ask(painter, gallery, codes, queries, k, graph, clock)
    answered = [{"query": one.name, "nearest": near} for one, near in zip(queries, found, strict=True)]
    with clock.running("scores", codes.names):
        compared = retrieval.Compared(painter, gallery, codes.names, codes.codes, network, domain)
        scores = score(compared, gallery) | agreement(codes.codes, graph, k)

    record: dict[str, Any] = {
        "settings": {
            "model": str(model), "data": str(data), "k": k, "index": kept and str(kept),
            "approximate": approximate, "features": network.name, "domain": domain,
            "precision": str(painter.dtype).removeprefix("torch."),
        },
        "machine": describe(painter.device),
        "pictures": len(codes.names),
        "compared": len(compared.numbers),
        "index": "reused" if reused else "made",
        "skipped": skipped(gallery, codes),
        "queries": answered,
        "scores": scores,
        "seconds": {phase: spent.seconds for phase, spent in clock.phases.items()},
    }  # fmt: skip
    rows = rows_of(answered, [one.picture for one in queries], gallery)
    write_picture(folder / SHEET, sheet(rows))
    report.write(folder / PAGE, document(record, rows), record)
    print(*retrieval.sentences(scores), f"page: {(folder / PAGE).resolve()}", sep="\n")
    return record


def skipped(gallery: Gallery, codes: CodeIndex) -> dict[str, str]:
    """Every file without a code, with the reason."""
    coded = {*codes.names}
    lacking = {
        name: "could not be read when the index was made" for name in gallery.names if name not in coded
    }
    return dict(sorted((lacking | gallery.skipped).items()))


def refuse_unusable(k: int, approximate: bool) -> None:
    """UserError for what cannot be searched for, before anything is loaded."""
    if not 1 <= k <= MOST_SHOWN:
        raise UserError(f"a search shows from 1 to {MOST_SHOWN} neighbours, not {k}; choose another --k")
    if approximate:
        needs("faiss", "an approximate search", "search")


def ask(
    painter: Painter,
    gallery: Gallery,
    codes: CodeIndex,
    queries: Sequence[Query],
    k: int,
    graph: ApproximateIndex | None,
    clock: Clock,
) -> list[list[Mapping[str, Any]]]:
    """The neighbours of each query: see `answers`."""
    with clock.running("search", queries):
        told = [query.domain for query in queries if query.domain is not None] or None
        asking = painter.styles([query.picture for query in queries], told).cpu()
        found = neighbours(codes.codes, asking, torch.tensor([query.own for query in queries]), k, graph)
    return answers(found, codes, gallery)


def given(asked: Sequence[Query], gallery: Gallery, codes: CodeIndex) -> list[Query]:
    """The user's own; one that is among the gallery's is known by its place."""
    if not isinstance(gallery.pictures, ImageFolder):
        return list(asked)
    row = {name: number for number, name in enumerate(codes.names)}
    root, queries = gallery.pictures.root.resolve(), []
    for query in asked:
        place, own = Path(query.name).expanduser().resolve(), -1
        if place.is_relative_to(root):
            own = row.get(place.relative_to(root).as_posix(), -1)
        queries.append(replace(query, own=own))
    return queries


def examples(gallery: Gallery, codes: CodeIndex, domains: Sequence[str] | None) -> list[Query]:
    """The first picture of each class, or the first few of all. domains: of the gallery's pictures."""
    number = {name: i for i, name in enumerate(gallery.names)}
    rows = list(range(len(codes.names)))
    if gallery.classes:
        labels = [int(gallery.labels[number[name]]) for name in codes.names]
        rows = [labels.index(label) for label in range(len(gallery.classes)) if label in labels]
    chosen = {number[codes.names[row]]: row for row in rows[:EXAMPLES]}
    readable, pictures = gallery.read(list(chosen))
    return [
        Query(gallery.names[i], picture, chosen[i], domains[i] if domains else None)
        for i, picture in zip(readable, pictures, strict=True)
    ]


def open_graph(codes: CodeIndex, path: Path | None, clock: Clock) -> ApproximateIndex:
    """From the index where it has one, else made, and kept there."""
    if codes.graph is not None:
        return ApproximateIndex.restored(codes.graph)
    with clock.running("graph", codes.names):
        graph = linked(codes.codes)
    if path is not None:
        replace(codes, graph=graph.stored()).write(path)
    return graph


def linked(codes: Tensor) -> ApproximateIndex:
    """A graph through the codes (N, S), made behind a progress bar."""
    with progress() as bar:
        task = bar.add_task("linking neighbours", total=len(codes))
        return ApproximateIndex(codes, lambda done: bar.update(task, completed=done))


def neighbours(
    codes: Tensor, asking: Tensor, own: Tensor, k: int, graph: ApproximateIndex | None
) -> tuple[Tensor, Tensor]:
    """Similarities and rows of the codes, (Q, k), of those that are not a query's own."""
    if graph is None:
        return nearest(codes, asking, k, without=own)
    similarity, found = graph.nearest(asking, k + 1)
    if (found < 0).any():
        raise UserError(f"the approximate search found fewer than {k} neighbours; leave out --approximate")
    order = (found == own[:, None]).byte().argsort(dim=1, stable=True)[:, :k]  # itself goes last
    return similarity.gather(1, order), found.gather(1, order)


def agreement(codes: Tensor, graph: ApproximateIndex | None, k: int) -> dict[str, float]:
    """The graph's `recall` of the neighbours of some of the codes (N, S), spread evenly; none without one."""
    if graph is None:
        return {}
    some = codes[:: -(-len(codes) // CHECKED)]
    _, exact = nearest(codes, some, k)
    _, found = graph.nearest(some, k)
    return {"approximate_recall": recall(found, exact)}


def score(compared: retrieval.Compared, gallery: Gallery) -> dict[str, Any]:
    """What the search is worth."""
    poses = {}
    if isinstance(gallery.pictures, Portraits):
        poses = retrieval.pose_invariance(compared, gallery.pictures)
    precision = retrieval.precision_by_class(compared, gallery.classes)
    return {"precision_at_10": precision, "another_pose": poses}


def answers(
    found: tuple[Tensor, Tensor], codes: CodeIndex, gallery: Gallery
) -> list[list[Mapping[str, Any]]]:
    """For each query its neighbours, best first: name, similarity and, where there are classes, the class."""
    number = {name: i for i, name in enumerate(gallery.names)}

    def answer(similarity: float, row: int) -> Mapping[str, Any]:
        name = codes.names[row]
        known = {"class": gallery.classes[gallery.labels[number[name]]]} if gallery.classes else {}
        return {"name": name, "similarity": similarity, **known}

    return [
        [answer(*pair) for pair in zip(*row, strict=True)]
        for row in zip(*(values.tolist() for values in found), strict=True)
    ]
