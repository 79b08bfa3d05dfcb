import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cluit.apps.animation import ffmpeg, write_animation
from cluit.apps.api import load
from cluit.apps.interpolate import interpolate
from cluit.apps.walks import along
from cluit.core.errors import UserError
from cluit.core.images import as_picture


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.png" for name in ("source", "one", "two")]
    for path in paths:
        as_picture(torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)).save(path)
    return paths


def test_a_walk_ends_in_the_translations(tiny_model: Path) -> None:
    painter = load(tiny_model, precision="float32")
    source, one, two = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    frames = along(painter, source, [one, two], 4)
    assert frames.shape == (7, 3, 32, 32)
    for place, reference in ((0, source), (3, one), (6, two)):
        wanted = np.asarray(painter.translate(source, reference)).astype(int)
        assert np.abs(np.asarray(as_picture(frames[place])).astype(int) - wanted).max() <= 1


def test_strip_page_and_figures(tiny_model: Path, pictures: list[Path], tmp_path: Path) -> None:
    record = interpolate(
        tiny_model, pictures[0], pictures[1:], out=tmp_path / "out", frames=4, features="random"
    )
    assert len(record["walk"]["smoothness"]) == 2
    assert len(record["walk"]["step"]) == 6
    assert record["fade"]["structure"][0] == pytest.approx(1)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"index.html", "index.json", "strip.png"}


@pytest.mark.parametrize(("frames", "told"), [(2, ""), (3, "smoothness –, ")])
def test_evenness_is_told_of_what_moves_in_more_than_one_step(
    tiny_model: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    frames: int, told: str,
) -> None:  # fmt: skip
    record = interpolate(
        tiny_model, pictures[0], pictures[:2], out=tmp_path / "out", frames=frames, features="random"
    )
    assert record["fade"]["step"][0] == 0  # the first reference is the source itself
    printed, page = capsys.readouterr().out, (tmp_path / "out" / "index.html").read_text()
    assert printed.startswith(told or "page: ")
    assert "nan" not in printed
    assert ("Smoothness: the largest step" in page) == (frames > 2)


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_an_animation_goes_there_and_back(
    tiny_model: Path, pictures: list[Path], tmp_path: Path, suffix: str
) -> None:
    film = tmp_path / f"film{suffix}"
    interpolate(
        tiny_model, pictures[0], pictures[1:2], out=tmp_path / "out", frames=2, animation=film, seconds=0.4,
        features="random",
    )  # fmt: skip
    with Image.open(film) as animation:
        assert getattr(animation, "n_frames", 1) > 2
        assert animation.size == (256, 256)
    assert f"data:image/{suffix[1:]}" in (tmp_path / "out" / "index.html").read_text()


def test_mp4_is_of_the_frames_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is missing (cluit[video])")
    colours = [(250, 20, 20), (20, 250, 20), (20, 20, 250)]
    film = tmp_path / "film.mp4"
    write_animation(film, [Image.new("RGB", (32, 32), colour) for colour in colours])
    command = [ffmpeg(), "-loglevel", "error", "-i", str(film), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    shown = np.frombuffer(raw, np.uint8).reshape(3, 256, 256, 3).mean(axis=(1, 2))
    assert np.abs(shown - colours).max() < 20  # video keeps colours about so well


def test_without_ffmpeg_mp4_is_one_sentence(
    tiny_model: Path, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"pip install 'cluit\[video\]'"):
        interpolate(tiny_model, pictures[0], pictures[1:], out=tmp_path / "out", animation=tmp_path / "a.mp4")
    assert not (tmp_path / "out").exists()


def test_what_makes_no_walk_is_one_sentence(tiny_model: Path, pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one reference"):
        interpolate(tiny_model, pictures[0], [], out=tmp_path / "out")
    with pytest.raises(UserError, match="2 to 100 frames"):
        interpolate(tiny_model, pictures[0], pictures[1:], out=tmp_path / "out", frames=1)
    with pytest.raises(UserError, match="an animation is one of"):
        interpolate(tiny_model, pictures[0], pictures[1:], out=tmp_path / "out", animation=tmp_path / "a.avi")
