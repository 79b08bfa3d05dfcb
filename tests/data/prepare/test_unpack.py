"""A folder appears whole or not at all, and stopped work is gone on with."""

import io
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.data.decode import open_picture
from cluit.data.prepare.layout import Layout
from cluit.data.prepare.unpack import resumable_folder, unpack


def picture(kind: str, height: int = 40, width: int = 30) -> bytes:
    file = io.BytesIO()
    as_picture(torch.randint(0, 256, (3, height, width), dtype=torch.uint8)).save(file, kind)
    return file.getvalue()


FILES = {"a/1.png": picture("PNG"), "a/2.jpg": picture("JPEG"), "a/3.png": b"no picture", "a/4.jpg": b""}
LAYOUT = Layout({f"train/{name[2:]}": name for name in FILES}, {"table.csv": "file,x\n"})


def unpacked(folder: Path, side: int | None = None) -> dict[str, str]:
    return unpack({name: partial(bytes, data) for name, data in FILES.items()}, LAYOUT, folder, side)


def test_pictures_are_copied_as_they_are_and_others_named(tmp_path: Path) -> None:
    skipped = unpacked(tmp_path)
    assert (tmp_path / "train" / "1.png").read_bytes() == FILES["a/1.png"]
    assert (tmp_path / "train" / "2.jpg").read_bytes() == FILES["a/2.jpg"]
    assert (tmp_path / "table.csv").read_text() == "file,x\n"
    assert skipped == {"a/3.png": "not a PNG, JPEG, WebP or BMP picture", "a/4.jpg": "empty file"}
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == ["1.png", "2.jpg"]


def test_a_side_makes_central_squares_in_the_same_format(tmp_path: Path) -> None:
    unpacked(tmp_path, side=30)
    whole = Image.open(io.BytesIO(FILES["a/1.png"]))
    square = open_picture(tmp_path / "train" / "1.png")
    assert square.tobytes() == whole.crop((0, 5, 30, 35)).tobytes()  # no resize: not a pixel differs
    with Image.open(tmp_path / "train" / "2.jpg") as jpeg:
        assert (jpeg.format, jpeg.size) == ("JPEG", (30, 30))
    other = tmp_path / "small"
    unpacked(other, side=8)
    assert {open_picture(path).size for path in other.rglob("*.*g")} == {(8, 8)}


def test_stopped_work_is_gone_on_with_by_the_same_command_alone(tmp_path: Path) -> None:
    out, asked = tmp_path / "out", list[str]()

    def counting(name: str) -> bytes:
        asked.append(name)
        return FILES[name]

    def stopped(begun: dict[str, object], stop: bool) -> None:
        files = {name: partial(counting, name) for name in FILES}
        with resumable_folder(out, begun) as folder:
            unpack(files, LAYOUT, folder)
            if stop:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped({"size": 1}, stop=True)
    assert not out.exists()
    with pytest.raises(KeyboardInterrupt):
        stopped({"size": 1}, stop=True)
    assert asked.count("a/1.png") == 1
    stopped({"size": 2}, stop=False)
    assert asked.count("a/1.png") == 2
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "out", "out/table.csv", "out/train", "out/train/1.png", "out/train/2.jpg",
    ]  # fmt: skip


def test_what_is_there_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with resumable_folder(tmp_path / "out", {}) as folder:  # an empty one may be taken
        unpacked(folder)
    with pytest.raises(UserError, match="exists already"), resumable_folder(tmp_path / "out", {}):
        pass
