"""Structure kept: blind to colours, not to places."""

import pytest
import torch

from cluit.core.images import to_unit
from cluit.evaluation.structure import structure_kept
from cluit.evaluation.truth import held_out_pairs


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    return held_out_pairs(60, 32, seed=3).sources


def test_the_source_itself_has_all_in_any_brightness_and_inverted(faces: torch.Tensor) -> None:
    images = to_unit(faces)
    for same in (images, 0.4 * images + 0.3, -images):
        assert torch.allclose(structure_kept(same, images), torch.ones(len(faces)), atol=1e-4)
    assert torch.allclose(structure_kept(faces, faces), torch.ones(len(faces)), atol=1e-4)


def test_an_edge_across_is_the_opposite() -> None:
    ramp = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    assert structure_kept(ramp.transpose(2, 3), ramp).item() == pytest.approx(-1, abs=0.1)


def test_the_true_translation_keeps_more_than_another_picture(faces: torch.Tensor) -> None:
    pairs = held_out_pairs(60, 32, seed=3)
    true = structure_kept(pairs.truths, pairs.sources)
    other = structure_kept(pairs.references, pairs.sources)
    assert true.mean() > other.mean() + 0.08


def test_it_falls_as_a_picture_moves(faces: torch.Tensor) -> None:
    kept = [structure_kept(faces.roll(shift, dims=3), faces).mean().item() for shift in (0, 1, 3, 6)]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] < 0.6


def test_a_flat_picture_keeps_nothing(faces: torch.Tensor) -> None:
    assert structure_kept(torch.zeros_like(faces), faces).abs().max() == 0


def test_several_outputs_of_a_source_are_as_if_it_came_with_each(faces: torch.Tensor) -> None:
    sources, outputs = faces[:3], faces[3:15]
    repeated = structure_kept(outputs, sources.repeat_interleave(4, dim=0))
    assert torch.allclose(structure_kept(outputs, sources), repeated, atol=1e-4)
