"""The Fréchet distance: against its closed forms, scipy's matrix root and torchmetrics."""

import numpy as np
import pytest
import scipy.linalg
import torch

from cluit.core.errors import UserError
from cluit.evaluation.frechet import Gaussian, frechet_distance


def gaussian(points: torch.Tensor) -> Gaussian:
    return Gaussian(points.shape[1]).add(points)


def test_it_is_zero_to_oneself() -> None:
    p = gaussian(torch.randn(200, 12) @ torch.randn(12, 12))
    assert frechet_distance(p, p) == pytest.approx(0, abs=1e-9)


def test_a_shift_costs_its_square_and_a_scale_the_square_of_the_difference() -> None:
    points = torch.randn(500, 4, dtype=torch.float64)
    assert frechet_distance(gaussian(points), gaussian(points + 3)) == pytest.approx(4 * 9, rel=1e-9)
    trace = gaussian(points).cov.trace().item()
    shift = 4 * gaussian(points).mean.square().sum().item()
    assert frechet_distance(gaussian(points), gaussian(3 * points)) == pytest.approx(4 * trace + shift)


def test_it_is_blind_to_a_rotation_of_both_and_to_their_order() -> None:
    a, b = torch.randn(300, 6, dtype=torch.float64), 2 * torch.randn(300, 6, dtype=torch.float64) + 1
    turn, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    distance = frechet_distance(gaussian(a), gaussian(b))
    assert frechet_distance(gaussian(a @ turn), gaussian(b @ turn)) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(gaussian(b), gaussian(a)) == pytest.approx(distance, rel=1e-9)


def test_it_agrees_with_the_matrix_root_of_scipy() -> None:
    a, b = torch.randn(100, 8) @ torch.randn(8, 8), torch.randn(100, 8) @ torch.randn(8, 8)
    p, q = gaussian(a), gaussian(b)
    covs = [np.cov(x.double().numpy(), rowvar=False) for x in (a, b)]
    expected = (p.mean - q.mean).square().sum().item() + np.trace(
        covs[0] + covs[1] - 2 * scipy.linalg.sqrtm(covs[0] @ covs[1]).real
    )
    assert frechet_distance(p, q) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("rows", [40, 400])
def test_it_agrees_with_torchmetrics_with_fewer_rows_than_features_too(rows: int) -> None:
    image = pytest.importorskip("torchmetrics.image.fid")
    a, b = torch.randn(rows, 64) @ torch.randn(64, 64), torch.randn(rows, 64) @ torch.randn(64, 64) + 1
    (mean_a, cov_a), (mean_b, cov_b) = ((x.double().mean(dim=0), x.double().T.cov()) for x in (a, b))
    expected = image._compute_fid(mean_a, cov_a, mean_b, cov_b).item()
    assert frechet_distance(gaussian(a), gaussian(b)) == pytest.approx(expected, rel=1e-4)


def test_known_gaussians_have_their_closed_form() -> None:
    """Of diagonal covariances: |m - n|² + Σ (√a - √b)²; rows on the axes have such exactly."""
    a, b = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([4.0, 1.0, 0.25]).double()
    mean = torch.tensor([1.0, -2.0, 0.5]).double()

    def crossed(variances: torch.Tensor) -> torch.Tensor:
        count = 2 * len(variances)
        corners = torch.diag((variances * (count - 1) / 2).sqrt())
        return torch.cat([corners, -corners])

    found = frechet_distance(gaussian(crossed(a)), gaussian(crossed(b) + mean))
    expected = mean.square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert found == pytest.approx(expected.item(), rel=1e-9)


def test_merged_parts_are_the_whole_but_for_rounding() -> None:
    points = 5 + torch.randn(90, 7)
    parts = [gaussian(part) for part in points.split(25)]
    merged = Gaussian(7)
    for part in parts:
        merged.merge(part)
    torch.testing.assert_close(merged.cov, gaussian(points).cov, rtol=1e-12, atol=1e-12)
    assert merged.count == 90
    other = gaussian(torch.randn(50, 7))
    before = frechet_distance(merged, other)
    merged.merge(gaussian(torch.randn(40, 7)))
    assert frechet_distance(merged, other) < before


def test_parts_add_up_to_the_whole() -> None:
    points = torch.randn(70, 5)
    whole, parts = gaussian(points), Gaussian(5)
    for part in points.split(16):
        parts.add(part)
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.cov, points.double().T.cov())


def test_one_picture_has_no_covariance() -> None:
    with pytest.raises(UserError, match="at least 2 pictures"):
        _ = gaussian(torch.zeros(1, 3)).cov
