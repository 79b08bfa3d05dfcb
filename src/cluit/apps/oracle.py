"""`cluit oracle`: a classifier of real pictures that judges translations, and a page that judges it."""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from cluit.apps import report
from cluit.apps.oracle_page import document, verdict
from cluit.apps.pictures import PORTRAITS, require_others
from cluit.apps.sigterm import ended_by_sigterm
from cluit.apps.train import memory_errors
from cluit.core.errors import UserError
from cluit.core.files import whole_folder
from cluit.core.machine import describe, pick_device, pick_precision
from cluit.data.attributes import ALL, attribute_labels, portrait_attributes
from cluit.data.folder import ImageFolder
from cluit.data.labels import Labelled, Labels, class_labels
from cluit.data.portrait_folder import TABLE
from cluit.data.portraits import Portraits
from cluit.data.shard_folder import folder_type
from cluit.engine.console import run_console
from cluit.engine.log import ProgressBar
from cluit.evaluation.marks import Marks, examine
from cluit.evaluation.oracle import refuse_unusable, save_oracle
from cluit.evaluation.oracle_training import Course, train_oracle

LEARNED, EXAMINED = "oracle", "oracle-test"
COUNTS = {LEARNED: 8000, EXAMINED: 2000}
"""Portraits that are drawn to learn from and to be examined with, by the name of their split."""
PAGE = "report.html"


def make_oracle(
    data: str | Path,
    *,
    out: str | Path,
    test: str | Path | None = None,
    attributes: str | Path | None = None,
    only: Sequence[str] = (),
    depth: int = 50,
    width: int = 64,
    image_size: int = 64,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int = 64,
    learning_rate: float = Course.learning_rate,
    grey: float = Course.grey,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
) -> Path:
    """Train an oracle on ``data``, examine it on ``test``, and return ``out``, a new folder with the results.

    data: a folder with a subfolder per class, or the word portraits: drawn animals, by species.
    test: a folder like it, of other pictures; portraits draw their own where none is given.
    attributes: a table of binary attributes, which are learned instead of classes (see `attribute_labels`).
        The test pictures' table is the file of that name in their own folder, else the same.
    only: some of the attributes: their names, ``celeba`` for the twelve of CelebA that no pose changes, or
        ``all``. Of portraits it chooses among their own attributes, which are learned instead of species.
    depth, width, image_size: of the `Oracle`. steps, minutes: the end of the training, whichever is first;
        where neither is given 2,000 steps. learning_rate, grey, seed: see `Course`.

    UserError for whatever the user can mend, with nothing written. Whatever ends it early leaves nothing.
    """
    refuse_unusable(["any", "two"], False, depth, width, image_size)
    course = Course(
        **end(steps, minutes), batch_size=batch_size, learning_rate=learning_rate, grey=grey, seed=seed
    )
    place = pick_device(device)
    dtype = pick_precision(precision, place)
    learned = open_labelled(data, image_size, attributes, only)
    examined = open_test(data, test, image_size, attributes, learned.labels)
    out = Path(out).expanduser()
    settings = {
        "data": str(data),
        "test": str(test or f"{COUNTS[EXAMINED]} other {PORTRAITS}"),
        "attributes": str(attributes) if attributes else None,
        **asdict(course),
        "precision": str(dtype).removeprefix("torch."),
    }
    with ended_by_sigterm(), whole_folder(out) as folder:
        began = time.monotonic()
        with memory_errors(place), bar_of(course) as bar:
            oracle, trials = train_oracle(
                learned, course, depth=depth, width=width, image_size=image_size,
                device=place, dtype=dtype, progress=lambda step, loss: bar(step, {"loss": loss}),
            )  # fmt: skip
        middle = time.monotonic()
        marks = {
            "test": examine(oracle, examined, dtype=dtype),
            "grey": examine(oracle, examined, grey=True, dtype=dtype),
        }
        seconds = {"training": middle - began, "examination": time.monotonic() - middle}
        pictures = {"training": trials[-1].step * batch_size, "examination": 2 * len(examined)}
        record = {
            "settings": {**settings, **oracle.config},
            "machine": describe(place),
            "network": oracle.name,
            "pictures": len(learned),
            "skipped": skipped(learned, examined),
            **{name: mark.record() for name, mark in marks.items()},
            "trials": [{**vars(trial), "marks": trial.marks.record()} for trial in trials],
            "seconds": seconds,
            "pictures_per_second": {name: count / seconds[name] for name, count in pictures.items()},
        }
        report.write(folder / PAGE, document(record, marks["test"], marks["grey"]), record)
        save_oracle(folder, oracle, report.finite(record))
    tell(out, marks["test"], marks["grey"])
    return out


