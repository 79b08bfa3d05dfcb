"""The generator's layers against StyleGAN2's formulation, and against what the style must not do."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.methods.swapae.layers import ROOT2
from cluit.methods.swapae.styled import Style, StyledConv, StyledSame, StyledUp, StyledUpConv, ToRGB


def unlike_at_first(layer: StyledConv) -> StyledConv:
    """With the biases and style of a layer that has learned."""
    torch.nn.init.normal_(layer.bias)
    layer.style.weight.data.mul_(5)
    return layer.eval()


def normalised(layer: StyledConv, texture: Tensor) -> tuple[Tensor, Tensor]:
    """The style's factors (N, C) of mean square 1, and weights with a sum of squares of 1 per output."""
    factors = layer.style(texture).flatten(1)
    factors = factors / factors.square().mean(dim=1, keepdim=True).sqrt()
    return factors, layer.weight / layer.weight.flatten(1).norm(dim=1)[:, None, None, None]


def test_scaling_activations_is_scaling_each_pictures_weights() -> None:
    layer = unlike_at_first(StyledConv(4, 5, 6))
    x, texture = torch.randn(2, 4, 8, 8), torch.randn(2, 6)
    for row, factor in enumerate(normalised(layer, texture)[0]):
        weight = normalised(layer, texture)[1] * factor[:, None, None]
        alone = F.conv2d(x[row : row + 1], weight, layer.bias, padding=1)
        torch.testing.assert_close(layer(x, texture)[row : row + 1], F.leaky_relu(alone, 0.2) * ROOT2)


def test_enlarging_is_zeros_between_pixels_a_convolution_and_a_blur() -> None:
    layer = unlike_at_first(StyledUpConv(4, 5, 6))
    x, texture = torch.randn(2, 4, 6, 6), torch.randn(2, 6)
    factors, weight = normalised(layer, texture)
    sparse = torch.zeros(2, 4, 11, 11)
    sparse[:, :, ::2, ::2] = x * factors[:, :, None, None]
    h = F.conv2d(sparse, weight.flip(2, 3), padding=2)
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (4 * torch.outer(line, line)).expand(5, 1, 4, 4)
    h = F.conv2d(h, kernel, padding=1, groups=5) + layer.bias[:, None, None]
    out = layer(x, texture)
    assert out.shape == (2, 5, 12, 12)
    torch.testing.assert_close(out, F.leaky_relu(h, 0.2) * ROOT2)


def test_neither_the_size_of_the_factors_nor_that_of_the_weights_matters() -> None:
    layer = unlike_at_first(StyledConv(4, 5, 6))
    x, texture = torch.randn(2, 4, 8, 8), torch.randn(2, 6)
    before = layer(x, texture)
    with torch.no_grad():
        for weight in (layer.weight, layer.style.weight, layer.style.get_parameter("bias")):
            weight.mul_(3)
    torch.testing.assert_close(layer(x, texture), before)


def test_the_rgb_layer_follows_the_size_of_both() -> None:
    layer = ToRGB(4, 6)
    x, texture = torch.randn(2, 4, 8, 8), torch.randn(2, 6)
    before = layer(x, texture)
    with torch.no_grad():
        for weight in (layer.conv.weight, layer.style.weight, layer.style.get_parameter("bias")):
            weight.mul_(3)
    torch.testing.assert_close(layer(x, texture), 9 * before)


@pytest.mark.parametrize("same_width", [True, False])
def test_a_block_that_enlarges_is_the_formula(same_width: bool) -> None:
    outputs = 4 if same_width else 5
    block = StyledUp(4, outputs, 6).eval()
    x, texture = torch.randn(2, 4, 6, 6), torch.randn(2, 6)
    skip = x
    if not same_width:
        weight, bias = block.skip.parameters()
        torch.nn.init.normal_(bias)
        skip = F.leaky_relu(F.conv2d(x, weight / 2, bias), 0.2) * ROOT2
    skip = F.interpolate(skip, scale_factor=2, mode="bilinear", align_corners=False)
    h = ROOT2 * block.conv2(block.conv1(x, texture), texture)  # whose own scale has the 1/√2 of the sum
    torch.testing.assert_close(block(x, texture), (h + skip) / ROOT2)


def test_a_styled_block_of_one_size_is_the_formula() -> None:
    block = StyledSame(4, 5, 6).eval()
    x, texture = torch.randn(2, 4, 6, 6), torch.randn(2, 6)
    h = ROOT2 * block.conv2(block.conv1(x, texture), texture)
    torch.testing.assert_close(block(x, texture), (h + F.conv2d(x, block.skip.weight / 2)) / ROOT2)


@pytest.mark.parametrize("kind", [StyledSame, StyledUp])
def test_a_styled_block_is_differentiable_twice(kind: type[StyledSame | StyledUp]) -> None:
    block = kind(2, 3, 4).double().eval()
    shapes = ((1, 2, 3, 3), (1, 4))
    x, texture = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    torch.autograd.gradgradcheck(block, (x, texture))


def test_noise_begins_at_nothing_and_comes_in_training_only() -> None:
    layer = StyledConv(4, 5, 6)
    x, texture = torch.randn(2, 4, 8, 8), torch.randn(2, 6)
    assert torch.equal(layer.train()(x, texture), layer.eval()(x, texture))
    torch.nn.init.ones_(layer.noise)
    quiet = layer.eval()(x, texture)
    assert torch.equal(quiet, layer(x, texture))
    noisy = layer.train()(x, texture)
    assert not torch.equal(noisy, quiet)
    assert not torch.equal(noisy, layer(x, texture))


def test_noise_is_one_for_all_channels_and_as_strong_as_its_gain() -> None:
    layer = StyledConv(2, 200, 6)
    torch.nn.init.constant_(layer.noise, 0.5)
    noise = layer.noisy(torch.zeros(4, 200, 16, 16)) / ROOT2
    torch.testing.assert_close(noise, noise[:, :1].expand_as(noise))
    assert noise[:, 0].std().item() == pytest.approx(0.5, rel=0.1)


def test_under_autocast_textures_that_are_nearly_alike_still_differ() -> None:
    style, texture = Style(64, 8), F.normalize(torch.randn(1, 64), dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        change = style(texture * 1.01) - style(texture)
    torch.testing.assert_close(change, 0.01 * (style(texture) - 1), rtol=1e-2, atol=1e-6)
