"""An oracle learns what its labels say, repeats itself, and does not live by colour alone."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from cluit.core.errors import UserError
from cluit.data.labels import Labelled, Labels
from cluit.evaluation.marks import examine
from cluit.evaluation.oracle import Oracle
from cluit.evaluation.oracle_training import Best, Course, class_weights, loss_of, train_oracle, varied

SMALL: dict[str, Any] = {"depth": 18, "width": 4, "image_size": 16}
SIZE = 16


class Stripes:
    """A light and a dark colour by chance in stripes, upright where ``upright``, else level."""

    def __init__(self, upright: Tensor, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        colours = torch.randint(0, 100, (len(upright), 2, 3, 1, 1), generator=generator)
        colours[:, 1] += 150
        mask = (torch.arange(SIZE) // 4 % 2).expand(SIZE, SIZE).bool()
        masks = torch.where(upright[:, None, None].bool(), mask, mask.T)
        self.pixels = torch.where(masks[:, None], colours[:, 0], colours[:, 1]).to(torch.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: Sequence[int]) -> Tensor:
        return self.pixels[list(indices)]


def stripes(count: int, seed: int = 0) -> Labelled:
    upright = torch.arange(count) % 2
    return Labelled(Stripes(upright, seed), Labels(("level", "upright"), upright))


def test_shapes_are_seen_without_colours_too() -> None:
    oracle, trials = train_oracle(stripes(200), Course(steps=40, batch_size=16, learning_rate=5e-3), **SMALL)
    assert examine(oracle, stripes(100, seed=1)).accuracy >= 0.95
    assert examine(oracle, stripes(100, seed=1), grey=True).accuracy >= 0.95
    assert len(trials) == 10
    assert trials[-1].step == 40
    assert trials[-1].loss < trials[0].loss
    assert trials[0].marks.pictures == 10, "a twentieth is held back"


def test_what_differs_in_colour_alone_is_not_seen_in_grey() -> None:
    labels = torch.arange(120) % 2
    data = Labelled(Stripes(labels * 0, 0), Labels(("red", "cyan"), labels))
    assert isinstance(data.pictures, Stripes)
    colours = torch.tensor([[200, 40, 40], [19, 117, 118]])[labels]  # of one brightness
    data.pictures.pixels = colours[:, :, None, None].expand(-1, -1, SIZE, SIZE).to(torch.uint8)
    oracle, _ = train_oracle(data, Course(steps=30, batch_size=16), **SMALL)
    assert examine(oracle, data).accuracy >= 0.95
    assert examine(oracle, data, grey=True).accuracy == pytest.approx(0.5, abs=0.1)


def test_attributes_are_learned_side_by_side() -> None:
    upright = torch.arange(160) % 2
    dark = torch.arange(160) // 2 % 2
    pictures = Stripes(upright, 0)
    pictures.pixels = torch.where(dark[:, None, None, None].bool(), pictures.pixels // 2, pictures.pixels)
    data = Labelled(pictures, Labels(("upright", "dark"), torch.stack([upright, dark], dim=1).bool()))
    oracle, _ = train_oracle(data, Course(steps=60, batch_size=16, learning_rate=1e-2, grey=0.0), **SMALL)
    assert oracle.multi
    marks = examine(oracle, data)
    assert min(marks.each_balanced().values()) >= 0.9


def test_the_same_seed_gives_the_same_weights_and_leaves_chance_alone() -> None:
    def weights(seed: int) -> Tensor:
        oracle, _ = train_oracle(stripes(40), Course(steps=4, batch_size=8, seed=seed), **SMALL)
        return torch.cat([tensor.flatten().double() for tensor in oracle.state_dict().values()])

    before = torch.get_rng_state()
    first = weights(3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(first, weights(3))
    assert not torch.equal(first, weights(4))


def test_the_latest_of_the_best_weights_is_kept() -> None:
    level = torch.zeros(4, dtype=torch.long)
    oracle = Oracle(["level", "upright"], **SMALL)
    best = Best(oracle, Labelled(Stripes(level, 0), Labels(("level", "upright"), level)), torch.float32)
    for step, says_level in enumerate((1.0, 2.0, -1.0), start=1):
        torch.nn.init.constant_(oracle.network.linear.bias[:1], says_level)
        best.look(step, step / 10, torch.tensor(0.7))
    best.restore()
    assert [trial.marks.accuracy for trial in best.trials] == [1, 1, 0]
    assert oracle.network.linear.bias[0] == 2


def test_time_ends_a_training_too() -> None:
    steps = list[int]()
    course = Course(steps=math.inf, seconds=0.5, batch_size=4)
    train_oracle(stripes(40), course, **SMALL, progress=lambda step, loss: steps.append(step))
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= 1


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    course = Course(steps=100, learning_rate=1.0)
    rates = [course.rate(course.share(step, 0.0)) for step in range(101)]
    assert rates[0] == 0
    assert max(rates) == pytest.approx(rates[5], abs=0.01)
    assert rates[-1] == pytest.approx(0)
    assert course.share(250, 0.0) == 1


def test_rare_classes_count_as_much_as_common_ones() -> None:
    values = torch.tensor([0] * 8 + [1] * 2)
    weights = class_weights(Labelled(Stripes(values, 0), Labels(("common", "rare"), values)))
    assert weights.tolist() == [0.625, 2.5]
    assert weights[values].sum() == len(values)
    logits = torch.randn(10, 2)
    shares = [loss_of(logits[values == i], values[values == i], torch.ones(2)) for i in (0, 1)]
    torch.testing.assert_close(loss_of(logits, values, weights), sum(shares) / 2)


def test_variations_keep_range_and_hue() -> None:
    images = torch.rand(64, 3, SIZE, SIZE) * 2 - 1
    for share, least, most in ((0.0, 0, 0), (1.0, 64, 64), (0.5, 16, 48)):
        views = varied(images, share)
        assert views.shape == images.shape
        assert views.abs().max() <= 1
        grey = (views[:, 0] - views[:, 1]).abs().amax(dim=(1, 2)) < 1e-5
        assert least <= grey.sum() <= most
    red = torch.tensor([0.5, -0.5, -0.5]).view(1, 3, 1, 1).expand(8, 3, SIZE, SIZE)
    views = varied(red, 0.0)
    torch.testing.assert_close(views[:, 1], views[:, 2])
    assert (views[:, 0] > views[:, 1]).all()


@pytest.mark.parametrize(
    ("course", "sentence"),
    [
        ({"steps": 0}, "needs an end"),
        ({"seconds": 0.0}, "needs an end"),
        ({"steps": math.inf}, "needs an end"),
        ({"seconds": math.nan}, "needs an end"),
        ({"batch_size": 1}, "batch size must be at least 2"),
        ({"learning_rate": 0.0}, "learning rate must be positive"),
        ({"learning_rate": math.nan}, "learning rate must be positive"),
        ({"grey": 1.5}, "between 0 and 1"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_a_course_that_cannot_be_is_refused(course: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Course(**course)


def test_what_cannot_be_learned_is_refused_by_name() -> None:
    three = Labels(("level", "upright", "round"), torch.arange(20) % 2)
    with pytest.raises(UserError, match="no picture of 'round' to learn from"):
        train_oracle(Labelled(Stripes(three.values, 0), three), Course(steps=1), **SMALL)
    flat = Labels(("always", "never"), torch.tensor([[True, False]] * 20))
    for chosen, have in (("always", "all"), ("never", "none")):
        with pytest.raises(UserError, match=f"{have} of the training pictures are '{chosen}'"):
            train_oracle(Labelled(Stripes(three.values, 0), flat.among([chosen])), Course(steps=1), **SMALL)


def test_a_training_that_diverges_says_so() -> None:
    with pytest.raises(UserError, match=r"diverged before step .* lower the learning rate"):
        train_oracle(stripes(20), Course(steps=20, batch_size=4, learning_rate=1e30), **SMALL)
