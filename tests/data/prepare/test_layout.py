"""What the official archives become; in archives that a test makes itself."""

import io
import stat
import zipfile
from pathlib import Path

import pytest
import torch

from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.data.attributes import CELEBA_TWELVE, attribute_labels
from cluit.data.decode import BadPictureError
from cluit.data.folder import ImageFolder
from cluit.data.prepare.afhq import AFHQ, AFHQ_V2, afhq_layout
from cluit.data.prepare.archive import open_archive
from cluit.data.prepare.celeba import CELEBA, celeba_layout
from cluit.data.prepare.layout import Layout, differences
from cluit.data.prepare.unpack import unpack


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def layout_of(path: Path, published: object = celeba_layout) -> Layout:
    assert callable(published)
    with open_archive(path) as files:
        found = published(files)
    assert isinstance(found, Layout)
    return found


PARTITION = b"000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n"
NAMES = " ".join([*CELEBA_TWELVE, "Smiling"])
ATTRIBUTES = f"4\n{NAMES} \n" + "".join(
    f"00000{i}.jpg  {' '.join('1' if (i + j) % 3 else '-1' for j in range(13))}\n" for i in range(1, 5)
)


def picture() -> bytes:
    file = io.BytesIO()
    as_picture(torch.randint(0, 256, (3, 218, 178), dtype=torch.uint8)).save(file, "JPEG")
    return file.getvalue()


def faces() -> dict[str, bytes]:
    return {f"img_align_celeba/00000{i}.jpg": picture() for i in range(1, 5)}


@pytest.fixture
def celeba(tmp_path: Path) -> Path:
    """As it is handed out: pictures in a zip, tables in folders of their own."""
    for name, data in (
        ("Anno/list_attr_celeba.txt", ATTRIBUTES.encode()),
        ("Eval/list_eval_partition.txt", PARTITION),
    ):
        (tmp_path / "CelebA" / name).parent.mkdir(parents=True)
        (tmp_path / "CelebA" / name).write_bytes(data)
    (tmp_path / "CelebA" / "Img").mkdir()
    zipped(tmp_path / "CelebA" / "Img" / "img_align_celeba.zip", faces())
    return tmp_path / "CelebA"


SPLIT = {
    "train/000001.jpg": "img_align_celeba/000001.jpg",
    "train/000002.jpg": "img_align_celeba/000002.jpg",
    "val/000003.jpg": "img_align_celeba/000003.jpg",
    "test/000004.jpg": "img_align_celeba/000004.jpg",
}


def test_celeba_goes_by_the_official_partition(celeba: Path, tmp_path: Path) -> None:
    assert layout_of(celeba).pictures == SPLIT
    beside = tmp_path / "beside"
    beside.mkdir()
    archive = zipped(beside / "img_align_celeba.zip", faces())
    (beside / "list_eval_partition.txt").write_bytes(PARTITION)
    assert layout_of(archive).pictures == SPLIT
    table = b"image_id,partition\n" + PARTITION.replace(b" ", b",")
    mirror = zipped(tmp_path / "mirror.zip", {**faces(), "list_eval_partition.csv": table})
    assert layout_of(mirror).pictures == SPLIT


def test_celebas_attributes_are_read_by_what_scores_with_them(celeba: Path, tmp_path: Path) -> None:
    with open_archive(celeba) as files:
        unpack(files, celeba_layout(files), tmp_path / "out")
    for folder in ("out", "out/train"):
        pictures = ImageFolder(tmp_path / folder, 8)
        labels = attribute_labels(pictures, tmp_path / "out" / "attributes.csv", ["celeba"])
        assert labels.classes == CELEBA_TWELVE
        numbers = [int(path.stem) for path in pictures.paths]
        assert labels.values.tolist() == [[(i + j) % 3 > 0 for j in range(12)] for i in numbers]


def test_celeba_without_a_table_says_which_and_what_to_do(celeba: Path) -> None:
    (celeba / "Anno" / "list_attr_celeba.txt").unlink()
    layout = layout_of(celeba)
    assert not layout.tables
    assert layout.notes == (
        "no attributes.csv is written, as there is no list_attr_celeba.txt beside the pictures",
    )
    table = celeba / "Eval" / "list_eval_partition.txt"
    table.write_text("000001.jpg train\n" * 3)
    with pytest.raises(UserError, match="is not CelebA's partition"):
        layout_of(celeba)
    table.write_text("000009.jpg 0\n")
    with pytest.raises(UserError, match="is a picture with a row in list_eval_partition"):
        layout_of(celeba)
    table.unlink()
    with pytest.raises(UserError, match=r"no list_eval_partition.txt.* put it .* beside the archive"):
        layout_of(celeba)


@pytest.mark.parametrize("top", ["", "afhq/", "data/afhq_v2/"])
def test_afhq_keeps_its_splits_and_classes(tmp_path: Path, top: str) -> None:
    names = ["train/cat/a.jpg", "train/dog/a.jpg", "train/wild/a.png", "val/cat/b.jpg", "test/dog/c.png"]
    others = ["train/cat/notes.txt", "train/horse/a.jpg", "cat/a.jpg", "__MACOSX/train/cat/._a.jpg"]
    archive = zipped(tmp_path / "a.zip", {top + name: b"x" for name in [*names, *others]})
    assert layout_of(archive, afhq_layout).pictures == {name: top + name for name in names}


def test_what_is_not_afhq_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not AFHQ.* https://github.com/clovaai/stargan-v2"):
        layout_of(zipped(tmp_path / "a.zip", {"cats/a.jpg": b"x"}), afhq_layout)


def test_names_lead_nowhere_outside(tmp_path: Path) -> None:
    archive = zipped(
        tmp_path / "evil.zip",
        {"../../train/cat/up.jpg": picture(), "/train/cat/root.jpg": picture(), "train/cat/..": b"x"},
    )
    with zipfile.ZipFile(archive, "a") as file:
        link = zipfile.ZipInfo("train/cat/link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    with open_archive(archive) as files:
        layout = afhq_layout(files)
        assert unpack(files, layout, tmp_path / "out") == {}
    assert set(layout.pictures) <= {"train/cat/up.jpg", "train/cat/root.jpg"}
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"evil.zip", *(f"out/{place}" for place in layout.pictures)}


def test_damaged_archives_and_members_are_told(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "whole.zip", {"train/cat/a.jpg": picture()})
    content = whole.read_bytes()
    (tmp_path / "part.zip").write_bytes(content[:-100])
    with (
        pytest.raises(UserError, match="is not a zip, or only a part of one"),
        open_archive(tmp_path / "part.zip"),
    ):
        pass
    with pytest.raises(UserError, match="there is no archive at"), open_archive(tmp_path / "none.zip"):
        pass
    whole.write_bytes(content[:300] + b"?" + content[301:])
    with open_archive(whole) as files, pytest.raises(BadPictureError, match="cannot be unpacked: Bad CRC"):
        files["train/cat/a.jpg"]()


def test_counts_are_the_published_ones() -> None:
    """By what their authors count in all."""
    assert sum(AFHQ.counts.values()) == 16_130
    assert sum(AFHQ_V2.counts.values()) == 15_803
    assert sum(CELEBA.counts.values()) == 202_599


def test_differences_show_both_numbers() -> None:
    places = ["train/cat/a.jpg", "train/dog/a.jpg", "train/dog/b.jpg", "test/cat/a.jpg"]
    assert differences({"train": 3, "train/dog": 2, "test/cat": 1}, places) == {}
    assert differences({"train": 4, "test/dog": 1}, places) == {"train": (3, 4), "test/dog": (0, 1)}
