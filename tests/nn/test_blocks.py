import pytest
import torch
from torch import nn

from cluit.nn import blocks, resample


def test_adain_scales_by_one_plus_gamma_and_shifts_by_beta() -> None:
    norm = blocks.AdaIN(channels=2, style_dim=3)
    nn.init.zeros_(norm.affine.weight)
    with torch.no_grad():
        norm.affine.bias.copy_(torch.tensor([1.0, -1.0, 5.0, 7.0]))  # γ of both channels, then β
    out = norm(torch.randn(4, 2, 16, 16), torch.randn(4, 3))
    torch.testing.assert_close(out.mean(dim=(2, 3)), torch.tensor([5.0, 7.0]).expand(4, 2))
    spread = out.std(dim=(2, 3), correction=0)
    torch.testing.assert_close(spread, torch.tensor([2.0, 0.0]).expand(4, 2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("block", [blocks.Down(4, 8), blocks.NormDown(4, 8)])
def test_a_down_block_halves_the_side(block: nn.Module) -> None:
    assert block(torch.randn(2, 4, 8, 8)).shape == (2, 8, 4, 4)


def test_an_up_block_doubles_the_side() -> None:
    assert blocks.StyledUp(8, 4, style_dim=3)(torch.randn(2, 8, 4, 4), torch.randn(2, 3)).shape == (
        2,
        4,
        8,
        8,
    )


def test_a_shortcut_costs_nothing_by_working_on_fewer_pixels() -> None:
    """The 1×1 convolution commutes with the averages of 2×2 and with nearest doubling."""
    x, skip = torch.randn(2, 4, 8, 8), nn.Conv2d(4, 6, 1, bias=False)
    torch.testing.assert_close(skip(resample.halve(x)), resample.halve(skip(x)))
    torch.testing.assert_close(resample.double(skip(x)), skip(resample.double(x)))


def test_he_initialisation_keeps_the_scale_of_activations() -> None:
    layers = nn.Sequential(*(nn.Sequential(nn.Linear(512, 512), nn.LeakyReLU(0.2)) for _ in range(8)))
    blocks.he_init(layers)
    with torch.no_grad():
        out = layers(torch.randn(64, 512))
    assert 0.5 < out.square().mean() < 2
    assert all((bias == 0).all() for name, bias in layers.named_parameters() if name.endswith("bias"))