def end(steps: int | None, minutes: float | None) -> dict[str, float]:
    """What of a `Course` says when it ends."""
    if steps is not None and steps < 1:
        raise UserError(f"steps must be at least 1, got {steps}")
    if minutes is None:
        return {} if steps is None else {"steps": steps}
    if not 0 < minutes < math.inf:
        raise UserError(f"minutes must be positive and finite, got {minutes}")
    return {"steps": math.inf if steps is None else steps, "seconds": 60 * minutes}


def open_labelled(
    data: str | Path, size: int, attributes: str | Path | None, only: Sequence[str], drawn: str = LEARNED
) -> Labelled:
    """The pictures with the labels that are chosen. drawn: the split, where they are portraits."""
    if str(data) == PORTRAITS:
        if attributes is not None:
            raise UserError(f"{PORTRAITS} know their attributes; choose them with --only, without a table")
        portraits = Portraits(COUNTS[drawn], size, split=drawn)
        return Labelled(portraits, portrait_attributes(portraits, only) if only else class_labels(portraits))
    folder = folder_type(data)(data, size)
    if attributes is not None:
        return Labelled(folder, attribute_labels(folder, Path(attributes).expanduser(), only or (ALL,)))
    if only:
        raise UserError("--only chooses among attributes; name their table with --attributes")
    return Labelled(folder, class_labels(folder))


def open_test(
    data: str | Path,
    test: str | Path | None,
    size: int,
    attributes: str | Path | None,
    labels: Labels,
) -> Labelled:
    """Pictures to be examined with, other ones than ``data``, their labels by the same numbers."""
    only = labels.classes if labels.multi else ()
    if test is None:
        if str(data) != PORTRAITS:
            raise UserError("name a folder of other pictures to examine the oracle with: --test DIR")
        examined = open_labelled(data, size, attributes, only, EXAMINED)
    else:
        folder = Path(test).expanduser()
        require_others(data, folder, "test")
        table = Path(attributes).expanduser() if attributes is not None else None
        if table is None and only:
            table = folder / TABLE  # beside portraits that were drawn into a folder
        if table is not None and (folder / table.name).is_file():
            table = folder / table.name
        examined = open_labelled(folder, size, table, only)
    return Labelled(examined.pictures, examined.labels.among(labels.classes))


def bar_of(course: Course) -> ProgressBar:
    """Rate, time left and loss, on standard error."""
    total = int(course.steps) if math.isfinite(course.steps) else sys.maxsize
    return ProgressBar(total, batch_size=course.batch_size, console=run_console(), seconds=course.seconds)


def skipped(*parts: Labelled) -> dict[str, str]:
    """The files that could not be used, with the reason."""
    folders = [part.pictures for part in parts if isinstance(part.pictures, ImageFolder)]
    return {str(path): reason for folder in folders for path, reason in folder.skipped.items()}


def tell(out: Path, test: Marks, grey: Marks) -> None:
    """The verdict for whoever waited."""
    print(f"oracle in {out}. {verdict(test, grey)}", f"page: {out / PAGE}", sep="\n")
