import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cluit
from cluit.apps import export as exporting
from cluit.apps.cli import main
from cluit.apps.web_studio import Studio, Task
from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.data.portraits import Portraits
from cluit.export.graph import Exported


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures, the first two neither square nor of the model's size."""
    folder = tmp_path_factory.mktemp("photos")
    for i, pixels in enumerate(Portraits(12, 64).batch(range(12))):
        picture = as_picture(pixels)
        if i < 2:
            picture = picture.crop((0, 0, 64, 51)) if i else picture.crop((0, 0, 47, 64))
        picture.save(folder / f"{i:02}.png")
    return folder


def differ(a: Image.Image, b: Image.Image) -> int:
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


def test_an_exported_model_loads_and_translates_like_its_own(
    tiny_model: Path, onnx_folder: Path, photos: Path
) -> None:
    pair = photos / "00.png", photos / "01.png"
    own = cluit.load(tiny_model, device="cpu", precision="float32").translate(*pair)
    assert differ(cluit.load(onnx_folder).translate(*pair), own) <= 1


def test_the_command_line_translates_from_an_exported_model(
    onnx_folder: Path, photos: Path, tmp_path: Path
) -> None:
    main(["translate", str(onnx_folder), str(photos / "00.png"), str(photos), "--out", str(tmp_path / "out")])
    assert len(list((tmp_path / "out").glob("*.png"))) == 12


def test_the_web_page_paints_from_an_exported_model(
    tiny_model: Path, onnx_folder: Path, photos: Path
) -> None:
    task = Task(
        "", [photos / "00.png", photos / "02.png"], [photos / "01.png", photos / "03.png"], (1.0, 0.5)
    )
    own, exported = (
        Studio(cluit.load(model, device="cpu", precision="float32")) for model in (tiny_model, onnx_folder)
    )
    for mine, other in zip(own.translate(task, 0.7), exported.translate(task, 0.7), strict=True):
        assert differ(mine, other) <= 1
    assert differ(own.grid(task), exported.grid(task)) <= 1
    assert differ(own.strip(task, 3)[1], exported.strip(task, 3)[1]) <= 1


def test_the_example_paints_the_same_without_cluit(
    tiny_model: Path, onnx_folder: Path, photos: Path, tmp_path: Path, root: Path
) -> None:
    pair = photos / "00.png", photos / "01.png"
    example = root / "examples" / "onnx_only.py"
    alone = (
        "import runpy, sys; sys.modules.update(cluit=None, torch=None); "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"
    )
    paths = map(str, (example, onnx_folder, *pair, tmp_path / "out.png"))
    subprocess.run([sys.executable, "-I", "-c", alone, *paths], check=True)
    own = cluit.load(tiny_model, device="cpu", precision="float32").translate(*pair)
    with Image.open(tmp_path / "out.png") as picture:
        assert differ(picture, own) <= 1


def test_an_exported_model_keeps_its_device_and_precision(onnx_folder: Path) -> None:
    with pytest.raises(UserError, match="works on the CPU and in its own precision"):
        cluit.load(onnx_folder, precision="bfloat16")


def test_int8_tells_its_speed_and_loss_beside_float32(
    tiny_model: Path,
    photos: Path,
    exported_before: Callable[..., dict[str, Exported]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "int8"
    monkeypatch.setattr(exporting, "export_graphs", exported_before)
    main(["export", str(tiny_model), "--out", str(out), "--int8", "--calibrate", str(photos)])
    lines = [
        line.split("|")[1:-1]
        for line in capsys.readouterr().out.splitlines()
        if "32 |" in line or "int8 |" in line
    ]
    rows = {name.strip(): [float(cell) for cell in cells] for name, *cells in lines}
    assert list(rows) == ["PyTorch float32", "onnx float32", "onnx int8"]
    assert all(single > 0 and batched > 0 for single, batched, *_ in rows.values())
    (*_, mean, largest), smaller = rows["onnx float32"], rows["onnx int8"]
    assert mean < smaller[2]
    assert largest <= 1 < smaller[3]
    assert cluit.load(out).card["export"]["precision"] == "int8"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--half", "--int8"], "choose one of --half and --int8"),
        (["--int8"], "--int8 --calibrate DIR"),
        (["--calibrate", "."], "--int8 --calibrate DIR"),
        (["--int8", "--calibrate", ".", "--to", "torchscript"], "int8 is for onnx, not torchscript"),
        (["--to", "tflite"], "expected one of ('onnx', 'torchscript', 'torch-export')"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["export", str(tiny_model), "--out", str(tmp_path / "out"), *options])
    assert exit_.value.code == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_pictures_cannot_calibrate(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    options = ["--int8", "--calibrate", str(tmp_path / "empty")]
    with pytest.raises(SystemExit):
        main(["export", str(tiny_model), "--out", str(tmp_path / "out"), *options])
    assert str(tmp_path / "empty") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_replaced(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_model, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(SystemExit):
        main(["export", str(tiny_model), "--to", "torchscript", "--out", str(tmp_path / "out")])
    assert "exists already" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_missing_extra_is_one_sentence_and_leaves_nothing(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SystemExit):
        main(["export", str(tiny_model), "--out", str(tmp_path / "out")])
    assert "pip install 'cluit[onnx]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
