import math

import pytest
import torch
import torch.nn.functional as F

from cluit.methods.tunit.losses import (
    critic_hinge,
    forger_hinge,
    label_loss,
    mutual_information,
    style_contrast,
)

ALL = torch.ones(12, dtype=torch.bool)


def certain(clusters: list[int], count: int) -> torch.Tensor:
    return 100.0 * F.one_hot(torch.tensor(clusters), count).float()


def test_clusters_that_agree_and_are_equally_large_share_log_k() -> None:
    logits = certain([0, 1, 2, 3] * 3, 4)
    assert mutual_information(logits, logits, ALL).item() == pytest.approx(math.log(4), rel=1e-5)


def test_one_cluster_for_all_and_views_that_do_not_agree_share_nothing() -> None:
    one, half = certain([2] * 12, 4), certain([0, 1] * 6, 2)
    other = certain([0] * 6 + [1] * 6, 2)
    blank = torch.zeros(12, 4)
    for p, q in ((one, one), (half, other), (blank, blank)):
        assert mutual_information(p, q, ALL).item() == pytest.approx(0, abs=1e-5)


def test_unequal_clusters_share_their_entropy() -> None:
    logits = certain([0] * 9 + [1] * 3, 2)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert mutual_information(logits, logits, ALL).item() == pytest.approx(entropy, rel=1e-5)


def test_the_two_views_are_equals() -> None:
    p, q = torch.randn(2, 12, 5)
    torch.testing.assert_close(mutual_information(p, q, ALL), mutual_information(q, p, ALL))


def test_pictures_that_do_not_take_part_do_not_matter() -> None:
    p, q = torch.randn(2, 12, 5)
    alone = mutual_information(p[:7], q[:7], ALL[:7])
    torch.testing.assert_close(mutual_information(p, q, torch.arange(12) < 7), alone)


def test_where_no_picture_takes_part_nothing_is_learned() -> None:
    p = torch.randn(12, 5, requires_grad=True)
    information = mutual_information(p, torch.randn(12, 5), ~ALL)
    information.backward()
    assert information.item() == pytest.approx(0, abs=1e-6)
    assert p.grad is not None
    assert not p.grad.any()


def test_certain_clusters_stay_finite_in_bfloat16() -> None:
    logits = certain([0, 1, 2] * 4, 30).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        information = mutual_information(logits, logits, ALL)
    information.backward()
    assert information.dtype == torch.float32
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_only_labelled_pictures_have_a_cross_entropy() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    loss = label_loss(logits, torch.tensor([2, -1, 0, -1]))
    torch.testing.assert_close(loss, F.cross_entropy(logits[[0, 2]], torch.tensor([2, 0])))
    loss.backward()
    assert logits.grad is not None
    assert [bool(row.any()) for row in logits.grad] == [True, False, True, False]
    assert label_loss(logits, torch.full((4,), -1)).item() == 0


def test_styles_are_told_apart_by_products_that_know_their_length() -> None:
    query, key, negatives = torch.randn(3, 4), torch.randn(3, 4), torch.randn(7, 4)
    right, wrong = (query * key).sum(dim=1).exp(), (query @ negatives.T).exp().sum(dim=1)
    expected = -(right / (right + wrong)).log().mean()
    torch.testing.assert_close(style_contrast(query, key, negatives, 1.0), expected)
    assert not torch.allclose(style_contrast(2 * query, key, negatives, 1.0), expected)


def test_long_styles_are_compared_in_float32_within_autocast() -> None:
    query, key, negatives = torch.randn(3, 64), torch.randn(3, 64), torch.randn(9, 64)
    expected = style_contrast(query, key, negatives, 0.07)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(style_contrast(query, key, negatives, 0.07), expected, rtol=0, atol=0)


def test_a_critic_without_an_opinion_pays_two_and_one_beyond_the_margin_nothing() -> None:
    nothing, sure = torch.zeros(4, 1), torch.full((4, 1), 1.5)
    assert critic_hinge(nothing, nothing).item() == 2
    assert critic_hinge(sure, -sure).item() == 0
    assert critic_hinge(-sure, sure).item() == 5


def test_a_forger_gains_as_much_from_every_picture() -> None:
    fake = torch.tensor([[-3.0], [5.0]], requires_grad=True)
    forger_hinge(fake).backward()
    assert fake.grad is not None
    assert fake.grad.flatten().tolist() == [-0.5, -0.5]
