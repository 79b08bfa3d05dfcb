"""Tar shards on both sides of a job."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from cluit.apps.translate import translate
from cluit.core.errors import UserError
from cluit.core.images import as_picture

OPTIONS = {"precision": "float32", "batch_size": 3, "workers": 2}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """sources/ and references/."""
    for folder, count in (("sources", 9), ("references", 3)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            pixels = torch.randint(0, 256, (3, 33, 40), dtype=torch.uint8)
            as_picture(pixels).save(tmp_path / folder / f"{folder[0]}.{i}.png")
    return tmp_path


def run(model: Path, sources: Path, pictures: Path, out: Path, **options: object) -> list[str]:
    """The lines of the manifest."""
    translate(str(model), sources, pictures / "references", out=out, **(OPTIONS | options))  # type: ignore[arg-type]
    return (out / "manifest.csv").read_text().replace(f"{pictures}/", "").splitlines()[1:]


def members(tar: Path) -> dict[str, bytes]:
    with tarfile.open(tar) as file:
        return {one.name: file.extractfile(one).read() for one in file}  # type: ignore[union-attr]


def whole(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "job.json"}


def test_a_folder_becomes_tars_of_the_same_pictures(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    run(tiny_model, pictures / "sources", pictures, tmp_path / "files", each=2)
    lines = run(tiny_model, pictures / "sources", pictures, tmp_path / "tars", each=2, shards=7)
    tars = sorted((tmp_path / "tars").glob("*.tar"))
    assert [tar.name for tar in tars] == ["shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]
    found = [members(tar) for tar in tars]
    assert [len(one) for one in found] == [12, 12, 12]  # a picture and its card; a source's two stay together
    assert {
        name.replace("_", "."): data for one in found for name, data in one.items() if name.endswith("png")
    } == {path.name: path.read_bytes() for path in (tmp_path / "files").glob("*.png")}
    for line in lines:
        source, reference, output = line.split(",")
        tar, _, name = output.partition("/")
        card = json.loads(members(tmp_path / "tars" / tar)[name.replace("png", "json")])
        assert [os.path.relpath(card[side], pictures) for side in ("source", "reference")] == [
            source,
            reference,
        ]


def test_a_whole_tar_is_not_done_again_and_a_lost_one_is(
    tiny_model: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tars"
    options = {"nearest": 1, "shards": 4, "format": "webp"}
    run(tiny_model, pictures / "sources", pictures, out, **options)
    before = whole(out)
    (out / "shard-000001.tar").unlink()
    time = (out / "shard-000000.tar").stat().st_mtime_ns
    run(tiny_model, pictures / "sources", pictures, out, **options, resume=True)
    assert whole(out) == before
    assert (out / "shard-000000.tar").stat().st_mtime_ns == time
    (pictures / "sources" / "another.png").write_bytes((pictures / "sources" / "s.0.png").read_bytes())
    with pytest.raises(UserError, match="a job with another list of sources;"):
        run(tiny_model, pictures / "sources", pictures, out, **options, resume=True)


def test_tars_are_translated_as_their_pictures_are(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    paths = sorted((pictures / "sources").iterdir())
    for number, part in enumerate(
        (paths[:3], paths[3:])
    ):  # as long as the batches, which round by their size
        with tarfile.open(tmp_path / "in" / f"p-{number}.tar", "w") as tar:
            for path in part:
                tar.add(path, path.name.replace("s.", "s"))
    pattern = tmp_path / "in" / "p-{0..1}.tar"
    lines = run(tiny_model, pattern, pictures, tmp_path / "files")
    assert len(lines) == 27
    assert lines[0] == "in/p-0.tar/s0.png,references/r.0.png,p-0/s0--r.0.png"
    run(tiny_model, pictures / "sources", pictures, tmp_path / "plain")
    plain = {path.name: path.read_bytes() for path in (tmp_path / "plain").glob("*.png")}
    assert {
        path.name.replace("s", "s.", 1): path.read_bytes() for path in (tmp_path / "files").glob("*/*.png")
    } == plain
    run(tiny_model, tmp_path / "in", pictures, tmp_path / "tars", shards=9)
    names = [path.name for path in sorted((tmp_path / "tars").glob("*.tar"))]
    assert names == ["p-0-000000.tar", "p-1-000000.tar", "p-1-000001.tar"]
    for data in members(tmp_path / "tars" / names[0]).values():
        if data.startswith(b"\x89PNG"):
            with Image.open(io.BytesIO(data)) as picture:
                assert picture.size == (32, 32)


def test_processes_share_tars(
    tiny_model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = run(tiny_model, pictures / "sources", pictures, tmp_path / "one", shards=6)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        translate(
            str(tiny_model), pictures / "sources", pictures / "references",
            out=tmp_path / "two", shards=6, **OPTIONS,  # type: ignore[arg-type]
        )  # fmt: skip
    for path in (tmp_path / "one").glob("*.tar"):
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()
    lines = (tmp_path / "two" / "manifest.csv").read_text().replace(f"{pictures}/", "").splitlines()[1:]
    assert sorted(lines) == sorted(one)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"each": 3, "shards": 2}, "add --shards 3 or more"), ({"shards": 0}, "one picture in a shard")],
)
def test_a_shard_holds_a_source_at_least(
    tiny_model: Path, pictures: Path, tmp_path: Path, options: dict[str, int], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        run(tiny_model, pictures / "sources", pictures, tmp_path / "out", **options)
