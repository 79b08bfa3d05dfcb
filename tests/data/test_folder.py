"""A folder as a data set: what is found, what is skipped and why, what is kept in memory."""

import errno
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cluit.core.errors import UserError
from cluit.data.folder import ImageFolder


def write(path: Path, shade: int, side: int = 8) -> Path:
    """A grey picture: its shade says which one it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (shade, shade, shade)).save(path)
    return path


def damage(path: Path) -> Path:
    """Keep the header, lose the rest."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:6000])
    return path


def shades(dataset: ImageFolder) -> list[int]:
    return [int(dataset[i][0, 0, 0]) for i in range(len(dataset))]


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    for i in range(10):
        write(tmp_path / "ten" / f"{i}.png", 10 * i)
    return tmp_path / "ten"


def test_nested_pictures_are_found_in_the_order_of_their_relative_names(tmp_path: Path) -> None:
    names = ["dog/b.PNG", "dog/a.jpeg", "cat/far/down/é 猫.webp", "cat/x.bmp", "cat.png"]
    names += ["cat/.hidden.png", ".git/a.png"]
    for shade, name in enumerate(names):
        write(tmp_path / name, 20 * shade)
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    dataset = ImageFolder(tmp_path, 8)
    relative = [path.relative_to(tmp_path).as_posix() for path in dataset.paths]
    assert relative == ["cat.png", "cat/far/down/é 猫.webp", "cat/x.bmp", "dog/a.jpeg", "dog/b.PNG"]
    assert shades(dataset) == [80, 40, 60, 20, 0]
    assert dataset.classes == ["", "cat", "dog"]
    assert dataset.labels == [0, 1, 1, 2, 2]
    assert dataset.skipped == {}


def test_a_flat_folder_is_one_nameless_class(ten: Path) -> None:
    dataset = ImageFolder(str(ten), 8)
    assert dataset.classes == [""]
    assert dataset.labels == [0] * 10


def test_items_are_bytes_at_the_asked_size_and_end_where_they_should(ten: Path) -> None:
    dataset = ImageFolder(ten, 4)
    assert dataset[3].shape == (3, 4, 4)
    assert dataset[3].dtype == torch.uint8
    assert torch.equal(dataset[-1], dataset[9])
    assert len(list(iter(dataset))) == 10
    both = dataset.batch([7, 2])
    assert torch.equal(both, dataset.batch(torch.tensor([7, 2])))
    assert both[:, 0, 0, 0].tolist() == [70, 20]


def test_fit_is_crop_unless_asked(tmp_path: Path) -> None:
    wide = np.zeros((9, 27, 3), np.uint8)
    wide[:, :9] = 255
    for name in "ab":
        Image.fromarray(wide).save(tmp_path / f"{name}.png")
    assert ImageFolder(tmp_path, 9)[0][:, :, 3:].max() == 0
    assert ImageFolder(tmp_path, 9, fit="resize")[0][:, :, 0].min() > 250


def test_every_unusable_file_is_skipped_by_name_with_the_reason(
    ten: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ten / "empty.jpg").touch()
    (ten / "page.jpg").write_text("<html>")
    (ten / "broken-link.png").symlink_to(ten / "nowhere.png")
    (ten / "self-link.png").symlink_to(ten / "self-link.png")
    write(ten / "large.png", 0, side=300)
    write(ten / "secret.png", 0)
    original = Path.open

    def guarded(self: Path, *args: Any, **options: Any) -> Any:  # to root every file is readable
        if self.name == "secret.png":
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(self, *args, **options)

    monkeypatch.setattr(Path, "open", guarded)
    monkeypatch.setattr("cluit.data.decode.MAX_PIXELS", 80_000)
    dataset = ImageFolder(ten, 8)
    assert shades(dataset) == [10 * i for i in range(10)]
    assert {path.name: reason for path, reason in dataset.skipped.items()} == {
        "empty.jpg": "empty file",
        "page.jpg": "not a PNG, JPEG, WebP or BMP picture",
        "broken-link.png": "a broken link, or not a file",
        "self-link.png": "a broken link, or not a file",
        "large.png": "enormous: 300 × 300 pixels, more than 80,000",
        "secret.png": "cannot be read: Permission denied",
    }


