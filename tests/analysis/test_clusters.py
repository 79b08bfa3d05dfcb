"""Clusters are judged as the field judges them, and whatever they are called."""

import itertools
import sys

import pytest
import torch

from cluit.analysis.clusters import (
    assignment,
    clustering_accuracy,
    contingency,
    normalised_mutual_information,
    purity,
)
from cluit.core.errors import UserError


def test_a_picture_is_in_its_most_probable_cluster() -> None:
    sorted_ = assignment(torch.tensor([[1.0, 3.0, 1.0], [9.0, 0.0, 0.0]]))
    assert sorted_.cluster.tolist() == [1, 0]
    assert sorted_.probability[0].item() == pytest.approx(1 / (1 + 2 * torch.e**-2))


def test_the_surest_come_first_also_where_single_precision_knows_no_difference() -> None:
    logits = torch.tensor([[30.0, 0.0], [0.0, 5.0], [31.0, 0.0], [20.0, 0.0], [31.0, 0.0]])
    assert (logits.softmax(dim=1)[[0, 2]] == 1).any(dim=1).all()
    found = assignment(logits)
    assert found.surest(0, 3).tolist() == [2, 4, 0]
    assert found.surest(0, 99).tolist() == [2, 4, 0, 3]
    assert found.surest(1, 9).tolist() == [1]
    assert found.surest(7, 9).tolist() == []


def test_pictures_are_counted_by_cluster_and_class() -> None:
    table = contingency(torch.tensor([0, 0, 3, 3]), torch.tensor([1, 1, 0, 1]), 4, 2)
    assert table.tolist() == [[0, 2], [0, 0], [0, 0], [1, 1]]


def test_perfect_clusters_score_1_by_whatever_names() -> None:
    labels = torch.randint(0, 4, (100,))
    table = contingency(torch.tensor([5, 2, 0, 3])[labels], labels, 6, 4)
    pytest.importorskip("scipy", reason="scipy is not installed (cluit[analysis])")
    assert clustering_accuracy(table) == 1
    assert purity(table) == 1
    assert normalised_mutual_information(table) == pytest.approx(1)


def test_the_matching_is_the_best_of_all() -> None:
    pytest.importorskip("scipy", reason="scipy is not installed (cluit[analysis])")
    for shape in ((3, 3), (5, 3), (3, 5)):
        table = torch.randint(0, 50, shape)
        wide = table if shape[0] <= shape[1] else table.T
        matchings = itertools.permutations(range(wide.shape[1]), len(wide))
        best = max(wide[range(len(wide)), columns].sum().item() for columns in matchings)
        assert clustering_accuracy(table) == pytest.approx(best / table.sum().item())


def test_halves_of_a_class_cost_accuracy_and_information_but_no_purity() -> None:
    pytest.importorskip("scipy", reason="scipy is not installed (cluit[analysis])")
    table = torch.tensor([[50, 0], [25, 0], [25, 0], [0, 100]])
    assert clustering_accuracy(table) == pytest.approx(150 / 200)
    assert purity(table) == 1
    assert 0.7 < normalised_mutual_information(table) < 0.9


def test_clusters_that_say_nothing_have_no_information() -> None:
    assert normalised_mutual_information(torch.tensor([[30, 10], [60, 20]])) == pytest.approx(0, abs=1e-12)
    assert normalised_mutual_information(torch.tensor([[30, 70], [0, 0]])) == 0
    assert purity(torch.tensor([[30, 70], [0, 0]])) == pytest.approx(0.7)
    assert normalised_mutual_information(torch.tensor([[7], [0]])) == 1


def test_information_is_what_scikit_learn_computes() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed (cluit[analysis])")
    cluster, labels = torch.randint(0, 7, (2, 300)) % torch.tensor([[7], [4]])
    expected = metrics.normalized_mutual_info_score(labels.numpy(), cluster.numpy())
    assert normalised_mutual_information(contingency(cluster, labels, 9, 4)) == pytest.approx(expected)


def test_without_its_library_accuracy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(UserError, match=r"cluit\[analysis\]"):
        clustering_accuracy(torch.eye(3))
