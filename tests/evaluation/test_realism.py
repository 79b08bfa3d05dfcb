"""The score that chooses the best model: without labels, and worse for what the eye calls worse."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.core.images import to_unit
from cluit.data.portraits import Portraits
from cluit.evaluation.realism import RandomFeatures, Realism


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    """(384, 3, 32, 32)."""
    return to_unit(Portraits(384, 32, split="test").batch(range(384)))


def distance(real: Tensor, fake: Tensor) -> float:
    realism = Realism(torch.device("cpu"))
    realism.look(realism.real, real)
    crowd = realism.crowd()
    realism.look(crowd, fake)
    return realism.distance(crowd)


def test_other_real_pictures_are_nearest_and_every_failure_is_further(pictures: Tensor) -> None:
    real, others = pictures[:192], pictures[192:]
    good = distance(real, others)
    blurred = F.interpolate(F.avg_pool2d(others, 2), scale_factor=2.0, mode="bilinear")
    averaged = (others + others.roll(96, 0)) / 2
    alike = others[:1].expand_as(others)
    noise = torch.randn_like(others)
    for bad in (blurred, averaged, alike, noise):
        assert distance(real, bad) > 2 * good


def test_it_grows_with_the_blur(pictures: Tensor) -> None:
    distances = []
    for kernel in (1, 3, 5, 9):
        blurred = F.avg_pool2d(pictures, kernel, stride=1, padding=kernel // 2, count_include_pad=False)
        distances.append(distance(pictures, blurred))
    assert distances == sorted(distances)


def test_its_network_is_the_same_everywhere_and_takes_no_chance() -> None:
    before = torch.get_rng_state()
    one, other = RandomFeatures(), RandomFeatures()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))
    assert not list(one.parameters())
    assert one(torch.zeros(2, 3, 64, 64)).shape == (2, one.dim)
    assert next(one.buffers()).flatten()[0].item() == pytest.approx(0.13326165)
