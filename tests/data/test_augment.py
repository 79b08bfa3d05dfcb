import math

import pytest
import torch

from cluit.data import augment
from cluit.data.augment import Views, grey_of, warp, yiq_on


def ramp(count: int, size: int = 32) -> torch.Tensor:
    """Pictures whose red tells where a pixel lies from left to right, and green from top to bottom."""
    at = (torch.arange(size) + 0.5) / size * 2 - 1
    red, green = at.expand(size, size), at[:, None].expand(size, size)
    return torch.stack([red, green, torch.zeros(size, size)]).expand(count, 3, size, size).clone()


def test_the_whole_picture_is_one_of_its_crops() -> None:
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(Views(crop=(1, 1))(images), images)


def test_a_crop_shows_a_square_of_the_asked_side_that_lies_inside() -> None:
    views = Views(crop=(0.25, 0.5))(ramp(200))
    step = views[:, 0, 16, 17] - views[:, 0, 16, 16]  # how far apart neighbouring pixels now lie
    sides = step * 32 / 2
    assert 0.249 < sides.min() < 0.27
    assert 0.48 < sides.max() < 0.501
    assert views[:, :2].abs().max() < 1
    torch.testing.assert_close(views[:, 1, 17, 16] - views[:, 1, 16, 16], step)  # square: not stretched
    reach = views[:, 0].mean(dim=(1, 2))
    assert reach.min() < -0.5
    assert reach.max() > 0.5


def test_by_area_small_sides_are_rarer() -> None:
    side = {
        by: (f := augment.crop_frame(ramp(4000), (0.125, 1.0), by))[:, 0, 0].mean() for by in (False, True)
    }
    del f
    assert side[False].item() == pytest.approx(0.5625, abs=0.02)
    assert side[True].item() > 0.64


def test_a_flip_mirrors_half_of_the_pictures() -> None:
    images = ramp(400)
    views = Views(crop=(1, 1), flip=True)(images)
    mirrored = (views[:, 0, 0, 0] > 0).float().mean()
    assert 0.4 < mirrored < 0.6
    torch.testing.assert_close(views[:, 1], images[:, 1])


def test_affine_turns_by_up_to_twenty_degrees_and_keeps_most_of_the_picture() -> None:
    frames = augment.affine_frame(ramp(2000))
    angles = torch.atan2(frames[:, 1, 0], frames[:, 0, 0])
    assert angles.abs().max() == pytest.approx(math.radians(20), rel=0.01)
    assert frames[:, :2, 2].abs().max() <= 0.2
    shear = (frames[:, 0, 0] * frames[:, 0, 1] + frames[:, 1, 0] * frames[:, 1, 1]).abs().max()
    assert shear == pytest.approx(math.tan(math.radians(10)), rel=0.02)


def test_hue_turns_chroma_and_leaves_grey_alone() -> None:
    turn = torch.tensor([0.0, 1.0])
    turned = augment.hue_matrix(turn, torch.ones(2))
    torch.testing.assert_close(turned[0], torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(turned[1] @ torch.ones(3), torch.ones(3), atol=1e-3, rtol=0)
    grey = augment.hue_matrix(turn, torch.zeros(2)) @ torch.tensor([0.9, 0.1, 0.3])
    assert (grey.max(dim=1).values - grey.min(dim=1).values).max() < 2e-3


def test_jitter_changes_four_pictures_in_five_and_stays_in_range() -> None:
    images = (torch.rand(500, 3, 8, 8) * 2 - 1) * 0.9
    views = augment.jitter(images)
    changed = ((views - images).abs().amax(dim=(1, 2, 3)) > 1e-3).float().mean()
    assert 0.72 < changed < 0.88
    assert views.abs().max() <= 1


def test_gradients_reach_the_pixels_through_a_crop() -> None:
    images = ramp(2).requires_grad_()
    Views(crop=(0.3, 0.6))(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() == pytest.approx(2 * 3 * 32 * 32, rel=0.02)


def test_a_view_is_drawn_in_float32_within_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        view = Views(crop=(0.5, 1), flip=True, affine=True, color=True)(ramp(4))
    assert view.dtype == torch.float32


def test_every_picture_gets_a_view_of_its_own() -> None:
    views = Views(crop=(0.3, 0.9), color=True)(ramp(2))
    assert not torch.allclose(views[0], views[1])


def test_a_warp_moves_two_pictures_alike_and_is_smooth() -> None:
    torch.manual_seed(0)
    images = ramp(8)
    moved = warp(images)
    torch.testing.assert_close(moved(2 * images), 2 * moved(images))
    assert torch.equal(moved(images), moved(images))
    assert not torch.allclose(moved(images), warp(images)(images))
    inside = moved(images)[
        :, :1, 8:24, 8:24
    ]  # away from reflected edges a ramp stays one that is a little bent
    steps = inside.diff(dim=3)
    assert steps.std(dim=(2, 3)).max() < steps.abs().mean()
    assert moved(images.bfloat16()).dtype == torch.float32


def test_whoever_asks_first_for_grey_others_can_differentiate() -> None:
    yiq_on.cache_clear()
    images = torch.rand(2, 3, 4, 4)
    with torch.inference_mode():
        grey_of(images)
    images.requires_grad_()
    grey_of(images).sum().backward()
    assert images.grad is not None
