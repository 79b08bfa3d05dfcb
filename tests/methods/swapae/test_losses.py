import pytest
import torch
from torch import Tensor

from cluit.methods.swapae.losses import random_patches, swapped


def test_neighbours_swap_and_swap_back() -> None:
    codes = torch.arange(6.0)[:, None, None].expand(6, 2, 3)
    assert swapped(codes)[:, 0, 0].tolist() == [1, 0, 3, 2, 5, 4]
    assert torch.equal(swapped(swapped(codes)), codes)


def where(side: int, count: int, size: int = 64, pictures: int = 50) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Left, right, top and bottom of random patches of a picture that tells its coordinates, 0 to 1."""
    line = (torch.arange(size) + 0.5) / size
    picture = torch.stack(
        [line.expand(size, size), line[:, None].expand(size, size), torch.zeros(size, size)]
    )
    patches = random_patches(picture.expand(pictures, -1, -1, -1), count, side, (0.125, 0.25)).flatten(0, 1)
    inside = side // 4  # the outermost pixels of a picture bound what can be read
    step = (patches[:, :2, -1 - inside, -1 - inside] - patches[:, :2, inside, inside]) / (
        side - 1 - 2 * inside
    )
    first = patches[:, :2, inside, inside] - (inside + 0.5) * step
    last = first + side * step
    return first[:, 0], last[:, 0], first[:, 1], last[:, 1]


def test_patches_have_the_asked_sides_and_lie_within_the_picture() -> None:
    left, right, top, bottom = where(side=32, count=8)
    for low, high in ((torch.minimum(left, right), torch.maximum(left, right)), (top, bottom)):
        assert low.min() > -1e-4
        assert low.min() < 0.02
        assert high.max() < 1 + 1e-4
        assert high.max() > 0.98
        length = high - low
        assert 0.125 - 1e-4 < length.min() < 0.13
        assert 0.245 < length.max() < 0.25 + 1e-4


def test_the_two_sides_of_a_patch_are_drawn_independently_and_so_are_the_patches() -> None:
    left, right, top, bottom = where(side=32, count=8)
    numbers = torch.stack([(right - left).abs(), bottom - top, left + right, top + bottom])
    assert (torch.corrcoef(numbers) - torch.eye(4)).abs().max() < 0.2
    assert len(numbers[0].unique()) > 390


def test_half_of_the_patches_are_mirrored_and_none_stands_on_its_head() -> None:
    left, right, top, bottom = where(side=32, count=8)
    assert 0.4 < (left > right).float().mean() < 0.6
    assert (top < bottom).all()


@pytest.mark.parametrize("size", [32, 128])
def test_patches_come_from_their_own_picture_and_cost_it_a_gradient(size: int) -> None:
    pictures = torch.arange(3.0)[:, None, None, None].expand(3, 3, size, size).clone().requires_grad_()
    patches = random_patches(pictures, 4, size, (0.125, 0.25))
    assert patches.shape == (3, 4, 3, size, size)
    torch.testing.assert_close(patches, torch.arange(3.0)[:, None, None, None, None].expand_as(patches))
    patches[1].sum().backward()
    assert pictures.grad is not None
    assert pictures.grad[1].sum().item() == pytest.approx(4 * 3 * size**2, rel=1e-4)
    assert not pictures.grad[[0, 2]].any()


def test_a_patch_at_the_edge_sees_nothing_beyond_it() -> None:
    flat = torch.ones(2, 3, 32, 32)
    patches = random_patches(flat, 2, 64, (1.0, 1.0))  # whole pictures, finer than they are
    torch.testing.assert_close(patches, torch.ones(2, 2, 3, 64, 64))


def test_under_autocast_patches_are_not_coarser() -> None:
    images = torch.rand(2, 3, 32, 32)
    state = torch.get_rng_state()
    full = random_patches(images, 2, 32, (0.125, 0.25))
    torch.set_rng_state(state)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(random_patches(images, 2, 32, (0.125, 0.25)), full)
