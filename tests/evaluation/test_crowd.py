import pytest
import torch
from torch import Tensor

from cluit.evaluation import crowd
from cluit.evaluation.crowd import Crowd, distances, some_of
from cluit.evaluation.frechet import Gaussian, frechet_distance
from cluit.evaluation.kernel import Block, squared_mmd


def filled(features: Tensor, labels: Tensor | None = None, classes: int = 1) -> Crowd:
    found = Crowd(features.shape[1], classes, some_of(len(features), 0))
    for part in torch.arange(len(features)).split(30):
        found.add(features[part], None if labels is None else labels[part])
    return found


def test_its_classes_and_the_whole_are_those_of_its_rows() -> None:
    features, labels = torch.randn(100, 5), torch.randint(0, 3, (100,))
    found = filled(features, labels, 3)
    torch.testing.assert_close(found.whole.cov, features.double().T.cov())
    for number, gaussian in enumerate(found.classes):
        torch.testing.assert_close(gaussian.cov, features[labels == number].double().T.cov())
    assert torch.equal(found.sample, features)


def test_what_is_added_later_changes_the_whole() -> None:
    found = Crowd(3, 2)
    found.add(torch.randn(10, 3), torch.randint(0, 2, (10,)))
    assert found.whole.count == 10
    found.add(torch.randn(10, 3), torch.randint(0, 2, (10,)))
    assert found.whole.count == 20


def test_the_sample_is_bounded_and_the_same_in_whatever_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "KERNEL_MOST", 40)
    features = torch.randn(100, 5)
    kept = some_of(100, 0)
    whole = Crowd(5, kept=kept)
    whole.add(features)
    assert len(kept) == 40
    assert torch.equal(whole.sample, features[kept])
    assert torch.equal(filled(features).sample, whole.sample)
    assert torch.equal(whole.rows(kept[[7, 2]]), features[kept[[7, 2]]])


def test_the_kernel_distance_is_that_of_its_blocks() -> None:
    a, b = torch.randn(50, 4), torch.randn(60, 4) + 1
    blocks = [Block(torch.tensor([3, 1, 40]), torch.tensor([59, 0])), Block(torch.arange(9), torch.arange(8))]
    found = distances(filled(a), filled(b), [], blocks)
    values = torch.tensor([squared_mmd(a[block.real], b[block.outputs]) for block in blocks])
    assert found["kernel"] == pytest.approx(values.mean().item())
    assert found["kernel_error"] == pytest.approx((values.std() / 2**0.5).item())
    assert (found["kernel_blocks"], found["kernel_block"]) == (2, [3, 2])


def test_the_mean_over_classes_sees_what_the_whole_does_not() -> None:
    """Outputs that ignore their references' class: the crowd as a whole is right, each class is wrong."""
    real, labels = torch.randn(400, 4), torch.arange(400) % 2
    real[labels == 1] += 6
    ignoring = filled(real, labels.roll(1), 2)
    found = distances(filled(real, labels, 2), ignoring, ["low", "high"], [])
    assert found["frechet"] == pytest.approx(0, abs=1e-6)
    assert min(found["class_frechet"].values()) > 100
    assert found["mean_class_frechet"] == pytest.approx(sum(found["class_frechet"].values()) / 2)


def test_without_labels_or_with_one_class_there_is_no_mean_over_classes() -> None:
    a, b = torch.randn(50, 4), torch.randn(60, 4) + 1
    found = distances(filled(a), filled(b), [], [])
    assert found["mean_class_frechet"] is None
    assert [found[key] for key in ("kernel", "kernel_error", "kernel_blocks", "kernel_block")] == [
        None,
        None,
        0,
        None,
    ]
    expected = frechet_distance(Gaussian(4).add(a), Gaussian(4).add(b))
    assert found["frechet"] == pytest.approx(expected)
    labels = torch.zeros(50, dtype=torch.long)
    alone = distances(filled(a, labels, 2), filled(b, torch.arange(60) % 2, 2), ["one", "none"], [])
    assert list(alone["class_frechet"]) == ["one"]
    assert alone["mean_class_frechet"] is None
