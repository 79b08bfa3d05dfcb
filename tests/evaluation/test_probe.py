"""A linear probe finds what is linear in features, and chance where there is nothing."""

import pytest
import torch

from cluit.evaluation.probe import linear_probe


def test_a_probe_reads_labels_from_their_own_directions() -> None:
    labels = torch.randint(6, (900,))
    features = torch.randn(6, 40)[labels] + 0.3 * torch.randn(900, 40)
    assert linear_probe(features[:600], labels[:600], features[600:], labels[600:]) > 0.97


def test_a_probe_of_noise_reads_at_chance() -> None:
    labels = torch.randint(4, (4000,))
    features = torch.randn(4000, 16)
    accuracy = linear_probe(features[:2000], labels[:2000], features[2000:], labels[2000:])
    assert accuracy == pytest.approx(0.25, abs=0.05)


def test_a_probe_is_blind_to_scale_and_shift_and_bears_constant_features() -> None:
    labels = torch.randint(3, (600,))
    features = torch.randn(600, 8) + labels[:, None] * torch.linspace(0, 2, 8)
    changed = torch.cat([5 * features - 3, torch.ones(600, 2)], dim=1)
    first, second = (linear_probe(f[:400], labels[:400], f[400:], labels[400:]) for f in (features, changed))
    assert first == pytest.approx(second, abs=0.01)
    assert first > 0.6
