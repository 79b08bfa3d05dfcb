"""A folder decoded once is the folder, in this process and in others, and knows its damaged files."""

import pickle
from pathlib import Path

import pytest
import torch

from cluit.core.images import as_picture
from cluit.data.folder import ImageFolder
from cluit.evaluation.cache import content
from cluit.evaluation.pixels import decode_once


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for i in range(70):  # more than are decoded together
        pixels = torch.randint(0, 256, (3, 20 + i % 3, 24), dtype=torch.uint8)
        as_picture(pixels).save(tmp_path / "pictures" / f"{i:02d}.png")
    return tmp_path / "pictures"


def test_pixels_are_the_folders(folder: Path, tmp_path: Path) -> None:
    pictures = ImageFolder(folder, 16, cache_bytes=0)
    pixels, digest = decode_once(pictures, tmp_path / "pixels")
    assert digest == content(pictures)
    assert len(pixels) == len(pictures)
    for numbers in ([3, 69, 3], range(60, 70), []):
        assert torch.equal(pixels.batch(numbers), pictures.batch(numbers))


def test_pixels_are_of_the_folders_classes(folder: Path, tmp_path: Path) -> None:
    for i, name in enumerate(("cat", "dog")):
        (folder / name).mkdir()
        (folder / f"{i:02d}.png").rename(folder / name / "one.png")
    pictures = ImageFolder(folder, 16)
    pixels = pickle.loads(pickle.dumps(decode_once(pictures, tmp_path / "pixels")[0]))
    assert (pixels.classes, pixels.labels) == (pictures.classes, pictures.labels)
    assert pixels.classes == ["", "cat", "dog"]


def test_another_process_is_sent_the_place_not_the_pixels(folder: Path, tmp_path: Path) -> None:
    pixels, _ = decode_once(ImageFolder(folder, 16), tmp_path / "pixels")
    sent = pickle.dumps(pixels)
    assert len(sent) < 1000 < 70 * 3 * 16 * 16
    assert torch.equal(pickle.loads(sent).batch([5]), pixels.batch([5]))


def test_after_it_all_damage_is_known(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "40.png").read_bytes()
    (folder / "40.png").write_bytes(whole[: len(whole) // 2])
    pictures = ImageFolder(folder, 16, cache_bytes=0)
    with pytest.warns(UserWarning, match=r"40\.png"):
        pixels, _ = decode_once(pictures, tmp_path / "pixels")
    assert [path.name for path in pictures.skipped] == ["40.png"]
    assert torch.equal(*pixels.batch([40, 41]))
