import json
from pathlib import Path

import pytest
import torch

from cluit.apps.stylemap import class_colours, style_map
from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.data.portrait_folder import write_folder


def test_a_map_shows_every_picture_and_needs_no_network(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (cluit[analysis])")
    for name in ("a", "</script>"[2:-1]):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(6):
            pixels = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
            as_picture(pixels).save(tmp_path / "data" / name / f"{i}<b>.png")
    record = style_map(tiny_model, tmp_path / "data", out=tmp_path / "out")
    assert len(record["pictures"]) == 12
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<script") == page.count("</script>") == 2
    assert "http" not in page.replace("http-equiv", "")
    text = page.split('id="points">')[1].split("</script>")[0]
    assert sorted(point[3] for point in json.loads(text)["points"])[0] == "a/0<b>.png"
    assert (tmp_path / "out" / "map.png").is_file()


def test_files_that_cannot_be_used_are_listed(tiny_model: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "data", 8, 32)
    (tmp_path / "data" / "cat" / "no.png").write_text("no picture")
    record = style_map(tiny_model, tmp_path / "data", out=tmp_path / "out", device="cpu")
    assert list(record["skipped"]) == ["cat/no.png"]
    assert ">cat/no.png</td>" in (tmp_path / "out" / "index.html").read_text()


def test_no_map_is_drawn_among_the_pictures(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="whose pictures it would add to"):
        style_map(tiny_model, tmp_path, out=tmp_path / "out")


def test_classes_have_colours_of_their_own() -> None:
    assert len(set(class_colours(12))) == 12


def test_a_count_out_of_range_is_one_sentence(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="from 5 to 5,000"):
        style_map(tiny_model, "portraits", out=tmp_path / "out", count=2)