def test_a_folder_that_cannot_be_entered_is_named(ten: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (ten / "locked").mkdir()
    original = os.scandir

    def guarded(path: Path) -> Any:
        if path.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert ImageFolder(ten, 8).skipped == {ten / "locked": "cannot be entered: Permission denied"}


def test_links_are_followed_once_and_circles_end(tmp_path: Path) -> None:
    write(tmp_path / "data" / "dog" / "1.png", 10)
    write(tmp_path / "data" / "cat" / "1.png", 20)
    write(tmp_path / "elsewhere" / "1.png", 30)
    (tmp_path / "data" / "cat" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "cat" / "dogs").symlink_to(tmp_path / "data" / "dog")  # must not turn dogs into cats
    (tmp_path / "data" / "fox").symlink_to(tmp_path / "elsewhere")
    dataset = ImageFolder(tmp_path / "data", 8)
    assert [path.relative_to(tmp_path / "data").as_posix() for path in dataset.paths] == [
        "cat/1.png",
        "dog/1.png",
        "fox/1.png",
    ]
    assert dataset.classes == ["cat", "dog", "fox"]


@pytest.mark.parametrize("order", [range(10), range(9, -1, -1), [4, 3, 9, 0, 1, 2, 5, 6, 7, 8]])
def test_a_damaged_file_gives_its_place_to_the_next_good_one_in_any_order_of_reading(
    order: Sequence[int], ten: Path
) -> None:
    for i in (3, 4, 9):
        damage(ten / f"{i}.png")
    dataset = ImageFolder(ten, 8)
    assert len(dataset) == 10
    assert dataset.skipped == {}  # only headers were read
    with pytest.warns(UserWarning, match="the next picture takes its place") as caught:
        dataset.batch(order)
    assert len(caught) == 3
    assert shades(dataset) == [0, 10, 20, 50, 50, 50, 60, 70, 80, 0]
    assert [path.name for path in dataset.paths][3:5] == ["5.png", "5.png"]
    assert sorted(path.name for path in dataset.skipped) == ["3.png", "4.png", "9.png"]
    assert all("truncated" in reason for reason in dataset.skipped.values())


def test_labels_follow_the_picture_that_is_shown(tmp_path: Path) -> None:
    for i, kind in enumerate(["cat", "dog", "dog"]):
        write(tmp_path / kind / f"{i}.png", i)
    damage(tmp_path / "cat" / "0.png")
    dataset = ImageFolder(tmp_path, 8)
    with pytest.warns(UserWarning, match="skipped"):
        dataset[0]
    assert [dataset.classes[label] for label in dataset.labels] == ["dog", "dog", "dog"]


def test_a_file_that_vanishes_while_training_is_skipped_too(ten: Path) -> None:
    dataset = ImageFolder(ten, 8)
    (ten / "2.png").unlink()
    with pytest.warns(UserWarning, match="No such file"):
        assert shades(dataset)[2] == 30


def test_too_few_good_pictures_is_one_sentence_at_the_start(ten: Path) -> None:
    for i in range(7):
        (ten / f"{i}.png").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        ImageFolder(ten, 8, minimum=4)
    assert str(caught.value) == (
        f"only 3 of 10 pictures under {ten} can be used, at least 4 are needed "
        "(0.png: empty file; 1.png: empty file; 2.png: empty file)"
    )
    assert len(ImageFolder(ten, 8, minimum=3)) == 3


def test_one_picture_is_no_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "only.png")
    with pytest.raises(UserError, match=r"^only 1 picture under .* can be used, at least 2 are needed$"):
        ImageFolder(tmp_path, 8)


@pytest.mark.filterwarnings("ignore:skipped")
def test_too_few_good_pictures_is_one_sentence_when_it_shows_later(ten: Path) -> None:
    for i in range(9):
        damage(ten / f"{i}.png")
    dataset = ImageFolder(ten, 8)
    with pytest.raises(UserError, match=r"only 1 of 10 pictures .* at least 2 are needed \(0.png: truncated"):
        dataset.batch(range(10))


def test_a_folder_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(UserError, match=r"no pictures under .*; looked for .bmp, .jpeg, .jpg, .png, .webp"):
        ImageFolder(tmp_path, 8)
    with pytest.raises(UserError, match="is not a folder"):
        ImageFolder(tmp_path / "notes.txt", 8)
    with pytest.raises(UserError, match="there is no folder at"):
        ImageFolder(tmp_path / "absent", 8)


@pytest.mark.parametrize("options", [{"size": 0}, {"cache_bytes": -1}, {"fit": "stretch"}])
def test_settings_out_of_range_are_refused(options: dict[str, Any], ten: Path) -> None:
    with pytest.raises(UserError):
        ImageFolder(ten, **{"size": 8, **options})


@pytest.mark.parametrize(("budget", "kept"), [(2**30, 10), (5 * 192 + 191, 5), (191, 0), (0, 0)])
def test_the_cache_keeps_within_its_budget_and_the_rest_still_works(
    budget: int, kept: int, ten: Path
) -> None:
    dataset = ImageFolder(ten, 8, cache_bytes=budget)  # a picture takes 3 · 8 · 8 = 192 bytes
    assert dataset.cache.nbytes == kept * 192 <= budget
    for _ in range(2):
        assert shades(dataset) == [10 * i for i in range(10)]
    for i in range(10):
        (ten / f"{i}.png").unlink()
    if kept:
        assert dataset.batch(range(kept))[:, 0, 0, 0].tolist() == [10 * i for i in range(kept)]


def test_what_a_caller_does_to_a_picture_does_not_reach_the_cache(ten: Path) -> None:
    dataset = ImageFolder(ten, 8)
    dataset.batch([5]).zero_()
    dataset[5].zero_()
    assert dataset[5].max() == 50


def test_many_threads_see_the_same_pictures(ten: Path) -> None:
    damage(ten / "3.png")
    expected = [0, 10, 20, 40, *range(40, 100, 10)]
    dataset = ImageFolder(ten, 8, cache_bytes=5 * 192)
    orders = [torch.randperm(10).tolist() for _ in range(40)]
    with ThreadPoolExecutor(8) as pool, pytest.warns(UserWarning, match="skipped") as caught:
        seen = list(pool.map(dataset.batch, orders))
    assert len(caught) == 1
    for order, pictures in zip(orders, seen, strict=True):
        assert pictures[:, 0, 0, 0].tolist() == [expected[i] for i in order]


def test_real_photographs_are_all_usable(faces64: Path) -> None:
    dataset = ImageFolder(faces64 / "test", 64)
    assert len(dataset) == 2000
    assert dataset.skipped == {}
    assert dataset.classes == ["cat", "human"]
    assert torch.tensor(dataset.labels).bincount().tolist() == [1000, 1000]
    pictures = dataset.batch(range(0, 2000, 40)).float()
    assert pictures.std(dim=(1, 2, 3)).min() > 5
    assert 60 < pictures.mean() < 190


def test_a_warning_that_nobody_can_read_does_not_spoil_the_batch(
    ten: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    damage(ten / "3.png")
    monkeypatch.setattr("warnings.warn", lost)
    assert shades(ImageFolder(ten, 8))[3] == 40
