"""Scores against the true translation: perfect for the truth, and what one expects of the trivial answers."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from cluit.core.images import to_bytes, to_unit
from cluit.data.factors import SPECIES
from cluit.data.portraits import draw
from cluit.evaluation.reader import FaceReader
from cluit.evaluation.truth import (
    Measured,
    TruthSet,
    correlation,
    held_out_pairs,
    measure,
    ssim_map,
    summary,
    trivial_answers,
)


@pytest.fixture(scope="module")
def pairs() -> TruthSet:
    return held_out_pairs(120, 32, seed=1)


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FaceReader.load()


def test_pairs_differ_in_species_and_depend_on_the_seed_alone(pairs: TruthSet) -> None:
    assert (pairs.style.species != pairs.source_style.species).all()
    fewer = held_out_pairs(7, 32, seed=1)
    assert len(fewer) == 7
    assert torch.equal(fewer.truths, pairs.truths[:7])
    assert not torch.equal(held_out_pairs(7, 32, seed=2).truths, fewer.truths)


def test_the_truth_has_the_sources_structure_and_the_references_style(pairs: TruthSet) -> None:
    assert torch.equal(draw(pairs.structure, pairs.source_style, 32), pairs.sources)
    assert torch.equal(draw(pairs.structure, pairs.style, 32), pairs.truths)


def test_the_truth_scores_perfectly(pairs: TruthSet, reader: FaceReader) -> None:
    scores = pairs.score_outputs(pairs.truths, reader)
    assert scores["mae"] == scores["mae_face"] == scores["mae_background"] == 0
    assert scores["ssim_face"] == pytest.approx(1)
    assert scores["species"] > 0.98
    assert scores["species_of_source"] < 0.02
    assert min(scores[name] for name in ("position", "scale", "tilt", "turn")) > 0.95


def test_trivial_answers_fail_as_they_must(pairs: TruthSet, reader: FaceReader) -> None:
    scores = pairs.score_trivial(reader)
    assert set(scores) == {"source", "reference", "recoloured source", "average"}
    assert scores["source"]["species_of_source"] > 0.98
    assert scores["source"]["position"] > 0.95
    assert scores["reference"]["species"] > 0.98
    assert abs(scores["reference"]["position"]) < 0.3
    assert all(answer["mae_face"] > 20 for answer in scores.values())


def test_a_translator_is_scored_on_its_answers(pairs: TruthSet, reader: FaceReader) -> None:
    scores = pairs.score(lambda source, reference, species: (source + reference) / 2, reader)
    assert scores == pytest.approx(pairs.score_trivial(reader)["average"])


def test_a_recoloured_source_has_the_references_mean_and_spread() -> None:
    source, reference = 0.2 * torch.randn(2, 4, 3, 16, 16)
    recoloured = trivial_answers(source, 0.5 * reference + 0.1)["recoloured source"]
    assert torch.allclose(recoloured.mean(dim=(2, 3)), (0.5 * reference + 0.1).mean(dim=(2, 3)), atol=1e-5)
    assert torch.allclose(recoloured.std(dim=(2, 3)), 0.5 * reference.std(dim=(2, 3)), atol=1e-5)
    flat = torch.zeros(1, 3, 16, 16)
    assert torch.isfinite(trivial_answers(flat, flat)["recoloured source"]).all()


def test_errors_are_in_levels_and_part_by_the_face(pairs: TruthSet, reader: FaceReader) -> None:
    truths = torch.full((1, 3, 32, 32), 100, dtype=torch.uint8)
    outputs = truths.clone()
    outputs[..., :8] = 130
    outputs[..., 8:] = 90
    face = torch.zeros(1, 32, 32, dtype=torch.bool)
    face[..., :8] = True
    one = slice(0, 1)
    scores = summary(
        measure(outputs, truths, face, reader),
        pairs.structure[one],
        pairs.source_style[one],
        pairs.style[one],
    )
    assert (scores["mae_face"], scores["mae_background"], scores["mae"]) == (30, 10, 15)


def test_measured_in_parts_they_score_as_measured_together(pairs: TruthSet, reader: FaceReader) -> None:
    outputs = to_bytes((to_unit(pairs.sources) + to_unit(pairs.references)) / 2)
    parts = [
        measure(outputs[part], pairs.truths[part], pairs.face[part], reader)
        for part in (slice(0, 64), slice(64, None))
    ]
    scores = summary(Measured.cat(parts), pairs.structure, pairs.source_style, pairs.style)
    assert scores == pytest.approx(pairs.score_outputs(outputs, reader))


def test_structural_similarity_is_its_formula(pairs: TruthSet) -> None:
    """Written out with scipy's Gaussian filter, whose "mirror" is torch's "reflect"."""
    grey = [
        (pictures.numpy() * np.array([0.299, 0.587, 0.114])[:, None, None]).sum(1)
        for pictures in (pairs.sources[:4].double(), pairs.truths[:4].double())
    ]

    def window(z: np.ndarray) -> np.ndarray:
        return np.stack([gaussian_filter(picture, 1.5, mode="mirror", radius=5) for picture in z])

    x, y = grey
    mean_x, mean_y = window(x), window(y)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_x * mean_y + c1) * (2 * (window(x * y) - mean_x * mean_y) + c2)
    spread = window(x * x) - mean_x**2 + window(y * y) - mean_y**2
    expected = numerator / ((mean_x**2 + mean_y**2 + c1) * (spread + c2))
    found = ssim_map(pairs.sources[:4], pairs.truths[:4]).double().numpy()
    assert np.abs(found - expected).max() < 2e-3
    assert torch.allclose(ssim_map(pairs.truths[:4], pairs.truths[:4]), torch.ones(4, 32, 32), atol=1e-5)


def test_correlation_is_pearsons_and_nothing_follows_a_constant() -> None:
    a, b = torch.randn(2, 50)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a.numpy(), b.numpy())[0, 1])
    assert correlation(a, 3 * a + 1) == pytest.approx(1)
    assert correlation(a, torch.ones(50)) == 0


def test_bytes_survive_the_way_into_networks_and_back(pairs: TruthSet) -> None:
    assert torch.equal(pairs.answers(lambda source, reference, species: source), pairs.sources)
    assert torch.equal(to_bytes(to_unit(pairs.truths)), pairs.truths)


def test_a_translator_is_told_the_references_species(pairs: TruthSet) -> None:
    told = list[str]()

    def translate(source: Tensor, reference: Tensor, species: Sequence[str]) -> Tensor:
        assert len(source) == len(reference) == len(species)
        told.extend(species)
        return source

    pairs.answers(translate)
    assert [SPECIES.index(name) for name in told] == pairs.style.species.tolist()
