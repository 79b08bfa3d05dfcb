"""What the web page can do, without a server: the studio, what it keeps, and what a session leaves behind."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops

from cluit.apps.api import Painter, load
from cluit.apps.code_index import codes_of
from cluit.apps.gallery import open_gallery
from cluit.apps.web import fill_shelf, served
from cluit.apps.web_codes import Codes
from cluit.apps.web_sessions import RESULTS_KEPT, Sessions
from cluit.apps.web_studio import MOST_SOURCES, Limits, Studio, Task, stop
from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.data.decode import open_picture
from cluit.methods.starganv2.config import StarGANv2Config


@pytest.fixture(scope="module")
def painter(tiny_model: Path) -> Painter:
    return load(tiny_model, device="cpu", precision="float32")


@pytest.fixture
def studio(painter: Painter) -> Studio:
    return Studio(painter)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Four pictures of chance, wider than high."""
    paths = [tmp_path / f"{name}.png" for name in "abcd"]
    for path in paths:
        as_picture(torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)).save(path)
    return paths


def same(a: Image.Image, b: Image.Image) -> bool:
    """But for one level, as layouts of memory round differently."""
    return a.size == b.size and int(np.asarray(ImageChops.difference(a, b)).max()) <= 1


def test_the_page_paints_what_the_command_line_paints(
    studio: Studio, painter: Painter, pictures: list[Path]
) -> None:
    turned = pictures[0].with_suffix(".jpg")  # a phone's picture: lying, with a note which way is up
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(pictures[0]).save(turned, exif=exif)
    for source in (pictures[0], turned):
        (made,) = studio.translate(Task("", [source], [pictures[1]]))
        assert same(made, painter.translate(source, pictures[1]))
    (whole,) = studio.translate(Task("", [turned], [pictures[1]]), full_size=True)
    assert same(whole, painter.translate(turned, pictures[1], full_size=True))
    assert whole.size == (40, 50)


def test_strength_goes_from_the_sources_own_style_to_the_references(
    studio: Studio, painter: Painter, pictures: list[Path]
) -> None:
    task = Task("", pictures[:1], pictures[2:3])
    own = painter.translate(pictures[0], pictures[0])
    assert same(studio.translate(task, 0)[0], own)
    half, whole = (studio.translate(task, strength)[0] for strength in (0.5, 1))
    assert not same(half, own)
    assert not same(half, whole)
    assert same(whole, painter.translate(pictures[0], pictures[2]))


def test_a_mix_is_the_weighted_mean_of_styles(studio: Studio, painter: Painter, pictures: list[Path]) -> None:
    styles = painter.styles(pictures[1:])
    torch.testing.assert_close(studio.mix(Task("", [], pictures[1:])), styles.mean(dim=0, keepdim=True))
    mixed = studio.mix(Task("", [], pictures[1:], (3, 1, 0, 5)))  # the last is of no reference
    torch.testing.assert_close(mixed[0], 0.75 * styles[0] + 0.25 * styles[1])
    with pytest.raises(UserError, match="no reference has a weight above 0"):
        studio.mix(Task("", [], pictures[1:], (0, 0, 0)))


def test_a_grid_has_a_row_for_each_source_and_a_column_for_each_reference(
    studio: Studio, pictures: list[Path]
) -> None:
    sheet = studio.grid(Task("", pictures[:3], pictures[2:]))
    step = 34  # of 32 pixels and a gap of 2
    assert sheet.size == (3 * step - 2, 4 * step - 2)
    assert sheet.getpixel((5, 5)) == (255, 255, 255)
    (first,) = studio.translate(Task("", pictures[:1], pictures[3:]))
    cell = sheet.crop((2 * step, step, 2 * step + 32, step + 32))
    assert same(cell, first)


def test_a_strip_names_its_stops_and_an_animation_comes_back(
    studio: Studio, pictures: list[Path], tmp_path: Path
) -> None:
    task = Task("", pictures[:1], pictures[1:3])
    frames, sheet = studio.strip(task, 3)
    assert [words for _, words in frames] == ["own style", "0.50", "reference 1", "0.50", "reference 2"]
    assert sheet.width > sheet.height / 2
    studio.animate(task, tmp_path / "out.webp", seconds=0.2)
    with Image.open(tmp_path / "out.webp") as film:
        assert getattr(film, "n_frames", 1) == 2 * (2 * 3 + 1) - 2  # 4 frames a line, there and back
    assert stop(0, 9) == "own style"


