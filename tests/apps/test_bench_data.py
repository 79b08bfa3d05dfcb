"""Rates of loading: every place that pictures can come from, nothing left behind, mistakes in a sentence."""

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from cluit.apps.bench_data import CACHE, FILES, SHARDS, bench_data, sources
from cluit.core.errors import UserError
from cluit.core.files import cache_folder
from cluit.data.folder import ImageFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for i in range(9):
        Image.new("RGB", (40, 30), (20 * i, 255 - 20 * i, 128)).save(root / f"{i}.jpg")
    return root


def test_all_places_give_the_same_pictures(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    found = ImageFolder(folder, 16, cache_bytes=0)
    chosen = range(0, 9, 2)
    with sources(found, chosen, tmp_path / "shards") as (ways, left_out):
        pictures = {name: ready().batch(range(5)) for name, ready in ways.items()}
    assert len(ways) + 2 * len(left_out) == 5
    for batch in pictures.values():
        assert torch.equal(batch, found.batch(chosen))


def test_the_index_of_shards_that_go_is_not_kept(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    before = set(cache_folder("shards").iterdir())
    with sources(ImageFolder(folder, 16), range(4), tmp_path / "shards"):
        pass
    assert set(cache_folder("shards").iterdir()) == before


def test_a_folder_of_ones_own_is_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench_data(folder, image_size=32, batch_size=4, pictures=8, rounds=1, json=True)
    record = json.loads(capsys.readouterr().out)
    assert record["pictures"] == 8
    assert record["opening"]["files"] == 9
    names = [row["name"] for row in record["rows"]]
    assert CACHE in names
    assert (FILES in names) == hasattr(os, "posix_fadvise")
    for row in record["rows"]:
        assert 0 < row["slowest"] <= row["pictures_per_second"] <= row["fastest"]
        assert row["times_what_is_needed"] == row["pictures_per_second"] / record["needed"]


def test_without_a_folder_portraits_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    bench_data(image_size=32, batch_size=4, pictures=8, rounds=1, busy=True)
    said = capsys.readouterr().out
    assert "medians of processor time" in said
    assert "opening the folder of 8 files" in said
    assert "drawing portraits of 32 px" in said


def test_without_their_library_tar_shards_are_left_out_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "webdataset.writer", None)
    bench_data(folder, image_size=32, batch_size=4, pictures=8, rounds=1)
    said = capsys.readouterr().out
    assert "left out, tar shards" in said
    assert SHARDS not in said


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"rounds": 0}, "rounds"),
        ({"workers": 0}, "workers"),
        ({"batch_size": 3}, "multiple of 2"),
        ({"pictures": 4, "batch_size": 8}, "at least a batch"),
        ({"batch_size": 10, "pictures": 10}, "fewer than a batch of 10"),
        ({"folder": "/nowhere"}, "no folder at"),
    ],
)
def test_a_setting_out_of_range_is_one_sentence(
    wrong: dict[str, object], sentence: str, folder: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        bench_data(**{"folder": folder, "image_size": 32, **wrong})  # type: ignore[arg-type]
