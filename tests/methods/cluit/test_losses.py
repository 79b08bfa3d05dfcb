import pytest
import torch
import torch.nn.functional as F

from cluit.data.augment import Views
from cluit.losses.contrastive import info_nce
from cluit.methods.cluit.losses import patches_of, settle, style_match


def test_patch_mean_of_one_full_patch_is_the_full_image() -> None:
    images = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(patches_of(Views(crop=(1, 1)), images, 1), images)
    assert patches_of(Views(crop=(0.5, 1)), images, 0) is images


def test_patches_come_crop_by_crop() -> None:
    images = torch.arange(2.0)[:, None, None, None].expand(2, 3, 8, 8)
    patches = patches_of(Views(crop=(0.5, 1)), images, 3).unflatten(0, (3, 2))
    torch.testing.assert_close(patches.mean(dim=(2, 3, 4)), torch.tensor([0.0, 1.0]).expand(3, 2))


def test_one_patch_each_matches_as_the_full_image_does() -> None:
    fake, reference, negatives = (F.normalize(torch.randn(rows, 8), dim=1) for rows in (4, 4, 20))
    expected = info_nce(fake, reference, negatives, 0.07)
    torch.testing.assert_close(style_match(fake[None], reference[None], negatives, 0.07), expected)


def test_the_order_of_patches_does_not_matter_but_their_picture_does() -> None:
    fake, reference = (F.normalize(torch.randn(4, 3, 8), dim=2) for _ in range(2))
    negatives = F.normalize(torch.randn(20, 8), dim=1)
    loss = style_match(fake, reference, negatives, 0.07)
    torch.testing.assert_close(style_match(fake.flip(0), reference, negatives, 0.07), loss)
    assert not torch.allclose(style_match(fake.flip(1), reference, negatives, 0.07), loss)


def test_a_weight_settles_in_a_straight_line_and_stays() -> None:
    assert [settle(10.0, 0.0, t, steps=4) for t in (0, 1, 4, 9)] == [10.0, 7.5, 0.0, 0.0]
    assert settle(None, 3.0, 0, steps=4) == pytest.approx(3.0)
