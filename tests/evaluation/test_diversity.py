import pytest
import torch

from cluit.evaluation.diversity import mean_pairwise_distance


def test_it_is_the_mean_over_all_pairs_of_one_source() -> None:
    features = torch.randn(3, 5, 7)
    for found, rows in zip(mean_pairwise_distance(features), features, strict=True):
        plain = [(rows[i] - rows[j]).norm() for i in range(5) for j in range(i)]
        assert found.item() == pytest.approx(torch.stack(plain).mean().item(), rel=1e-5)


def test_equal_outputs_have_none_and_a_single_one_no_value() -> None:
    assert mean_pairwise_distance(torch.randn(2, 1, 9).expand(2, 4, 9)).tolist() == [0, 0]
    assert mean_pairwise_distance(torch.randn(2, 1, 9)).isnan().all()
