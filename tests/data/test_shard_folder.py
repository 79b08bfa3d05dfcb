"""Shards are the same pictures as the folder that they were packed from, in the same batches."""

import itertools
import os
from pathlib import Path

import pytest
import torch

from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.data import shard_folder
from cluit.data.folder import ImageFolder
from cluit.data.labels import Labelled, class_labels
from cluit.data.loader import batches
from cluit.data.shard_folder import ShardFolder, folder_type
from cluit.data.shards import ShardWriter


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cluit" / "shards"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(12):
        path = tmp_path / "folder" / ("cat", "dog")[number % 2] / f"{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(0, 256, (3, 20, 24), dtype=torch.uint8)
        as_picture(pixels).save(path)
    return tmp_path / "folder"


@pytest.fixture
def shards(tmp_path: Path, folder: Path) -> Path:
    with ShardWriter(tmp_path / "shards", 5) as writer:
        for path in ImageFolder(folder, 8).paths:
            writer.write(path.relative_to(folder).with_suffix("").as_posix(), {"jpg": path.read_bytes()})
    return tmp_path / "shards"


def test_shards_have_the_pictures_and_classes_of_their_folder(folder: Path, shards: Path) -> None:
    files, packed = ImageFolder(folder, 8), ShardFolder(shards, 8)
    assert isinstance(packed, folder_type(shards))
    assert not isinstance(files, ShardFolder)
    assert folder_type(folder) is ImageFolder
    assert torch.equal(packed.batch(range(12)), files.batch(range(12)))
    assert (packed.classes, packed.labels) == (files.classes, files.labels)
    assert [packed.read(path) for path in packed.paths] == [files.read(path) for path in files.paths]
    assert packed.paths[5] == shards / "shard-000001.tar" / "cat" / "10.jpg"
    assert packed.skipped == {}


def test_batches_resumed_and_split_over_ranks_are_those_of_the_folder(folder: Path, shards: Path) -> None:
    files = Labelled(ImageFolder(folder, 8), class_labels(ImageFolder(folder, 8)))
    packed = ShardFolder(shards / "shard-{000000..000002}.tar", 8, cache_bytes=0)
    with_labels = Labelled(packed, class_labels(packed))
    for rank in range(2):
        expected = batches(files, 4, seed=3, start=2, rank=rank, world=2)
        found = batches(with_labels, 4, seed=3, start=2, rank=rank, world=2)
        for one, other in itertools.islice(zip(expected, found, strict=False), 5):
            assert one.labels is not None
            assert other.labels is not None
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)
        expected.close()
        found.close()


def test_headers_are_read_once_until_a_tar_changes(
    shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = list[str]()
    build = shard_folder.build_index

    def counted(shard: Path) -> shard_folder.Index:
        built.append(shard.name)
        return build(shard)

    monkeypatch.setattr(shard_folder, "build_index", counted)
    first = ShardFolder(shards, 8)
    assert sorted(built) == [f"shard-{i:06d}.tar" for i in range(3)]
    again = ShardFolder(shards, 8)
    assert len(built) == 3
    assert (again.paths, again.labels, again.skipped) == (first.paths, first.labels, first.skipped)
    assert torch.equal(again.batch(range(12)), first.batch(range(12)))
    os.utime(shards / "shard-000001.tar", (1, 1))
    for kept in cache.iterdir():
        if '"cat/00.jpg"' in kept.read_text():
            kept.write_text("[[[1, 2]], {}]")
    ShardFolder(shards, 8)
    assert sorted(built[3:]) == ["shard-000000.tar", "shard-000001.tar"]


def test_a_cls_member_tells_the_class(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "shards", 10) as writer:
        for number, told in enumerate([b"3", b"12\n", None, b" "]):
            others = {} if told is None else {"cls": told}
            pixels = torch.full((3, 8, 8), 50 * number, dtype=torch.uint8)
            as_picture(pixels).save(tmp_path / "a.png")
            writer.write(f"cat/{number}", {"png": (tmp_path / "a.png").read_bytes(), **others})
    pictures = ShardFolder(tmp_path / "shards", 8)
    assert [pictures.classes[label] for label in pictures.labels] == ["3", "12", "cat", "cat"]


def test_damaged_pictures_are_replaced_and_listed(folder: Path, shards: Path, tmp_path: Path) -> None:
    whole = (folder / "cat" / "00.jpg").read_bytes()
    with ShardWriter(shards, 10) as writer:
        writer.write("cat/z1", {"jpg": b"no picture"})
        writer.write("cat/z2", {"jpg": whole[:-20]})  # only decoding shows it
    (shards / "shard-000009.tar").write_bytes(b"no tar")
    pictures = ShardFolder(shards, 8)
    added = shards / "shard-000003.tar" / "cat"
    assert pictures.skipped[added / "z1.jpg"] == "not a PNG, JPEG, WebP or BMP picture"
    assert "not a tar" in pictures.skipped[shards / "shard-000009.tar"]
    assert len(pictures) == 13
    with pytest.warns(UserWarning, match=r"skipped .*shard-000003\.tar/cat/z2\.jpg: truncated"):
        assert torch.equal(pictures[12], pictures[0])
    assert len(pictures.skipped) == 3


def test_a_tar_that_shrinks_later_spoils_only_what_it_lost(shards: Path) -> None:
    pictures = ShardFolder(shards, 8, cache_bytes=0)
    last = shards / "shard-000002.tar"
    last.write_bytes(last.read_bytes()[:600])
    with pytest.warns(UserWarning, match="shorter than it was"):
        assert torch.equal(pictures[11], pictures[0])


def test_too_few_pictures_are_one_sentence(shards: Path) -> None:
    with pytest.raises(UserError, match=r"only 12 pictures under .* at least 20 are needed"):
        ShardFolder(shards, 8, minimum=20)
