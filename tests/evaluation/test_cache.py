"""Features are found by what pictures and networks are, and a file is whole or not there."""

from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cluit.core.files import cache_folder
from cluit.core.images import as_picture
from cluit.data.dataset import as_dataset
from cluit.data.folder import ImageFolder
from cluit.evaluation.cache import cache_file, cached_rows, content, writing_rows
from cluit.evaluation.realism import RandomFeatures

CPU = torch.device("cpu")


class Means:
    """A network by some name."""

    def __init__(self, name: str, scale: float = 1) -> None:
        self.name, self.dim, self.scale = name, 3, scale

    def __call__(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)) * self.scale


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_content_is_of_pixels_and_their_order_not_of_names(tmp_path: Path) -> None:
    pictures = torch.randint(0, 256, (70, 3, 16, 16), dtype=torch.uint8)
    for i, picture in enumerate(pictures):
        for folder, name in (("a", f"{i:03d}.png"), ("b", f"x{i:03d}.bmp")):
            (tmp_path / folder).mkdir(exist_ok=True)
            as_picture(picture).save(tmp_path / folder / name)
    digest = content(ImageFolder(tmp_path / "a", 16))
    assert digest == content(ImageFolder(tmp_path / "b", 16)) == content(as_dataset(list(pictures), 16))
    assert digest != content(as_dataset(list(pictures.flip(0)), 16))
    assert digest != content(ImageFolder(tmp_path / "a", 8))


def test_a_network_is_known_by_its_name_and_by_what_it_answers(cache: Path) -> None:
    files = {
        cache_file(network, digest, CPU)
        for network in (Means("a"), Means("b"), Means("a", 2), RandomFeatures())
        for digest in ("1", "2")
    }
    assert len(files) == 8
    assert cache_file(Means("a"), "1", CPU) == cache_file(Means("a"), "1", CPU)
    odd = cache_file(Means("../../oracle:x y"), "1", CPU)
    assert odd.parent == cache_folder("features") == cache / "cluit" / "features"


def test_rows_come_back_as_written() -> None:
    path, rows = cache_folder("features") / "rows.npy", torch.randn(10, 4)
    assert cached_rows(path, (10, 4)) is None
    with writing_rows(path, (10, 4)) as write:
        for part in rows.split(3):
            write(part)
    kept = cached_rows(path, (10, 4))
    assert kept is not None
    assert torch.equal(torch.from_numpy(kept[list(range(10))]), rows)
    assert cached_rows(path, (10, 5)) is None


def test_what_was_not_finished_or_is_damaged_is_not_there() -> None:
    path = cache_folder("features") / "rows.npy"
    with suppress(KeyboardInterrupt), writing_rows(path, (10, 4)) as write:
        write(torch.randn(3, 4))
        raise KeyboardInterrupt
    assert not list(path.parent.iterdir())
    path.write_bytes(b"\x93NUMPY\x01\x00v\x00")
    assert cached_rows(path, (10, 4)) is None
