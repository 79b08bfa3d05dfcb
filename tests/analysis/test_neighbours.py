import sys
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from cluit.analysis import neighbours
from cluit.analysis.neighbours import ApproximateIndex, nearest, precision_at_k, ranks
from cluit.core.errors import UserError


def test_search_in_blocks_finds_what_the_whole_table_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, query = torch.randn(101, 7), torch.randn(13, 7)
    monkeypatch.setattr(neighbours, "BLOCK", 5 * 30)
    monkeypatch.setattr(neighbours, "QUERIES", 5)
    similarity, index = nearest(codes, query, 40)
    table = F.cosine_similarity(query[:, None], codes[None], dim=2)
    expected, order = table.sort(dim=1, descending=True)
    assert torch.allclose(similarity, expected[:, :40], atol=1e-6)
    assert (index == order[:, :40]).all()


def test_length_does_not_matter_and_a_code_finds_itself() -> None:
    codes = torch.randn(50, 8)
    similarity, index = nearest(codes * torch.rand(50, 1).add(0.1), 3 * codes, 1)
    assert (index[:, 0] == torch.arange(50)).all()
    assert torch.allclose(similarity, torch.ones(50, 1))


def test_a_code_that_must_not_find_itself_finds_its_twin() -> None:
    codes = torch.randn(20, 8).repeat(2, 1)
    _, index = nearest(codes, codes, 1, without=torch.arange(40))
    assert (index[:, 0] == (torch.arange(40) + 20) % 40).all()


def test_memory_does_not_grow_with_the_number_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of similarities stay below their bound, however many codes meet however many queries."""
    sizes = []
    original = neighbours.similarities

    def watched(codes: torch.Tensor, query: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        for first, block in original(codes, query):
            sizes.append(block.numel())
            yield first, block

    monkeypatch.setattr(neighbours, "BLOCK", 1000)
    monkeypatch.setattr(neighbours, "similarities", watched)
    nearest(torch.randn(500, 4), torch.randn(300, 4), 3)
    assert max(sizes) <= 1000


@pytest.mark.parametrize("k", [0, 6])
def test_more_neighbours_than_codes_are_one_sentence(k: int) -> None:
    with pytest.raises(UserError, match=r"choose k from 1 to 5"):
        nearest(torch.randn(5, 3), torch.randn(1, 3), k)
    with pytest.raises(UserError, match=r"choose k from 1 to 4"):
        nearest(torch.randn(5, 3), torch.randn(1, 3), 5, without=torch.tensor([0]))


def test_precision_is_one_where_classes_are_apart_and_chance_where_they_are_not() -> None:
    labels = torch.arange(90) % 3
    apart = F.one_hot(labels).float() + 0.01 * torch.randn(90, 3)
    assert (precision_at_k(apart, labels, 10) == 1).all()
    assert precision_at_k(torch.randn(900, 16), torch.arange(900) % 3).mean().item() == pytest.approx(
        1 / 3, abs=0.03
    )


def test_a_small_class_reaches_only_its_own_size() -> None:
    codes = torch.tensor([[1.0, 0], [1, 0.01], [1, -0.01], [0, 1], [0.01, 1], [-0.01, 1], [0.02, 1]])
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    assert precision_at_k(codes, labels, 4)[0].item() == pytest.approx(2 / 4)


def test_a_rank_counts_the_codes_that_are_more_alike() -> None:
    codes = torch.tensor([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0], [-1.0, 0.0]])
    query, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.5]])
    assert ranks(codes, query, target).tolist() == [3]
    assert ranks(codes, query, query).tolist() == [2]  # the first code is as alike, and counts


def test_codes_that_say_nothing_rank_last() -> None:
    assert ranks(torch.ones(30, 4), torch.ones(5, 4), torch.ones(5, 4)).tolist() == [31] * 5


def test_an_approximate_index_finds_nearly_all_and_survives_storage() -> None:
    pytest.importorskip("faiss", reason="faiss is not installed (cluit[search])")
    codes, query = torch.randn(2000, 16), torch.randn(50, 16)
    seen = list[int]()
    index = ApproximateIndex(codes, seen.append)
    assert seen[-1] == 2000
    similarity, found = index.nearest(query, 10)
    exact_similarity, exact = nearest(codes, query, 10)
    hits = (found[:, :, None] == exact[:, None]).any(dim=2).float().mean().item()
    assert hits > 0.95
    assert similarity[:, 0].mean().item() == pytest.approx(exact_similarity[:, 0].mean().item(), abs=1e-3)
    again = ApproximateIndex.restored(index.stored())
    assert (again.nearest(query, 10)[1] == found).all()


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"needs faiss.*pip install 'cluit\[search\]'"):
        ApproximateIndex(torch.randn(5, 3))
