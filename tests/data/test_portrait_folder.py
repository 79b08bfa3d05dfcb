"""A folder of portraits is known again, with all its factors, as long as it is what was written."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.data.folder import ImageFolder
from cluit.data.portrait_folder import ARGUMENTS, file_names, portraits_of, write_folder

OPTIONS: dict[str, Any] = {
    "seed": 3,
    "split": "test",
    "hidden": 0.2,
    "species_weights": {"cat": 3, "fox": 1, "dog": 1},
    "coarse": {"cat": "wild", "fox": "wild", "pig": "farm"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "animals", 20, 32, **OPTIONS)
    return tmp_path / "animals"


def test_a_written_folder_is_the_same_data_set_again(folder: Path) -> None:
    pictures = ImageFolder(folder, 32)
    portraits = portraits_of(pictures)
    assert portraits is not None
    assert portraits.classes == pictures.classes == ["dog", "wild"]  # no pig came
    place = {path.relative_to(folder).as_posix(): i for i, path in enumerate(pictures.paths)}
    order = [place[name] for name in file_names(portraits)]
    assert sorted(order) == list(range(20))
    assert torch.equal(portraits.batch(range(20)), pictures.batch(order))
    assert portraits.labels == [pictures.labels[i] for i in order]


def test_a_folder_that_has_moved_is_known_too(folder: Path) -> None:
    moved = folder.rename(folder.with_name("elsewhere"))
    assert portraits_of(ImageFolder(moved, 32)) is not None


def lose(folder: Path) -> None:
    next(folder.rglob("*.png")).unlink()


def add(folder: Path) -> None:
    shutil.copy(next(folder.rglob("*.png")), folder / "another.png")


def rename(folder: Path) -> None:
    next(folder.rglob("*.png")).rename(folder / "another.png")


def repaint(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        as_picture(torch.full((3, 32, 32), 99, dtype=torch.uint8)).save(path)


def damage(folder: Path) -> None:
    (folder / "dog" / "broken.png").write_text("no picture")


def forget(folder: Path) -> None:
    (folder / ARGUMENTS).unlink()


@pytest.mark.parametrize("change", [lose, add, rename, repaint, damage, forget])
def test_a_changed_folder_is_an_ordinary_one(folder: Path, change: Any) -> None:
    change(folder)
    assert portraits_of(ImageFolder(folder, 32)) is None


def test_pictures_of_another_size_are_not_those_that_would_be_drawn(folder: Path) -> None:
    assert portraits_of(ImageFolder(folder, 64)) is None


@pytest.mark.parametrize(
    "change",
    [{"format_version": 2}, {"count": 10**12}, {"seed": "a"}, {"coarse": {"cow": "cattle"}}, {"more": 1}],
)
def test_arguments_that_cannot_be_are_no_portraits(folder: Path, change: dict[str, Any]) -> None:
    told = json.loads((folder / ARGUMENTS).read_text())
    (folder / ARGUMENTS).write_text(json.dumps(told | change))
    assert portraits_of(ImageFolder(folder, 32)) is None


@pytest.mark.parametrize("text", ["", "[]", "[1]", "{}", "{'size': 32}", "\xff"])
def test_another_file_of_that_name_does_no_harm(folder: Path, text: str) -> None:
    (folder / ARGUMENTS).write_text(text, "latin-1")
    assert portraits_of(ImageFolder(folder, 32)) is None


def test_no_label_takes_the_place_of_the_arguments(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name of a subfolder"):
        write_folder(tmp_path / "animals", 2, 32, coarse={"cat": "Portraits.json"})
