"""Tar shards come back as they were written, and what is damaged is named."""

import importlib
import io
import json
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.data.shards import ShardWriter, entries, is_shards, read_span, shard_files


def png(shade: int) -> bytes:
    file = io.BytesIO()
    as_picture(torch.full((3, 16, 16), shade, dtype=torch.uint8)).save(file, "PNG")
    return file.getvalue()


def written(folder: Path, count: int = 5, per_shard: int = 2) -> list[Path]:
    with ShardWriter(folder, per_shard) as writer:
        for i in range(count):
            writer.write(f"cat/{i:03d}", {"png": png(i), "json": json.dumps({"i": i}).encode()})
    return writer.finished


def pack(path: Path, files: dict[str, bytes]) -> Path:
    """A tar as anybody's tool may write it."""
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


class Sample(NamedTuple):
    key: str
    extension: str
    data: bytes
    others: dict[str, bytes]


def read(*shards: Path) -> tuple[list[Sample], dict[str, str]]:
    """Every sample; and what was skipped, below the shards' folder."""
    skipped, found = dict[Path, str](), list[Sample]()
    for shard in shards:
        with shard.open("rb") as file:
            for key, extension, span, spans in entries(shard, skipped):
                others = {name: read_span(file.fileno(), other) for name, other in spans.items()}
                found.append(Sample(key, extension, read_span(file.fileno(), span), others))
    return found, {str(path.relative_to(shards[0].parent)): reason for path, reason in skipped.items()}


def test_samples_come_back_in_order_with_all_their_members(tmp_path: Path) -> None:
    shards = written(tmp_path / "shards")
    assert [shard.name for shard in shards] == [f"shard-{i:06d}.tar" for i in range(3)]
    samples, skipped = read(*shard_files(tmp_path / "shards"))
    assert skipped == {}
    assert [sample.key for sample in samples] == [f"cat/{i:03d}" for i in range(5)]
    assert [sample.data for sample in samples] == [png(i) for i in range(5)]
    assert {sample.extension for sample in samples} == {"png"}
    assert json.loads(samples[3].others["json"]) == {"i": 3}


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    tariterators = importlib.import_module("webdataset.tariterators")
    shard = written(tmp_path, per_shard=5)[0]
    with shard.open("rb") as stream:  # the library's own opener leaves files open
        members = tariterators.tar_file_expander(iter([{"url": str(shard), "stream": stream}]))
        found = list(tariterators.group_by_keys(members))
    assert [sample["__key__"] for sample in found] == [f"cat/{i:03d}" for i in range(5)]
    assert [json.loads(sample["json"]) for sample in found] == [{"i": i} for i in range(5)]
    assert [sample["png"] for sample in found] == [png(i) for i in range(5)]


def test_equal_samples_are_equal_bytes(tmp_path: Path) -> None:
    one, other = written(tmp_path / "one"), written(tmp_path / "other")
    assert [a.read_bytes() for a in one] == [b.read_bytes() for b in other]


def test_no_two_samples_of_a_tar_share_a_key(tmp_path: Path) -> None:
    keys = ["cat/a.b", "cat/a_b", "cat/a.b", "c.at/a"]
    with ShardWriter(tmp_path, 10) as writer:
        got = [writer.write(key, {"png": png(i)}) for i, key in enumerate(keys)]
    assert got == ["cat/a_b", "cat/a_b-2", "cat/a_b-3", "c.at/a"]
    samples, skipped = read(*writer.finished)
    assert [sample.key for sample in samples] == got
    assert not skipped


def test_an_error_leaves_finished_tars_and_nothing_else(tmp_path: Path) -> None:
    def interrupted() -> None:
        with ShardWriter(tmp_path, 2) as writer:
            for i in range(3):
                writer.write(str(i), {"png": png(i)})
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["shard-000000.tar"]
    assert len(read(tmp_path / "shard-000000.tar")[0]) == 2


def test_tars_that_are_there_stay(tmp_path: Path) -> None:
    before = written(tmp_path, count=2)[0]
    content = before.read_bytes()
    assert [path.name for path in written(tmp_path, count=3)] == ["shard-000001.tar", "shard-000002.tar"]
    assert before.read_bytes() == content


