"""Training from Python: any map-style data set of pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cluit.core.errors import UserError
from cluit.data.dataset import as_dataset, as_pixels
from cluit.data.folder import ImageFolder
from cluit.data.loader import batches
from cluit.data.portraits import Portraits

RED = torch.tensor([255, 0, 0], dtype=torch.uint8)
HWC = np.zeros((6, 8, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
CHW = torch.from_numpy(HWC).permute(2, 0, 1)
PICTURE = Image.fromarray(HWC)
ITEMS: dict[str, Any] = {
    "PIL": PICTURE,
    "PIL palette": PICTURE.convert("P"),
    "array": HWC,
    "array with alpha": np.concatenate([HWC, np.full((6, 8, 1), 255, np.uint8)], axis=2),
    "tensor": CHW,
    "tensor with alpha": torch.cat([CHW, torch.full((1, 6, 8), 255, dtype=torch.uint8)]),
    "pair with a label": (PICTURE, 3),
    "list with a label": [CHW, "cat"],
    "mapping": {"image": PICTURE, "label": 3},
}


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_every_kind_of_item_is_the_same_picture(item: Any) -> None:
    dataset = as_dataset([item] * 3, size=4)
    assert len(dataset) == 3
    pictures = dataset.batch([0, 2])
    assert pictures.dtype == torch.uint8
    assert torch.equal(pictures, RED[None, :, None, None].expand(2, 3, 4, 4))


@pytest.mark.parametrize("grey", [np.full((5, 5), 9, np.uint8), np.full((5, 5, 1), 9, np.uint8)])
def test_grey_is_three_equal_channels(grey: np.ndarray) -> None:
    channels_first = torch.from_numpy(grey.reshape(5, 5, -1)).permute(2, 0, 1)
    plane = grey.reshape(5, 5)
    for picture in (grey, torch.from_numpy(plane), channels_first, Image.fromarray(plane)):
        assert torch.equal(as_pixels(picture, 5), torch.full((3, 5, 5), 9, dtype=torch.uint8))


def test_a_picture_of_the_right_size_keeps_every_byte() -> None:
    noise = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    assert torch.equal(as_pixels(noise, 16), noise)


@pytest.mark.parametrize(
    "item",
    [
        torch.zeros(3, 8, 8),  # of floats
        np.zeros((3, 8, 8), np.uint8),  # channels first
        np.zeros((8, 8), bool),
        np.zeros(8, np.uint8),
        np.zeros((0, 0, 3), np.uint8),
        torch.zeros(3, 0, 4, dtype=torch.uint8),
        Image.new("RGB", (0, 0)),
        "cat.png",
        {"picture": HWC},
        [],
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence_that_names_the_item(item: Any) -> None:
    with pytest.raises(UserError, match=r"item 1 of the data set"):
        as_dataset([HWC, item], size=4).batch([0, 1])


def test_an_error_of_the_data_set_itself_carries_the_items_number() -> None:
    class Broken(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            raise KeyError("label")

    with pytest.raises(
        UserError, match=r"item 2 of the data set cannot be read \(KeyError: 'label'\)"
    ) as caught:
        as_dataset(Broken([HWC] * 3), size=4).batch([2])
    assert isinstance(caught.value.__cause__, KeyError)


class BadLength(list[Any]):
    def __len__(self) -> int:
        return -1


@pytest.mark.parametrize("items", [5, (HWC for _ in range(9)), BadLength(), {1, 2}, True, object()])
def test_what_is_no_data_set_is_refused(items: Any) -> None:
    with pytest.raises(UserError, match="a data set must"):
        as_dataset(items, size=4)


def test_portraits_and_folders_are_passed_through_unless_their_size_differs(tmp_path: Path) -> None:
    for name in "ab":
        PICTURE.save(tmp_path / f"{name}.png")
    for dataset in (ImageFolder(tmp_path, 32), Portraits(4, 32)):
        assert as_dataset(dataset, 32) is dataset
        assert as_dataset(dataset, 16).batch([0]).shape == (1, 3, 16, 16)


def test_an_unknown_fit_is_refused() -> None:
    with pytest.raises(UserError, match="choose crop or resize"):
        as_dataset([PICTURE], 4, fit="stretch")  # type: ignore[arg-type]


def test_training_batches_come_of_any_data_set() -> None:
    stream = batches(as_dataset([(PICTURE, 0)] * 8, size=4), batch_size=4, seed=0)
    assert torch.equal(next(stream).images[:, :, 0, 0], torch.tensor([[1.0, -1.0, -1.0]]).expand(4, 3))
    stream.close()
