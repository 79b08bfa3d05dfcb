import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from cluit.losses.contrastive import info_nce, unit_mean


def test_features_that_say_nothing_cost_log_k_plus_one() -> None:
    blank = torch.zeros(5, 8)
    assert info_nce(blank, blank, torch.zeros(31, 8), 0.1).item() == pytest.approx(math.log(32))


def test_features_that_say_everything_cost_nothing() -> None:
    keys = torch.eye(8)
    assert info_nce(keys[:2], keys[:2], keys[2:], 0.01).item() == pytest.approx(0, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), st.floats(0.05, 1.0))
def test_the_loss_is_the_written_out_formula(n: int, k: int, temperature: float) -> None:
    query, key, negatives = (F.normalize(torch.randn(rows, 4), dim=1) for rows in (n, n, k))
    top = torch.exp((query * key).sum(dim=1) / temperature)
    rest = torch.exp(query @ negatives.T / temperature).sum(dim=1)
    expected = -torch.log(top / (top + rest)).mean()
    torch.testing.assert_close(info_nce(query, key, negatives, temperature), expected)


def test_the_mean_of_patches_is_a_direction() -> None:
    features = F.normalize(torch.randn(4, 3, 8), dim=2)
    mean = unit_mean(features)
    torch.testing.assert_close(mean.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(mean, F.normalize(features.sum(dim=0), dim=1))
    torch.testing.assert_close(unit_mean(features[:1]), features[0])
