"""The layers against the formulas, each constant where the paper has it."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.methods.swapae.layers import ROOT2, Active, Blur, Conv, Down, Linear, Same

DOWNS = {"critic": {}, "encoder": {"taps": (1, 2, 1), "reflect": True}}


def plain(x: Tensor, layer: Conv) -> Tensor:
    """The convolution alone, weights divided by √fan-in, without padding or stride."""
    return F.conv2d(x, layer.weight / math.sqrt(layer.weight[0].numel()), layer.bias)


def activated(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2) * ROOT2


def filtered(x: Tensor, taps: tuple[int, ...]) -> Tensor:
    line = torch.tensor(taps, dtype=x.dtype) / sum(taps)
    kernel = torch.outer(line, line)[None, None]
    return torch.cat([F.conv2d(channel, kernel) for channel in x.split(1, dim=1)], dim=1)


def with_biases(block: nn.Module) -> nn.Module:
    """Biases as after some training: while they are 0, a constant that misses them is not seen."""
    for name, weight in block.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(weight)
    return block


@pytest.mark.parametrize("kind", DOWNS)
def test_a_block_that_halves_is_the_formula(kind: str) -> None:
    block = Down(3, 5, **DOWNS[kind])  # type: ignore[arg-type]
    with_biases(block)
    taps, mode = ((1, 2, 1), "reflect") if kind == "encoder" else ((1, 3, 3, 1), "constant")
    x = torch.randn(2, 3, 8, 8)

    def pad(x: Tensor, by: int) -> Tensor:
        return F.pad(x, (by,) * 4, mode)

    h = activated(plain(pad(x, 1), block.conv1))
    h = activated(plain(filtered(pad(h, 2), taps), block.conv2)[:, :, ::2, ::2][:, :, :4, :4])
    skip = plain(filtered(pad(x, 1), taps), block.skip)[:, :, ::2, ::2]
    torch.testing.assert_close(block(x), (h + skip) / ROOT2)


def test_a_block_that_keeps_the_size_is_the_formula() -> None:
    block = Same(3, 5)
    with_biases(block)
    x = torch.randn(2, 3, 8, 8)
    h = activated(plain(F.pad(x, (1,) * 4), block.conv1))
    h = activated(plain(F.pad(h, (1,) * 4), block.conv2))
    torch.testing.assert_close(block(x), (h + plain(x, block.skip)) / ROOT2)


@pytest.mark.parametrize("layer", [Active(Linear(512, 256, ROOT2)), Active(Conv(64, 256, 3))])
def test_a_layer_that_has_not_learned_keeps_the_mean_square(layer: Active) -> None:
    """√2 makes up for what leaky ReLU takes, but for the 2% of its slope."""
    shape = (64, 512) if isinstance(layer.layer, Linear) else (4, 64, 8, 8)
    assert layer(torch.randn(shape)).square().mean().item() == pytest.approx(1.04, rel=0.1)
    assert layer.layer.weight.std().item() == pytest.approx(1, rel=0.02)


def test_a_blur_keeps_a_constant_and_its_bias_is_added() -> None:
    flat = torch.full((1, 2, 8, 8), 3.0)
    torch.testing.assert_close(Blur((1, 2, 1), 1, reflect=True)(flat), flat)
    inside = Blur((1, 3, 3, 1), 1, gain=4.0)(flat, torch.tensor([0.0, 1.0]))[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inside, torch.tensor([12.0, 13.0])[None, :, None, None].expand(1, 2, 5, 5))


def test_a_reflecting_block_sees_no_edge_of_a_flat_picture_and_another_does() -> None:
    flat = torch.ones(1, 3, 8, 8)
    inside, encoder = Down(3, 4)(flat), Down(3, 4, taps=(1, 2, 1), reflect=True)(flat)
    torch.testing.assert_close(encoder, encoder[:, :, :1, :1].expand_as(encoder))
    assert not torch.allclose(inside, inside[:, :, 1:2, 1:2].expand_as(inside))


@pytest.mark.parametrize(
    "block",
    [Down(2, 3), Down(2, 3, taps=(1, 2, 1), reflect=True), Same(2, 3)],
    ids=["down", "reflect", "same"],
)
def test_a_block_is_differentiable_twice(block: nn.Module) -> None:
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradgradcheck(with_biases(block).double(), (x,))


def test_half_precision_rounds_the_gradients_and_no_more() -> None:
    """The gain belongs on the float32 weight; on a half-precision copy, its gradient would bypass it."""
    block, x = Down(8, 16), torch.randn(4, 8, 16, 16)
    weights = list(block.parameters())
    full = torch.autograd.grad(block(x).square().mean(), weights)
    with torch.autocast("cpu", torch.bfloat16):
        half = torch.autograd.grad(block(x).float().square().mean(), weights)
    for a, b in zip(full, half, strict=True):
        assert b.dtype == torch.float32
        assert (a - b).norm() < 0.03 * a.norm()


def test_a_moved_weight_is_used_at_once_under_autocast() -> None:
    """No half-precision copy of a weight outlives its use: not of one before a step, nor without a graph."""
    layer, x = Conv(3, 4, 3), torch.randn(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            before = layer(x)
            layer.weight.mul_(2)
        after = layer(x)
        assert after.requires_grad
    torch.testing.assert_close(after.detach(), 2 * before)
