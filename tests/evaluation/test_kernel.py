"""The kernel distance: the plain formula, no bias under the protocol, and blocks that make it so."""

from math import sqrt

import pytest
import torch
from torch import Tensor

from cluit.evaluation.kernel import Block, independent_blocks, kernel_distance, squared_mmd
from cluit.evaluation.protocol import random_pairs


def paired(count: int, each: int, seed: int = 0, limit: int | None = None) -> tuple[Tensor, Tensor]:
    names = [f"{number:05d}" for number in range(count)]
    return random_pairs(names, each, seed, limit).numbers(names)


def pictures_of(block: Block, sources: Tensor, references: Tensor, real: Tensor) -> Tensor:
    """Numbers of all pictures that take part, one for each part."""
    shown = real[block.real]
    firsts = sources[block.outputs // references.shape[1]]
    return torch.cat([firsts, references.flatten()[block.outputs], shown[shown >= 0]])


def test_it_is_the_plain_double_sum() -> None:
    x, y = torch.randn(7, 5).double(), torch.randn(9, 5).double() + 0.3

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return ((a @ b).item() / 5 + 1) ** 3

    within_x = sum(k(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    within_y = sum(k(y[i], y[j]) for i in range(9) for j in range(9) if i != j) / (9 * 8)
    between = sum(k(a, b) for a in x for b in y) / (7 * 9)
    assert squared_mmd(x, y) == pytest.approx(within_x + within_y - 2 * between, rel=1e-12)
    whole = kernel_distance([(x, y)])
    assert whole is not None
    assert whole.value == pytest.approx(squared_mmd(x, y), rel=1e-12)
    assert (whole.error, whole.blocks, whole.block) == (None, 1, (7, 9))
    assert kernel_distance([]) is None


def test_it_agrees_with_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.image.kid")
    x, y = torch.randn(60, 16).double(), 1.2 * torch.randn(60, 16).double()
    assert squared_mmd(x, y) == pytest.approx(image.poly_mmd(x, y).item(), rel=1e-4)


def test_over_independent_blocks_the_error_is_the_spread_of_the_mean() -> None:
    found = [kernel_distance((torch.randn(50, 8), torch.randn(50, 8)) for _ in range(8)) for _ in range(20)]
    values = torch.tensor([one.value for one in found if one])
    errors = torch.tensor([one.error for one in found if one and one.error is not None])
    assert len(errors) == 20
    assert 0.6 < errors.mean() / values.std() < 1.6


ANSWERS = {
    "source": lambda source, reference: source.expand_as(reference),
    "reference": lambda source, reference: reference,
    "both": lambda source, reference: (source + reference) / 2**0.5,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_of_the_real_law_are_at_zero_though_pictures_come_again(answer: str) -> None:
    """Where the test pictures are the real ones; to compare all with all is wrong by many standard errors."""
    blocks, whole = list[float](), list[float]()
    torch.manual_seed(0)
    for seed in range(300):
        pictures, (sources, references) = torch.randn(30, 8).double(), paired(30, 10, seed)
        outputs = ANSWERS[answer](pictures[sources, None], pictures[references]).flatten(0, 1)
        dealt = independent_blocks(sources, references, torch.arange(30), seed=seed)
        found = kernel_distance((pictures[block.real], outputs[block.outputs]) for block in dealt)
        assert found is not None
        blocks.append(found.value)
        whole.append(squared_mmd(pictures, outputs))

    def z(values: list[float]) -> float:
        each = torch.tensor(values)
        return each.mean().item() / (each.std().item() / sqrt(len(each)))

    assert abs(z(blocks)) < 4
    assert abs(z(whole)) > 8


@pytest.mark.parametrize(("count", "each", "limit"), [(90, 10, None), (90, 3, 25), (12, 1, None), (6, 5, 4)])
def test_no_picture_is_in_a_block_twice_and_no_output_in_two(
    count: int, each: int, limit: int | None
) -> None:
    (sources, references), real = paired(count, each, limit=limit), torch.randperm(count)
    blocks = independent_blocks(sources, references, real, size=20)
    assert blocks
    for block in blocks:
        pictures = pictures_of(block, sources, references, real)
        assert len(pictures.unique()) == len(pictures)
        assert min(map(len, block)) > 1
    outputs = torch.cat([block.outputs for block in blocks])
    assert len(outputs.unique()) == len(outputs)


def test_blocks_are_full_where_there_are_pictures_enough() -> None:
    sources, references = paired(400, 5)
    blocks = independent_blocks(sources, references, torch.arange(400), size=40)
    assert [tuple(map(len, block)) for block in blocks] == [(40, 40)] * 10
    assert len(torch.cat([block.outputs // 5 for block in blocks]).unique()) == 400
    others = independent_blocks(sources, references, torch.full((600,), -1), size=40)
    assert [tuple(map(len, block)) for block in others] == [(40, 40)] * 15


def test_blocks_shrink_with_the_pictures_that_are_left() -> None:
    sources, references = paired(30, 2)
    sizes = {len(block.outputs) for block in independent_blocks(sources, references, torch.arange(30))}
    assert max(sizes) == 10
    assert independent_blocks(*paired(5, 2), torch.arange(5)) == []
    assert independent_blocks(*paired(5, 2), torch.tensor([-1])) == []
    assert len(independent_blocks(*paired(5, 2), torch.tensor([-1, -1]))) == 1


def test_the_seed_says_which_blocks() -> None:
    sources, references = paired(60, 4)

    def dealt(seed: int) -> list[list[int]]:
        blocks = independent_blocks(sources, references, torch.arange(60), seed=seed)
        return [part.tolist() for block in blocks for part in block]

    assert dealt(1) == dealt(1)
    assert dealt(1) != dealt(2)
