import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import cluit
from cluit.apps.api import Painter, model_folder
from cluit.core.errors import UserError
from cluit.core.images import as_picture, to_unit

SIZE = 32


@pytest.fixture
def painter(tiny_model: Path) -> Painter:
    return cluit.load(tiny_model, device="cpu", precision="float32", batch_size=3)


def pixels_of(count: int, height: int = SIZE, width: int = SIZE) -> Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)


def same(a: Image.Image, b: Image.Image) -> bool:
    """Equal but for the last bit of rounding, as batches of other sizes may add in another order."""
    return bool((np.abs(np.asarray(a, int) - np.asarray(b, int)) <= 1).all())


def test_three_lines_translate_files(tiny_model: Path, tmp_path: Path) -> None:
    as_picture(pixels_of(1, 40, 50)[0]).save(tmp_path / "cat.png")
    as_picture(pixels_of(1, 70, 33)[0]).save(tmp_path / "fox.png")
    model = cluit.load(tiny_model)
    model.translate(tmp_path / "cat.png", str(tmp_path / "fox.png")).save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (SIZE, SIZE)


def test_every_kind_of_picture_gives_the_same_translation(painter: Painter) -> None:
    source, reference = pixels_of(2)
    kinds = (
        as_picture(source),
        source.movedim(0, 2).numpy(),
        source,
        to_unit(source),
    )
    expected = painter.translate(source, reference)
    for kind in kinds:
        assert same(painter.translate(kind, as_picture(reference)), expected)


def test_the_translation_is_the_translators_own(painter: Painter) -> None:
    source, reference = pixels_of(2)
    with torch.no_grad():
        style = painter.translator.encode_style(to_unit(reference)[None])
        expected = painter.translator.translate(to_unit(source)[None], style)
    drawn = torch.from_numpy(np.array(painter.translate(source, reference))).movedim(2, 0)
    torch.testing.assert_close(to_unit(drawn), expected[0].clamp(-1, 1), atol=1.01 / 127.5, rtol=0)


def test_lists_are_translated_pair_by_pair_whatever_the_batch(painter: Painter) -> None:
    sources, references = pixels_of(5), pixels_of(5)
    together = painter.translate(list(sources), list(references))
    alone = [painter.translate(*pair) for pair in zip(sources, references, strict=True)]
    assert len(together) == 5
    assert all(map(same, together, alone))


def test_one_picture_meets_a_whole_list_on_either_side(painter: Painter) -> None:
    sources, references = list(pixels_of(4)), list(pixels_of(4))
    apart = [painter.translate(source, references[0]) for source in sources]
    assert all(map(same, painter.translate(sources, references[0]), apart))
    apart = [painter.translate(sources[0], reference) for reference in references]
    assert all(map(same, painter.translate(sources[0], references), apart))


