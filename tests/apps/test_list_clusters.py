import csv
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cluit.apps.api import Painter
from cluit.apps.clusters import clusters
from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.core.types import Translator
from cluit.export import weights
from cluit.methods.tunit.config import TunitConfig


class ByColour(Translator):
    """Sorts pictures by the colour that they have most of; nothing is ever in the last cluster."""

    image_size = 32
    clusters = 4

    def encode_structure(self, source: Tensor) -> Tensor:
        return source

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        return reference.mean(dim=(2, 3))

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return structure + 0 * style[..., None, None]

    def assign(self, images: Tensor) -> Tensor:
        return torch.nn.functional.pad(images.mean(dim=(2, 3)) + 1, (0, 1), value=-9.0)


@pytest.fixture
def by_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    painter = Painter(ByColour(), device="cpu", precision="float32", batch_size=3)
    monkeypatch.setattr("cluit.apps.clusters.load", lambda *_, **__: painter)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Class "warm" is red, "cold" is two greens and five blues, from pale to strong."""
    for label, colours in (("warm", [0] * 5), ("cold", [1] * 2 + [2] * 5)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i, colour in enumerate(colours):
            pixels = torch.full((3, 40, 40), 90, dtype=torch.uint8)
            pixels[colour] = 150 + 10 * i
            as_picture(pixels).save(tmp_path / "data" / label / f"{i}.png")
    return tmp_path / "data"


@pytest.mark.usefixtures("by_colour")
def test_clusters_are_listed_and_shown_by_the_surest(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = clusters("model", pictures, out=tmp_path / "out", each=3)
    assert [one["size"] for one in record["clusters"]] == [5, 2, 5, 0]
    assert [one.get("label") for one in record["clusters"]] == ["warm", "cold", "cold", None]
    assert [one["name"] for one in record["clusters"][0]["surest"]] == [f"warm/{i}.png" for i in (4, 3, 2)]
    assert sum(one["share"] for one in record["clusters"]) == pytest.approx(1)
    assert record["clusters"][2]["counts"] == {"cold": 5, "warm": 0}
    names = {"index.html", "index.json", "sheet.png", "assignments.csv"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert json.loads((tmp_path / "out" / "index.json").read_text())["clusters"] == record["clusters"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Cluster 0: 5 (41.7%), warm 100%" in page
    assert "Cluster 3: empty" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "cluster 1: 2 (16.7%), cold 100%\n" in capsys.readouterr().out


@pytest.mark.usefixtures("by_colour")
def test_scores_stand_beside_those_of_one_cluster(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("scipy", reason="scipy is not installed (cluit[analysis])")
    scores = clusters("model", pictures, out=tmp_path / "out")["scores"]
    assert scores["the model's clusters"]["accuracy"] == pytest.approx(10 / 12)
    assert scores["the model's clusters"]["purity"] == 1
    assert scores["one cluster of all"] == pytest.approx(
        {"accuracy": 7 / 12, "purity": 7 / 12, "normalised_mutual_information": 0}
    )


@pytest.mark.usefixtures("by_colour")
def test_every_file_is_in_the_table_once_as_its_softmax_says(pictures: Path, tmp_path: Path) -> None:
    clusters("model", pictures, out=tmp_path / "out", each=1)
    with (tmp_path / "out" / "assignments.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == sorted(
        str(p.relative_to(pictures)) for p in pictures.rglob("*.png")
    )
    red = next(row for row in rows if row["file"] == "warm/0.png")
    logits = torch.tensor([150 / 127.5, 90 / 127.5, 90 / 127.5, -9])
    assert red["cluster"] == "0"
    assert float(red["probability"]) == pytest.approx(logits.softmax(dim=0)[0].item(), abs=1e-4)


@pytest.mark.usefixtures("by_colour")
def test_without_the_library_of_accuracy_all_else_is_there(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    record = clusters("model", pictures, out=tmp_path / "out")
    assert record["scores"]["the model's clusters"]["accuracy"] is None
    assert record["scores"]["the model's clusters"]["purity"] == 1
    assert len(record["notes"]) == 1
    assert "cluit[analysis]" in record["notes"][0]
    assert record["notes"][0] in capsys.readouterr().out
    assert "cluit[analysis]" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.usefixtures("by_colour")
def test_without_labels_nothing_is_scored_and_damage_is_listed(pictures: Path, tmp_path: Path) -> None:
    (pictures / "warm" / "no.png").write_text("no picture")
    whole = (pictures / "warm" / "1.png").read_bytes()
    (pictures / "warm" / "1.png").write_bytes(whole[: len(whole) // 2])  # found out when it is decoded
    with pytest.warns(UserWarning, match="skipped"):
        record = clusters("model", pictures / "warm", out=tmp_path / "out")
    assert record["pictures"] == 4
    assert list(record["skipped"]) == ["1.png", "no.png"]
    assert (record["scores"], record["notes"]) == ({}, [])
    assert "label" not in record["clusters"][0]
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Clusters and labels" not in page
    assert ">no.png</td>" in page


def test_a_saved_model_with_clusters_sorts_portraits(tmp_path: Path) -> None:
    config = TunitConfig(image_size=32, width=4, clusters=5)
    card = {"method": "tunit", "config": dataclasses.asdict(config)}
    weights.save(tmp_path / "model", config.build_translator(), card)
    usual: Any = {"count": 20, "each": 2, "device": "cpu", "precision": "float32"}
    record = clusters(tmp_path / "model", "portraits", out=tmp_path / "out", **usual)
    assert record["pictures"] == sum(one["size"] for one in record["clusters"]) == 20
    assert [one["number"] for one in record["clusters"]] == list(range(5))
    assert all(len(one["surest"]) == min(2, one["size"]) for one in record["clusters"])
    assert record["classes"] == ["cat", "dog", "fox", "mouse", "pig", "rabbit"]
    again = clusters(tmp_path / "model", "portraits", out=tmp_path / "again", **usual, batch_size=7)
    sizes = [one["size"] for one in record["clusters"]]
    assert [one["size"] for one in again["clusters"]] == sizes


def test_a_model_without_clusters_is_one_sentence(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="assigns no clusters; name a model that sorts"):
        clusters(tiny_model, pictures, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("each", [0, 101])
def test_no_number_of_pictures_that_cannot_be_shown(each: int, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 to 100 pictures"):
        clusters("model", pictures, out=tmp_path / "out", each=each)


def test_nothing_is_overwritten_nor_written_among_the_pictures(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "assignments.csv").write_text("mine")
    with pytest.raises(UserError, match="already there"):
        clusters("model", pictures, out=tmp_path / "out")
    with pytest.raises(UserError, match="whose pictures it would add to"):
        clusters("model", pictures, out=pictures / "out")
    assert (tmp_path / "out" / "assignments.csv").read_text() == "mine"
