import pytest
import torch

from cluit.nn.trunk import Head, Trunk, widths


def test_channels_double_up_to_eight_times_the_first() -> None:
    assert widths(64, 5) == [64, 128, 256, 512, 512, 512]
    assert widths(16, 2) == [16, 32, 64]


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_trunk_ends_at_four_by_four_whatever_the_size(size: int) -> None:
    trunk = Trunk(size, width=4)
    features = trunk(torch.randn(2, 3, size, size))
    assert features.shape == (2, trunk.channels, 4, 4)
    assert len(trunk.blocks) == size.bit_length() - 3
    assert Head(trunk.channels, 5)(features).shape == (2, 5)