def test_the_nearest_style_is_its_own(painter: Painter, tmp_path: Path) -> None:
    folder = tmp_path / "searched"
    folder.mkdir()
    for i in range(5):
        as_picture(torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)).save(folder / f"{i}.png")
    gallery = open_gallery(folder, 32, 0)
    studio = Studio(painter, searched=(gallery, codes_of(painter, gallery, None)[0]))
    found = studio.nearest(Task("", [], [folder / "3.png"]), 9)
    assert len(found) == 5
    assert found[0][1] == "1.00 3.png"
    with pytest.raises(UserError, match="start the page with --data"):
        Studio(painter).nearest(Task("", [], [folder / "3.png"]))


def test_domains_are_those_that_were_chosen(pictures: list[Path]) -> None:
    torch.manual_seed(0)
    config = StarGANv2Config(image_size=32, width=8, domains=("cat", "dog"))
    painter = Painter(config.build_translator(), device="cpu", precision="float32")
    studio = Studio(painter)
    for domain in painter.domains:
        task = Task("", pictures[:1], pictures[1:2], domain=domain, source_domain="cat")
        assert same(studio.translate(task)[0], painter.translate(pictures[0], pictures[1], domain=domain))
        own = painter.translate(pictures[0], pictures[0], domain="cat")
        assert same(studio.translate(task, 0)[0], own)
    with pytest.raises(UserError, match="tells domains apart"):
        studio.translate(Task("", pictures[:1], pictures[1:2]))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(megabytes=0.001), r"megabytes, more than 0\.001; give a smaller file"),
        (Limits(megapixels=0.001), r"50 × 40 pixels, more than 0\.001 million; give a smaller picture"),
    ],
)
def test_a_picture_beyond_the_limits_is_refused(
    painter: Painter, pictures: list[Path], limits: Limits, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        Studio(painter, limits).translate(Task("", pictures[:1], pictures[1:2]))


def test_wrong_files_and_numbers_of_them_are_refused(
    studio: Studio, pictures: list[Path], tmp_path: Path
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    for sources, words in (
        ([text], "not a PNG, JPEG, WebP or BMP picture"),
        ([tmp_path / "gone.png"], "cannot be read"),
        ([], "there is no source yet"),
        (pictures[:1] * (MOST_SOURCES + 1), "up to 6 sources, not 7"),
    ):
        with pytest.raises(UserError, match=words):
            studio.translate(Task("", sources, pictures[:1]))


@pytest.mark.parametrize("wrong", [{"megabytes": 0}, {"megapixels": 100}, {"megapixels": float("nan")}])
def test_impossible_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="choose --mega"):
        Limits(**wrong)


def test_a_picture_is_encoded_once_by_content_and_session(painter: Painter, pictures: list[Path]) -> None:
    encoded = list[Path]()

    class Counting(Painter):
        def structures(self, sources: Any) -> torch.Tensor:
            encoded.extend(sources)
            return super().structures(sources)

    codes = Codes(Counting(painter.translator, device="cpu", precision="float32"), most=3)
    twin = pictures[0].with_name("twin.png")
    twin.write_bytes(pictures[0].read_bytes())
    rows = codes.structures("one", [pictures[0], twin, pictures[1]])
    assert torch.equal(rows[0], rows[1])
    again = codes.structures("one", [pictures[1], pictures[0]])
    torch.testing.assert_close(again, rows[[2, 0]])
    assert len(encoded) == 2
    codes.structures("two", pictures[:1])
    assert len(encoded) == 3
    assert len(codes) == 3
    codes.styles("two", pictures[:1])
    assert len(codes) == 3  # bounded: what was asked for longest has gone
    codes.forget("two")
    assert len(codes) == 1


def test_what_a_session_left_goes_with_it_and_nothing_else(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    shared, own, shown = (tmp_path / place for place in ("hash1/a.png", "hash2/b.png", "gallery/shown/c.png"))
    for path in (shared, own, shown):
        path.parent.mkdir(parents=True)
        path.write_text("picture")
    sessions.note("../../one", [shared, own, shown])
    sessions.note("two", [shared])
    results = sessions.folder("../../one"), sessions.folder("two")
    assert all(folder.parent == tmp_path / "results" for folder in results)
    picked = sessions.adopt("../../one", shown)
    assert picked.read_text() == "picture"
    sessions.end("../../one")
    assert [path.exists() for path in (shared, own, shown, picked, *results)] == [
        True, False, True, False, False, True,
    ]  # fmt: skip
    sessions.end("two")
    assert not shared.exists()
    sessions.end("nobody")


def test_a_page_that_closes_while_something_is_made_leaves_nothing_either(tmp_path: Path) -> None:
    """A late request must not make it a session again, which nobody would end."""
    upload = tmp_path / "hash" / "a.png"
    upload.parent.mkdir()
    upload.write_text("picture")
    sessions = Sessions(tmp_path)
    with sessions.request("one", [upload]):
        with sessions.request("one", [upload]):
            sessions.end("one")
        result = sessions.folder("one")
        assert upload.exists()
    assert not upload.exists()
    assert not result.exists()
    with sessions.request("one", []):  # a page that was away and is back
        result = sessions.folder("one")
    assert result.exists()


def test_old_results_of_a_long_session_give_way(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    folders = [sessions.folder("one") for _ in range(RESULTS_KEPT + 2)]
    assert [folder.exists() for folder in folders] == [False] * 2 + [True] * RESULTS_KEPT


def test_what_cannot_be_used_is_left_out_and_told_of(studio: Studio, pictures: list[Path]) -> None:
    wrong = pictures[0].with_name("wrong.png")
    wrong.write_text("no picture")
    good, faults = studio.usable([pictures[0], wrong, *pictures[1:]], 3)
    assert good == pictures[:3]
    assert {path: sentence.split(": ")[-1] for path, sentence in faults.items()} == {
        wrong: "not a PNG, JPEG, WebP or BMP picture",
        pictures[3]: "the page takes up to 3 pictures here, the first of them; remove some to add others",
    }
    assert studio.usable(good, 3) == (good, {})


def test_a_wrong_upload_is_told_of_once_however_often_it_is_asked_about(
    studio: Studio, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Gradio asks twice, and as what comes second may find a picture more in the gallery by then."""
    gradio = pytest.importorskip("gradio", reason="gradio is not installed (cluit[app])")
    from cluit.apps.web_answers import Answers

    told = list[str]()
    monkeypatch.setattr(gradio, "Warning", told.append)
    sessions = Sessions(tmp_path / "served")
    wrong = tmp_path / "wrong.png"
    wrong.write_text("no picture")
    good, bad = (str(sessions.adopt("one", path)) for path in (pictures[0], wrong))
    answers = Answers(studio, sessions)
    request: Any = SimpleNamespace(session_hash="one")
    asked: list[tuple[str, str | None]] = [(good, None), (bad, None)]
    assert answers.usable_sources(request, asked) == [good]
    assert answers.usable_sources(request, asked) == gradio.skip()
    assert answers.usable_sources(request, asked[:1]) == gradio.skip()
    assert told == ["wrong.png cannot be used: not a PNG, JPEG, WebP or BMP picture"]


def test_only_uploads_are_ever_discarded(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "served")
    shown, elsewhere = tmp_path / "served" / "gallery" / "shown" / "a.png", tmp_path / "photos" / "a.png"
    for path in (shown, elsewhere):
        path.parent.mkdir(parents=True)
        path.write_text("picture")
    upload = sessions.adopt("one", elsewhere)
    assert [sessions.discard(path) for path in (upload, shown, elsewhere, upload)] == [
        True,
        False,
        False,
        False,
    ]
    assert [path.exists() for path in (upload, shown, elsewhere)] == [False, True, True]


def test_a_shelf_offers_small_pictures_of_a_folder_for_its_files(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / "photos" / "sub").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (300, 200), (40 * i, 0, 0)).save(tmp_path / "photos" / "sub" / f"{i}.jpg")
    shelf = fill_shelf(tmp_path / "photos", tmp_path / "shown")
    assert list(shelf.taken) == sorted((tmp_path / "photos").rglob("*.jpg"))
    assert all(open_picture(small).size == (128, 128) for small in shelf.shown)


@pytest.mark.parametrize("port", [-1, 0, 99999])
def test_a_port_that_cannot_be_is_one_sentence(port: int) -> None:
    no_page: Any = None
    with (
        pytest.raises(UserError, match=f"no port {port}; --port takes 1 to 65535"),
        served(no_page, "127.0.0.1", port, megabytes=1),
    ):
        pass
