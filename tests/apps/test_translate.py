from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cluit.apps.targets import LARGEST_SIDE, part_names
from cluit.apps.translate import translate
from cluit.core.errors import UserError
from cluit.core.images import as_picture

SIZE = 32


@pytest.fixture
def model(tiny_model: Path) -> str:
    return str(tiny_model)


def draw(path: Path, height: int = 40, width: int = 50) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    as_picture(torch.randint(0, 256, (3, height, width), dtype=torch.uint8)).save(path)
    return path


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for name in ("a.png", "b.jpg", "deep/a.webp"):
        draw(tmp_path / "sources" / name)
    return tmp_path / "sources"


@pytest.fixture
def references(tmp_path: Path) -> Path:
    for name in ("x.png", "y.bmp"):
        draw(tmp_path / "references" / name, 60, 33)
    return tmp_path / "references"


def pixels(path: Path) -> np.ndarray:
    """(H, W, 3)."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), int)


def names_in(folder: Path) -> set[str]:
    """Of the pictures."""
    return {path.name for path in folder.iterdir()} - {"job.json", "manifest.csv"}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_two_pictures_give_one(
    model: str, sources: Path, references: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / "new" / f"out{suffix}"
    translate(model, sources / "a.png", references / "x.png", out=out)
    assert pixels(out).shape == (SIZE, SIZE, 3)


def test_folders_give_a_folder_whose_names_say_both(
    model: str, sources: Path, references: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    translate(model, sources, references, out=out, batch_size=4, precision="float32")
    assert names_in(out) == {f"{s}--{r}.png" for s in ("a", "b", "deep-a") for r in ("x", "y")}
    told = capsys.readouterr()
    assert "6 translations in" in told.out
    assert "3 sources in the style of 2 references each: 6 pictures" in told.err
    one = tmp_path / "one.png"
    translate(model, sources / "b.jpg", references / "y.bmp", out=one, precision="float32")
    assert np.abs(pixels(one) - pixels(out / "b--y.png")).max() <= 1


def test_a_grid_has_references_above_and_sources_at_the_side(
    model: str, sources: Path, references: Path, tmp_path: Path
) -> None:
    translate(model, sources, references, out=tmp_path / "grid.png", grid=True)
    translate(model, sources, references, out=tmp_path / "each")
    sheet, step = pixels(tmp_path / "grid.png"), SIZE + 2
    assert sheet.shape == (4 * step - 2, 3 * step - 2, 3)
    assert (sheet[:SIZE, :SIZE] == 255).all()
    corner = sheet[step : step + SIZE, 2 * step : 2 * step + SIZE]
    assert (corner == pixels(tmp_path / "each" / "a--y.png")).all()


def test_full_size_gives_the_sources_size(
    model: str, sources: Path, references: Path, tmp_path: Path
) -> None:
    translate(model, sources, references, out=tmp_path / "out", full_size=True)
    assert {pixels(path).shape for path in (tmp_path / "out").glob("*.png")} == {(40, 50, 3)}


def test_unreadable_files_are_skipped_by_name(
    model: str, sources: Path, references: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sources / "broken.png").write_bytes((sources / "a.png").read_bytes()[:200])
    (sources / "empty.jpg").write_bytes(b"")
    (references / "text.png").write_text("no picture")
    translate(model, sources, references, out=tmp_path / "out")
    said = capsys.readouterr()
    assert len(names_in(tmp_path / "out")) == 6
    for name in ("broken.png", "empty.jpg", "text.png"):
        assert name in said.err


def test_nothing_readable_is_one_sentence(model: str, sources: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes((sources / "a.png").read_bytes()[:200])
    for pair in ((broken, sources / "a.png"), (sources, broken)):
        with pytest.raises(UserError, match=r"nothing could be translated .*broken\.png"):
            translate(model, *pair, out=tmp_path / "out.d")
    assert not (tmp_path / "out.d").exists()


def test_what_is_there_is_replaced_only_on_demand(
    model: str, sources: Path, references: Path, tmp_path: Path
) -> None:
    pair = (sources / "a.png", references / "x.png")
    out = tmp_path / "out.png"
    out.write_text("precious")
    with pytest.raises(UserError, match="already there"):
        translate(model, *pair, out=out)
    assert out.read_text() == "precious"
    translate(model, *pair, out=out, overwrite=True)
    assert pixels(out).shape == (SIZE, SIZE, 3)


def test_an_input_is_never_replaced(model: str, sources: Path, references: Path) -> None:
    before = (sources / "a.png").read_bytes()
    (sources / "link.png").symlink_to(sources / "a.png")
    for out in (sources / "a.png", sources / "link.png", references / ".." / "sources" / "a.png"):
        with pytest.raises(UserError, match="one of the pictures"):
            translate(model, sources / "a.png", references / "x.png", out=out, overwrite=True)
    assert (sources / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("out", "options", "reason"),
    [
        ("out.png", {}, "name a folder, or add --grid"),
        ("sheet", {"grid": True}, r"--out .*sheet\.png"),
        ("sheet.png", {"grid": True, "full_size": True}, "leave out"),
        ("out.tiff", {}, r"\.bmp, \.jpeg"),
    ],
)
def test_an_out_that_does_not_suit_is_refused(
    model: str,
    sources: Path,
    references: Path,
    tmp_path: Path,
    out: str,
    options: dict[str, bool],
    reason: str,
) -> None:
    with pytest.raises(UserError, match=reason):
        translate(model, sources, references, out=tmp_path / out, **options)  # type: ignore[arg-type]
    assert not (tmp_path / out).exists()


def test_a_source_that_is_not_there_is_refused_before_the_model_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no picture or folder at .*nowhere"):
        translate("no model", tmp_path / "nowhere", tmp_path / "nowhere", out=tmp_path / "out.png")


def test_names_never_collide() -> None:
    root = Path("/pictures")
    names = [
        "a.png",
        "a.jpg",
        "A.webp",
        "x/y.png",
        "x-y.png",
        "a--b.png",
        "a~2.png",
        "-.png",
        "--.png",
        "文" * 90 + ".png",
    ]
    parts = part_names([root / name for name in names], root)
    folded = [part.casefold() for part in parts.values()]
    assert len(set(folded)) == len(names)
    assert all("--" not in part and part.strip("-") == part for part in folded)
    assert all(len(f"{part}--{part}.png".encode()) < 255 for part in folded)


@pytest.mark.parametrize("name", ["a.webp", "a.jpg"])
def test_a_picture_too_long_for_its_format_is_refused_before_the_work(
    model: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluit.apps.targets.LARGEST_SIDE", {"JPEG": 40, "WEBP": 40})
    source, out = draw(tmp_path / "long.png", 8, 41), tmp_path / name
    with pytest.raises(UserError, match="at most 40 pixels a side"):
        translate("no model is read", source, source, out=out, full_size=True)
    monkeypatch.setattr("cluit.apps.translate.translations", lambda *_: pytest.fail("it worked first"))
    with pytest.raises(UserError, match="at most 40 pixels a side"):
        translate(model, source, source, out=out, grid=True)
    assert not out.exists()


def test_the_limits_are_those_of_the_formats(tmp_path: Path) -> None:
    for kind, most in LARGEST_SIDE.items():
        Image.new("RGB", (most, 1)).save(tmp_path / f"fits.{kind}", kind)
        with pytest.raises((OSError, ValueError)):
            Image.new("RGB", (most + 1, 1)).save(tmp_path / f"over.{kind}", kind)
