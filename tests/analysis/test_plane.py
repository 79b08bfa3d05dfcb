import sys
from importlib.util import find_spec

import pytest
import torch

from cluit.analysis.neighbours import precision_at_k
from cluit.analysis.plane import kept_neighbours, project
from cluit.core.errors import UserError

needs_sklearn = pytest.mark.skipif(
    find_spec("sklearn") is None,
    reason="scikit-learn is not installed (cluit[analysis])",
)


def clusters() -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(60) % 3
    return torch.eye(8)[labels] + 0.05 * torch.randn(60, 8), labels


@needs_sklearn
def test_clusters_of_codes_are_clusters_in_the_plane() -> None:
    codes, labels = clusters()
    place = project(codes * torch.rand(60, 1).add(0.5))
    assert place.shape == (60, 2)
    assert place.norm(dim=1).max().item() == pytest.approx(1)
    lone = torch.cdist(place, place).fill_diagonal_(torch.inf).argmin(dim=1)
    assert (labels[lone] == labels).float().mean() > 0.95
    assert kept_neighbours(codes, place) > 0.8 > kept_neighbours(codes, torch.randn(60, 2))
    assert precision_at_k(codes, labels).mean() == 1


@needs_sklearn
def test_the_same_seed_gives_the_same_plane() -> None:
    codes, _ = clusters()
    assert torch.equal(project(codes, seed=3), project(codes, seed=3))


def test_umap_keeps_clusters_too() -> None:
    pytest.importorskip("umap", reason="umap-learn is not installed (cluit[umap])")
    codes, _ = clusters()
    assert kept_neighbours(codes, project(codes, "umap")) > 0.8


@pytest.mark.parametrize(
    ("by", "library", "extra"), [("tsne", "sklearn.manifold", "analysis"), ("umap", "umap", "umap")]
)
def test_a_missing_library_is_named_with_its_extra(
    by: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"pip install 'cluit\[{extra}\]'"):
        project(torch.randn(10, 4), by)  # type: ignore[arg-type]


def test_too_few_codes_and_unknown_ways_are_one_sentence() -> None:
    with pytest.raises(UserError, match="at least 5 pictures, got 4"):
        project(torch.randn(4, 3))
    with pytest.raises(UserError, match="tsne or umap, not by 'pca'"):
        project(torch.randn(9, 3), "pca")  # type: ignore[arg-type]
