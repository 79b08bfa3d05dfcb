"""Marks say how often an oracle is right, whatever the share of each class."""

import math

import pytest
import torch

from cluit.core.images import to_unit
from cluit.data.labels import Labelled, class_labels
from cluit.data.portraits import Portraits
from cluit.evaluation.marks import examine, marks_of, without_colour
from cluit.evaluation.oracle import Oracle


def test_of_classes_the_shares_are_recalls() -> None:
    true = torch.tensor([0, 0, 0, 1, 2, 2])
    marks = marks_of(["a", "b", "c"], torch.tensor([0, 0, 2, 1, 0, 2]), true)
    assert marks.counts.tolist() == [[2, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert marks.pictures == 6
    assert marks.accuracy == pytest.approx(4 / 6)
    assert marks.each() == marks.each_balanced() == pytest.approx({"a": 2 / 3, "b": 1, "c": 1 / 2})
    assert marks.balanced == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)


def test_of_attributes_the_accuracy_is_the_mean_of_their_shares() -> None:
    true = torch.tensor([[1, 0], [0, 0], [0, 0], [1, 0], [0, 1]]).bool()
    seen = torch.tensor([[1, 0], [1, 0], [0, 0], [1, 0], [0, 0]]).bool()
    marks = marks_of(["hat", "beard"], seen, true)
    assert marks.counts.tolist() == [[[2, 1], [0, 2]], [[4, 0], [1, 0]]]
    assert marks.pictures == 5
    assert marks.each() == pytest.approx({"hat": 0.8, "beard": 0.8})
    assert marks.accuracy == pytest.approx(0.8)
    assert marks.each_balanced() == pytest.approx({"hat": (2 / 3 + 1) / 2, "beard": 0.5})


def test_an_oracle_that_never_sees_a_rare_attribute_is_found_out() -> None:
    true = torch.zeros(100, 1, dtype=torch.bool)
    true[0] = True
    marks = marks_of(["bald"], torch.zeros(100, 1, dtype=torch.bool), true)
    assert marks.accuracy == pytest.approx(0.99)
    assert marks.balanced == pytest.approx(0.5)


def test_a_class_without_pictures_has_no_share_and_spoils_none() -> None:
    marks = marks_of(["a", "b"], torch.tensor([0, 1]), torch.tensor([0, 0]))
    assert math.isnan(marks.each()["b"])
    assert marks.balanced == marks.accuracy == 0.5
    assert marks.record()["each"] == {"a": 0.5, "b": None}


def test_grey_pictures_have_one_colour_and_their_brightness() -> None:
    images = to_unit(Portraits(4, 32).batch(range(4)))
    grey = without_colour(images)
    assert grey.shape == images.shape
    torch.testing.assert_close(grey[:, 0], grey[:, 2])
    torch.testing.assert_close(without_colour(grey), grey)
    torch.testing.assert_close(without_colour(torch.full((1, 3, 2, 2), 0.3)), torch.full((1, 3, 2, 2), 0.3))


@pytest.mark.parametrize("grey", [False, True])
def test_an_examination_is_what_the_oracle_says_of_every_picture(grey: bool) -> None:
    portraits = Portraits(70, 32)  # more than are looked at together
    data = Labelled(portraits, class_labels(portraits))
    oracle = Oracle(portraits.classes, depth=18, width=2, image_size=32)
    torch.nn.init.normal_(oracle.network.linear.weight)
    marks = examine(oracle.train(), data, grey=grey)
    assert oracle.training, "it is left as it was"
    images = to_unit(portraits.batch(range(70)))
    seen = oracle.eval().predict(without_colour(images) if grey else images)
    right = (seen == torch.tensor(portraits.labels)).double().mean().item()
    assert marks.pictures == 70
    assert marks.accuracy == pytest.approx(right)
