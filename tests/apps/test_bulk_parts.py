"""The parts of a job that need no model: bounded work in threads, names, chance, the manifest."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluit.apps.bulk import sources
from cluit.apps.bulk.flow import in_order
from cluit.apps.bulk.manifest import Manifest, Row
from cluit.apps.bulk.outputs import MOST_IN_FOLDER, depth_of
from cluit.apps.bulk.pairing import drawn
from cluit.apps.bulk.sources import Listing, nameless_file, sorted_on_disk
from cluit.apps.targets import plain_name


def never(path: Path, reason: str) -> None:
    pytest.fail(f"{path}: {reason}")


def test_work_is_in_order_and_no_more_of_it_is_begun_than_stated() -> None:
    lock, begun, most, taken = threading.Lock(), 0, 0, 0

    def work(i: int) -> int:
        nonlocal begun, most
        with lock:
            begun += 1
            most = max(most, begun - taken)
        time.sleep(0.0002 * (i % 3))
        return i

    with ThreadPoolExecutor(4) as pool:
        for taken, result in enumerate(in_order(work, range(100), pool, ahead=5), 1):
            assert result == taken - 1
    assert begun == 100
    assert most <= 7  # five ahead, the one that is waited for, and the one just taken


def test_a_failure_ends_the_work_before_its_end() -> None:
    def work(i: int) -> int:
        if i == 3:
            raise ValueError("three")
        return i

    asked = iter(range(1000))
    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="three"):
        list(in_order(work, asked, pool, ahead=4))
    assert next(asked) < 12


def test_lines_are_sorted_however_few_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{i:05d}\n" for i in range(1000)]
    mixed = random.Random(0).sample(lines, len(lines))
    monkeypatch.setattr(sources, "RUN", 37)
    assert list(sorted_on_disk(mixed, tmp_path)) == lines
    assert not list(tmp_path.iterdir())


def test_a_listing_has_every_picture_once_by_names_that_never_collide(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    names = ["a.png", "a.jpg", "A.webp", "x/y.png", "x-y.png", "x~2.png", "ü\n.bmp", "deep/er/a.png"]
    for name in [*names, "text.txt", ".hidden.png", ".hidden/a.png"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "again").symlink_to(root / "x")
    (root / "circle").symlink_to(root)
    with nameless_file(tmp_path) as file:
        listing = Listing(root, file, tmp_path, never)
        found = list(listing)
        assert found == list(listing)
    assert sorted(one.key for one in found) == sorted(names)
    assert len(listing) == len({one.name.casefold() for one in found}) == len(names)
    assert all(one.place == root / one.key for one in found)


@pytest.mark.parametrize(
    ("key", "name"), [("2019/cat.png", "2019-cat"), ("../up/cat.jpg", "up-cat"), ("..png", "picture")]
)
def test_no_picture_is_named_so_that_it_hides(key: str, name: str) -> None:
    assert plain_name(key) == name


def test_a_listings_order_and_fingerprint_hang_on_names_alone(tmp_path: Path) -> None:
    seen = []
    for folder, names in (("one", "abcd"), ("two", "dbca"), ("three", "dbc")):
        for name in names:
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}.png").touch()
        with nameless_file(tmp_path) as file:
            listing = Listing(tmp_path / folder, file, tmp_path, never)
            seen.append(([one.key for one in listing], listing.fingerprint))
    assert seen[0] == seen[1]
    assert seen[0][1] != seen[2][1]


def test_chance_draws_each_reference_as_often() -> None:
    assert sorted(drawn("a", 50, 50, 0)) == list(range(50))
    assert drawn("a", 50, 5, 0) == drawn("a", 50, 50, 0)[:5]
    counts = [0] * 5
    for i in range(2000):
        for row in drawn(f"{i}.png", 5, 2, 0):
            counts[row] += 1
    assert max(abs(count - 800) for count in counts) < 5 * 22  # standard deviation: √(2000 · 2/5 · 3/5) = 22


def test_folders_have_so_many_pictures_at_most() -> None:
    assert [depth_of(n) for n in (0, MOST_IN_FOLDER, MOST_IN_FOLDER + 1, 10**6, 10**7)] == [0, 0, 1, 1, 2]


def test_a_manifest_is_readable_at_every_line(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "manifest.csv", domains=True, rank=0, world=1)
    with manifest:
        for number in range(3):
            manifest.add(Row('a, "quoted"\nname', f"\udcff{number}", "x.png", "dog"))
            lines = manifest.table.read_bytes().split(b'\n"a, ""quoted""\nname",')
            assert lines[0] == b"source,reference,output,domain"
            assert len(lines) == number + 2


def test_the_last_process_joins_the_parts_whichever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    for rank in (2, 0, 1):
        manifest = Manifest(path, domains=False, rank=rank, world=3)
        with manifest:
            manifest.add(Row(f"s{rank}", "r", f"{rank}.png"))
            assert manifest.finish() == (rank == 1)
    assert path.read_text().splitlines() == [
        "source,reference,output",
        *(f"s{i},r,{i}.png" for i in range(3)),
    ]
    assert list(tmp_path.iterdir()) == [path]


def test_parquet_says_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "manifest.parquet"
    rows = [Row("ä, b", "", f"{i}.png", "007") for i in range(3)]
    with Manifest(path, domains=True, rank=0, world=1) as manifest:
        for row in rows:
            manifest.add(row)
        assert manifest.finish()
    assert parquet.read_table(path).to_pylist() == [row._asdict() for row in rows]
    assert list(tmp_path.iterdir()) == [path]