def test_the_only_picture_of_a_side_is_encoded_once(
    painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = {"encode_style": 0, "encode_structure": 0}
    for name in encoded:
        original = getattr(painter.translator, name)

        def counting(images: Tensor, name: str = name, original: object = original) -> Tensor:
            encoded[name] += len(images)
            return original(images)  # type: ignore[operator]

        monkeypatch.setattr(painter.translator, name, counting)
    painter.translate(pixels_of(7), pixels_of(1)[0])
    assert encoded == {"encode_style": 1, "encode_structure": 7}
    painter.translate(pixels_of(1)[0], pixels_of(7))
    assert encoded == {"encode_style": 8, "encode_structure": 8}


@pytest.mark.parametrize("shape", [(50, 90), (90, 50), (64, 64)])
def test_full_size_repaints_the_central_square_and_nothing_else(
    painter: Painter, shape: tuple[int, int]
) -> None:
    source, reference = pixels_of(1, *shape)[0], pixels_of(1)[0]
    result = painter.translate(source, reference, full_size=True)
    small = painter.translate(source, reference)
    assert result.size == shape[::-1]
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    drawn, original = np.array(result), source.movedim(0, 2).numpy().copy()
    expected = np.asarray(small.resize((side, side), Image.Resampling.LANCZOS))
    assert (drawn[top : top + side, left : left + side] == expected).all()
    original[top : top + side, left : left + side] = expected
    assert (drawn == original).all()


def test_lists_that_are_no_pairs_and_empty_ones_are_refused(painter: Painter) -> None:
    with pytest.raises(UserError, match="2 sources and 3 references"):
        painter.translate(pixels_of(2), pixels_of(3))
    for sources, references in (([], []), ([], pixels_of(1)[0]), (pixels_of(1)[0], [])):
        for full_size in (False, True):
            with pytest.raises(UserError, match="at least one"):
                painter.translate(sources, references, full_size)


@pytest.mark.parametrize("wrong", [torch.zeros(4, 4), np.zeros((4, 4, 3)), torch.zeros(1, 5, 5), 3, None])
def test_what_is_no_picture_is_refused(painter: Painter, wrong: object) -> None:
    with pytest.raises(UserError, match=r"picture|reference"):
        painter.translate([wrong], pixels_of(1))  # type: ignore[list-item]


def closed() -> Image.Image:
    picture = Image.new("RGB", (8, 8))
    picture.close()
    return picture


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        3,
        object(),
        "a\0b.png",
        "nothing/here.png",
        closed(),
        Image.new("RGB", (0, 0)),
        np.zeros((0, 0, 3), np.uint8),
        torch.zeros(3, 0, 0),
        torch.zeros(3, 0, 0, dtype=torch.uint8),
        torch.zeros(()),
    ],
)
@pytest.mark.parametrize("full_size", [False, True])
def test_one_thing_that_is_no_picture_is_refused(painter: Painter, wrong: Any, full_size: bool) -> None:
    with pytest.raises(UserError):
        painter.translate(wrong, pixels_of(1)[0], full_size)
    with pytest.raises(UserError):
        painter.translate(pixels_of(1)[0], wrong, full_size)


def test_styles_and_structures_take_one_picture_or_several(painter: Painter, tmp_path: Path) -> None:
    picture = as_picture(pixels_of(1)[0])
    picture.save(tmp_path / "cat.png")
    for encode in (painter.styles, painter.structures):
        several = encode([picture])
        assert len(several) == 1
        for one in (picture, tmp_path / "cat.png", str(tmp_path / "cat.png")):
            assert torch.equal(encode(one), several)


def test_bfloat16_draws_nearly_the_same(tiny_model: Path, painter: Painter) -> None:
    source, reference = pixels_of(2)
    fine = np.asarray(painter.translate(source, reference), int)
    coarse = cluit.load(tiny_model, device="cpu", precision="bfloat16").translate(source, reference)
    assert np.abs(np.asarray(coarse, int) - fine).mean() < 3


def test_a_run_stands_for_its_best_model_then_for_its_latest(tiny_model: Path, tmp_path: Path) -> None:
    saved = Path(shutil.copytree(tiny_model, tmp_path / "saved"))
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(UserError, match="holds no model"):
        model_folder(run)
    saved.rename(run / "model")
    assert model_folder(run) == run / "model"
    (run / "model").rename(run / "best")
    assert model_folder(str(run)) == run / "best"
    (run / "model").mkdir()
    (run / "best" / "model.json").rename(run / "model" / "model.json")  # now each lacks a file
    with pytest.raises(UserError, match="holds no model"):
        model_folder(run)
    (run / "model" / "model.json").rename(run / "best" / "model.json")
    (run / "best").rename(tmp_path / "saved")
    assert model_folder(tmp_path / "saved") == tmp_path / "saved"


def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model in"):
        cluit.load(tmp_path / "nothing")


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, cluit; print(cluit.__version__, dir(cluit)); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = cluit.lode
