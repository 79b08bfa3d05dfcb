"""Labels belong to pictures, by whatever number and in whatever order."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cluit.core.errors import UserError
from cluit.data.dataset import Items, MapStyle, as_dataset
from cluit.data.folder import ImageFolder
from cluit.data.labels import UNTOLD, Labelled, Labels, class_labels
from cluit.data.portraits import Portraits

SINGLE = Labels(("cat", "dog", "fox"), torch.tensor([0, 2, 1, 0]))
MULTI = Labels(("glasses", "pale"), torch.tensor([[True, False], [False, False], [True, True]]))


def picture(path: Path, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (grey, grey, grey)).save(path)


def items(of: MapStyle) -> Items:
    found = as_dataset(of, size=4)
    assert isinstance(found, Items)
    return found


class Numbers:
    """Picture i is all i."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int]) -> Tensor:
        return torch.tensor(indices, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def test_subfolders_are_classes(tmp_path: Path) -> None:
    for name in ("dog/1.png", "cat/2.png", "dog/deep/3.png"):
        picture(tmp_path / name)
    labels = class_labels(ImageFolder(tmp_path, 8))
    assert labels.classes == ("cat", "dog")
    assert labels.values.tolist() == [0, 1, 1]
    assert not labels.multi


def test_a_picture_outside_all_subfolders_is_named(tmp_path: Path) -> None:
    for name in ("dog/1.png", "cat/2.png", "stray.png"):
        picture(tmp_path / name)
    with pytest.raises(UserError, match=r"stray\.png has no class"):
        class_labels(ImageFolder(tmp_path, 8))


def test_one_class_is_no_class(tmp_path: Path) -> None:
    for name in ("dog/1.png", "dog/2.png"):
        picture(tmp_path / name)
    with pytest.raises(UserError, match="only the class 'dog'"):
        class_labels(ImageFolder(tmp_path, 8))
    with pytest.raises(UserError, match="only the class 'pet'"):
        class_labels(Portraits(3, 32, coarse=dict.fromkeys(Portraits(1, 32).classes, "pet")))


def test_classes_are_found_by_name_whatever_their_numbers() -> None:
    there = SINGLE.among(["fox", "pig", "dog", "cat"])
    assert [there.classes[i] for i in there.values] == [SINGLE.classes[i] for i in SINGLE.values]
    assert there.classes == ("fox", "pig", "dog", "cat")


def test_attributes_that_nobody_asks_for_are_left_out() -> None:
    there = MULTI.among(["pale"])
    assert there.classes == ("pale",)
    assert there.values.tolist() == [[False], [False], [True]]


def test_classes_that_the_other_side_lacks_are_named() -> None:
    with pytest.raises(UserError, match="the classes dog, fox, which are not among cat, pig"):
        SINGLE.among(["cat", "pig"])
    with pytest.raises(UserError, match="the labels lack hat; there are glasses, pale"):
        MULTI.among(["hat", "pale"])


def test_a_part_of_a_part_keeps_pictures_and_labels_together() -> None:
    data = Labelled(Numbers(4), SINGLE).part([3, 1, 2]).part([2, 0])
    pixels, labels = data.batch([1, 0])
    assert pixels[:, 0, 0, 0].tolist() == [3, 2]
    assert labels.tolist() == [0, 1]
    assert data.values.tolist() == [1, 0]
    assert len(data) == 2


@pytest.mark.filterwarnings("ignore:skipped")
def test_a_damaged_picture_takes_its_label_with_it(tmp_path: Path) -> None:
    for i, name in enumerate(("cat/0.png", "cat/1.png", "dog/2.png", "dog/3.png")):
        picture(tmp_path / name, grey=60 * i)
    damaged = tmp_path / "cat" / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    folder = ImageFolder(tmp_path, 8)
    assert len(folder) == 4, "only its body is damaged"
    data = Labelled(folder, class_labels(folder))
    pixels, labels = data.part([1, 0]).batch([0, 1])
    assert pixels[:, 0, 0, 0].tolist() == [120, 0]
    assert labels.tolist() == [1, 0]


def test_of_those_not_told_no_label_is_known_by_whatever_way(tmp_path: Path) -> None:
    data = Labelled(Numbers(4), SINGLE).part([3, 1, 2])
    told = data.telling([1])
    assert told.values.tolist() == [UNTOLD, 2, UNTOLD]
    assert told.labels.values.tolist() == [UNTOLD, 2, UNTOLD, UNTOLD], (
        "nor of what takes a damaged one's place"
    )
    assert data.values.tolist() == [0, 2, 1], "the others are as they were"


def test_items_have_the_labels_that_stand_beside_them() -> None:
    picture = torch.zeros(3, 4, 4, dtype=torch.uint8)
    for values in ([10, 2, 2], [torch.tensor(10), np.int64(2), 2]):
        labels = class_labels(items([(picture, value) for value in values]))
        assert labels.classes == ("2", "10")
        assert labels.values.tolist() == [1, 0, 0]
    named = class_labels(items([{"image": picture, "label": name} for name in ("fox", "cat", "fox")]))
    assert named.classes == ("cat", "fox")
    assert named.values.tolist() == [1, 0, 1]


@pytest.mark.parametrize("label", [None, 0.5, [1]])
def test_an_item_without_a_label_is_named(label: object) -> None:
    picture = torch.zeros(3, 4, 4, dtype=torch.uint8)
    with pytest.raises(UserError, match="item 1 of the data set has no label"):
        class_labels(items([(picture, 1), (picture, label)]))
    with pytest.raises(UserError, match="item 0 of the data set has no label"):
        class_labels(items([picture]))
    with pytest.raises(UserError, match="some labels of the data set are numbers and some are names"):
        class_labels(items([(picture, 1), (picture, "cat")]))


def test_every_picture_has_a_label() -> None:
    with pytest.raises(ValueError, match="3 pictures with 4 labels"):
        Labelled(Numbers(3), SINGLE)
