"""A million pictures take no more memory than a few hundred."""

import gc
import os
import tracemalloc
from pathlib import Path

import pytest

from cluit.apps.api import load
from cluit.apps.bulk import sources
from cluit.apps.bulk.job import MANIFEST
from cluit.apps.bulk.manifest import Manifest
from cluit.apps.bulk.outputs import Encoding, Folders, Place
from cluit.apps.bulk.pairing import Rule
from cluit.apps.bulk.pipeline import Pipeline, groups
from cluit.apps.bulk.progress import Skipped
from cluit.apps.bulk.share import Share
from cluit.apps.bulk.sources import Listing, nameless_file
from cluit.apps.bulk.styles import encoded
from cluit.core.images import as_picture
from cluit.data.portraits import Portraits

EARLY, LATE = range(100, 140, 8), range(500, 540, 8)
"""Pictures after which is looked at what is held; far more than are in work at any time."""
COUNT = 560
KEPT = 200
"""Bytes that a picture may leave behind: less than its name has here."""


def test_what_a_job_holds_does_not_grow_with_its_pictures(tiny_model: Path, tmp_path: Path) -> None:
    """The least of several looks at the bytes that Python holds, to leave out what is in work just then."""
    picture, root, out = tmp_path / "a.png", tmp_path / "sources", tmp_path / "out"
    as_picture(Portraits(1, 32).batch([0])[0]).save(picture)
    root.mkdir()
    for i in range(COUNT):
        os.link(picture, root / f"{i:0200}.png")
    painter, skipped = load(tiny_model, device="cpu", precision="float32", batch_size=4), Skipped()
    styles = encoded(painter, [picture], ["a"], None, skipped, 1)
    output = Folders(Place(out, 0, True, False, ()), Encoding("png", 95), depth=0)
    pipeline = Pipeline(
        painter, styles, Rule(each=1).pairing(styles, 0, {}), output, skipped,
        domain=None, full_size=False, workers=1,
    )  # fmt: skip
    held = dict[int, int]()
    with (
        nameless_file(tmp_path) as file,
        Manifest(out / MANIFEST, domains=False, rank=0, world=1) as manifest,
    ):
        listing = Listing(root, file, tmp_path, skipped)
        tracemalloc.start()
        work = groups([("", listing)], output, per_block=4, at_once=4, share=Share())
        for number, row in enumerate(output.rows(pipeline.pictures(work))):
            manifest.add(row)
            if number in EARLY or number in LATE:
                gc.collect()
                held[number] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    assert pipeline.made == COUNT
    early, late = (min(held[number] for number in looks) for looks in (EARLY, LATE))
    assert late - early < KEPT * (LATE[0] - EARLY[0])


def test_names_are_sorted_without_all_of_them_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "RUN", 500)
    count, length = 8_000, 200
    lines = (f"{i * 7919 % count:0{length}}\n" for i in range(count))
    tracemalloc.start()
    assert sum(1 for _ in sources.sorted_on_disk(lines, tmp_path)) == count
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < count * length / 3