def test_a_pattern_names_what_is_written_and_read(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "train-{08..09}.tar", 1) as writer:
        for i in range(2):
            writer.write(str(i), {"png": png(i)})
    assert [path.name for path in writer.finished] == ["train-08.tar", "train-09.tar"]
    assert shard_files(tmp_path / "train-{08..09}.tar") == writer.finished
    with (
        pytest.raises(UserError, match="are taken"),
        ShardWriter(tmp_path / "train-{08..09}.tar", 1) as writer,
    ):
        writer.write("one more", {"png": png(0)})
    with pytest.raises(UserError, match="needs one range of numbers"):
        ShardWriter(tmp_path / "train.tar", 1)
    with pytest.raises(UserError, match=r"no shard at .*train-07.tar"):
        shard_files(tmp_path / "train-{07..09}.tar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"there is no \.tar in"):
        shard_files(tmp_path / "empty")


def test_a_folder_is_one_of_shards_only_without_pictures_and_folders(tmp_path: Path) -> None:
    written(tmp_path, count=2)
    assert is_shards(tmp_path)
    assert is_shards(tmp_path / "shard-000000.tar")
    assert is_shards(tmp_path / "shard-{000..099}.tar")
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden").mkdir()
    assert is_shards(tmp_path)
    (tmp_path / "cats").mkdir()
    assert not is_shards(tmp_path)
    (tmp_path / "cats").rmdir()
    (tmp_path / "a.JPG").touch()
    assert not is_shards(tmp_path)
    assert not is_shards(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("damage", "left", "told"),
    [
        (lambda whole: whole[:1560], 1, ("shard.tar/1.png", "truncated")),
        (lambda whole: whole[:1700], 2, ("shard.tar", "unexpected end")),
        (lambda whole: whole[: 4 * 512], 2, ("shard.tar", "stops without the mark")),
        (lambda whole: whole[: 2 * 512 + 100], 1, ("shard.tar", "damaged at byte 1,024")),
        (lambda whole: whole[:1030] + b"?" + whole[1031:], 1, ("shard.tar", "damaged at byte 1,024")),
        (lambda whole: b"no tar at all" * 99, 0, ("shard.tar", "damaged, compressed or not a tar")),
        (lambda whole: b"", 0, ("shard.tar", "damaged, compressed or not a tar")),
    ],
)
def test_damage_is_named_and_what_precedes_it_is_read(
    tmp_path: Path, damage: object, left: int, told: tuple[str, str]
) -> None:
    assert callable(damage)
    shard = pack(tmp_path / "shard.tar", {f"{i}.png": png(i) for i in range(3)})
    assert len(png(0)) <= 512  # so that a header and a picture are two blocks
    shard.write_bytes(damage(shard.read_bytes()))
    samples, skipped = read(shard)
    assert [sample.data for sample in samples] == [png(i) for i in range(left)]
    ((name, reason),) = skipped.items()
    assert name == told[0]
    assert told[1] in reason


def test_only_the_picture_of_a_sample_counts_and_hidden_files_do_not(tmp_path: Path) -> None:
    files = {
        "./dog/1.PNG": png(1), "dog/._1.png": b"rubbish", "dog/2.mask.png": png(9), "dog/2.png": png(2),
        "dog/3.txt": b"no picture", "/dog/4.v1.png": png(4), "dog/4.v2.png": png(5), "../../x/5.png": png(6),
    }  # fmt: skip
    samples, skipped = read(pack(tmp_path / "a.tar", files))
    assert [(sample.key, sample.data) for sample in samples] == [
        ("dog/1", png(1)),
        ("dog/2", png(2)),
        ("dog/4", png(4)),
    ]
    assert samples[1].others["mask.png"] == png(9)
    assert skipped == {"a.tar/dog/4.v2.png": "another picture of the sample dog/4, whose first one counts"}


def test_without_the_library_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = written(tmp_path)[0]
    for name in [name for name in sys.modules if name.split(".")[0] == "webdataset"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "webdataset", None)
    for use in (lambda: ShardWriter(tmp_path, 1), lambda: read(shard)):
        with pytest.raises(UserError, match=r"needs webdataset.* pip install 'cluit\[shards\]'"):
            use()
