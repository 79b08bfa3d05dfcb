"""Which pictures a run learns from and is looked at with, and who is told their classes."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from cluit.apps.pictures import Data, Share, open_data, shuffled
from cluit.apps.settings import layered
from cluit.core.errors import UserError
from cluit.core.images import as_picture
from cluit.data.labels import UNTOLD, Labelled
from cluit.data.loader import batches
from cluit.methods import CONFIGS


def draw(root: Path, counts: dict[str, int], *, shade: int = 0) -> Path:
    """So many pictures in each subfolder; those of one class are of one grey, 40 levels apart."""
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = torch.full((3, 32, 32), 40 * number + shade + i % 30, dtype=torch.uint8)
            as_picture(pixels).save(root / name / f"{i:03d}.png")
    return root


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    return draw(tmp_path / "animals", {"cat": 30, "dog": 20, "fox": 10})


def opened(method: str, data: Any, **given: Any) -> Data:
    return open_data(data, layered({"method": method, "image_size": 32, "width": 4, **given}))


def of_class(pictures: Any, classes: Sequence[str]) -> None:
    """Fails where a picture's grey and its label do not go together."""
    assert isinstance(pictures, Labelled)
    assert pictures.labels.classes == tuple(classes)
    pixels, labels = pictures.batch(range(len(pictures)))
    shown = pixels[:, 0, 0, 0] // 40
    known = labels != UNTOLD
    names = [("cat", "dog", "fox")[number] for number in shown[known]]
    assert names == [classes[label] for label in labels[known]]


@pytest.mark.parametrize("method", CONFIGS)
def test_labels_reach_only_a_method_that_asks_for_them(method: str, animals: Path) -> None:
    data = opened(method, animals)
    asks = data.config.labelled_share > 0
    assert asks == (method == "starganv2")
    stream = batches(data.train, 8, seed=0, balanced=data.config.balanced)
    assert all((batch.labels is not None) == asks for batch in itertools.islice(stream, 3))
    stream.close()
    assert isinstance(data.held_out, Labelled) == asks
    assert data.classes == (("cat", "dog", "fox") if asks else ())


def test_labels_and_pictures_stay_together_in_both_parts(animals: Path) -> None:
    data = opened("starganv2", animals)
    assert getattr(data.config, "domains", None) == ("cat", "dog", "fox")
    assert (len(data.train), len(data.held_out)) == (56, 4)
    of_class(data.train, ["cat", "dog", "fox"])
    of_class(data.held_out, ["cat", "dog", "fox"])
    plain = opened("cluit", animals)
    for labelled, other in ((data.train, plain.train), (data.held_out, plain.held_out)):
        assert isinstance(labelled, Labelled)
        assert isinstance(other, Share)
        assert torch.equal(labelled.batch(range(4))[0], other.batch(range(4))), "for every method the same"


def test_labels_are_by_the_numbers_of_domains_that_are_named(animals: Path, tmp_path: Path) -> None:
    names = ("fox", "pig", "dog", "cat")
    others = draw(tmp_path / "others", {"cat": 3, "dog": 3}, shade=5)
    data = opened("starganv2", animals, domains=names, held_out=str(others))
    assert getattr(data.config, "domains", None) == names
    of_class(data.train, names)
    of_class(data.held_out, names)


def test_of_a_share_of_the_pictures_the_class_is_told_whatever_the_seed(animals: Path) -> None:
    data = opened("tunit", animals, labelled=0.25, clusters=3)
    of_class(data.train, ["cat", "dog", "fox"])
    assert isinstance(data.train, Labelled)
    told = data.train.values != UNTOLD
    assert told.sum() == 14
    again = opened("tunit", animals, labelled=0.25, clusters=3, seed=7)
    assert isinstance(again.train, Labelled)
    assert torch.equal(again.train.values, data.train.values)
    assert isinstance(data.held_out, Labelled)
    assert (data.held_out.values != UNTOLD).all()
    fewer = opened("tunit", animals, labelled=1e-6, clusters=3).train
    assert isinstance(fewer, Labelled)
    assert (fewer.values != UNTOLD).sum() == 1
    every = opened("tunit", animals, labelled=1.0, clusters=3).train
    assert isinstance(every, Labelled)
    assert (every.values != UNTOLD).all()


def test_species_are_the_classes_of_portraits() -> None:
    data = opened("starganv2", "portraits", count=50)
    assert isinstance(data.held_out, Labelled)
    assert data.classes == data.held_out.labels.classes == ("cat", "dog", "fox", "mouse", "pig", "rabbit")
    with pytest.raises(UserError, match="no picture to train on is of the class"):
        opened("starganv2", "portraits", count=3)


def test_items_bring_their_labels() -> None:
    greys = [torch.full((3, 32, 32), 40 * (i % 3), dtype=torch.uint8) for i in range(40)]
    items = [(grey, ("cat", "dog", "fox")[i % 3]) for i, grey in enumerate(greys)]
    of_class(opened("starganv2", items).train, ["cat", "dog", "fox"])
    assert not isinstance(opened("cluit", items).train, Labelled)
    with pytest.raises(UserError, match="item 0 of the data set has no label"):
        opened("starganv2", greys)


@pytest.mark.parametrize("counts", [{".": 20}, {"cat": 20}, {"cat": 20, ".": 1}])
def test_a_folder_without_classes_is_one_sentence(tmp_path: Path, counts: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"starganv2 has to be told the class .* two or more subfolders"):
        opened("starganv2", draw(tmp_path / "data", counts))
    assert len(opened("cluit", tmp_path / "data").train) > 0


def test_classes_that_do_not_go_together_are_one_sentence(animals: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="also have the classes fox"):
        opened("starganv2", animals, domains=("cat", "dog"))
    with pytest.raises(UserError, match="clusters must be at least the number of classes, which is 3"):
        opened("tunit", animals, labelled=0.5, clusters=2)
    flat = draw(tmp_path / "flat", {".": 8})
    with pytest.raises(UserError, match=r"held-out pictures need a class .* of the names cat, dog, fox"):
        opened("starganv2", animals, held_out=str(flat))
    cats = opened("starganv2", animals, held_out=str(draw(tmp_path / "cats", {"cat": 8})))
    of_class(cats.held_out, ["cat", "dog", "fox"])
    strangers = draw(tmp_path / "strangers", {"cat": 4, "pig": 4})
    with pytest.raises(UserError, match="the classes pig, which are not among cat, dog, fox"):
        opened("starganv2", animals, held_out=str(strangers))


def test_a_class_whose_only_picture_is_held_out_is_named(tmp_path: Path) -> None:
    lone = shuffled(20)[0]
    root = draw(tmp_path / "data", {"a": lone, "b": 1, "c": 19 - lone})
    with pytest.raises(UserError, match="no picture to train on is of the class b;"):
        opened("starganv2", root)
    draw(root, {"b": 2})
    assert opened("starganv2", root).classes == ("a", "b", "c")
