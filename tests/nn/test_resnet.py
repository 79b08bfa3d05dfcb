"""The residual networks are the published ones, and fit small pictures and machines."""

import pytest
import torch
from torch import nn

from cluit.nn.resnet import LEAST_SIDE, Bottleneck, Conv, ResNet, fitting_stride


@pytest.mark.parametrize(("depth", "count"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032)])
def test_the_published_networks_have_the_published_number_of_weights(depth: int, count: int) -> None:
    with torch.device("meta"):
        network = ResNet(depth)
    assert sum(weight.numel() for weight in network.parameters()) == count


@pytest.mark.parametrize(("stride", "side"), [(1, 32), (2, 16), (4, 8)])
def test_the_stem_divides_the_size_by_its_stride(stride: int, side: int) -> None:
    network = ResNet(18, width=2, stride=stride)
    assert network.stem(torch.rand(1, 3, 32, 32)).shape == (1, 2, side, side)


@pytest.mark.parametrize(("size", "stride"), [(16, 1), (32, 1), (63, 1), (64, 2), (128, 4), (224, 4)])
def test_the_fitting_stem_leaves_the_last_stage_pixels_to_see(size: int, stride: int) -> None:
    assert fitting_stride(size) == stride
    network = ResNet(18, width=1, stride=stride)
    last = network.blocks(network.stem(torch.rand(1, 3, size, size)))
    assert min(last.shape[2:]) >= min(LEAST_SIDE, size // 8)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_logits_are_linear_in_the_features(depth: int) -> None:
    network = ResNet(depth, width=2, stride=1, outputs=5).eval()
    nn.init.normal_(network.linear.weight)
    images = torch.rand(3, 3, 24, 32)
    features = network.features(images)
    assert features.shape == (3, network.dim)
    torch.testing.assert_close(network(images), network.linear(features))


def test_every_block_starts_as_its_shortcut() -> None:
    block = ResNet(50, width=2).blocks[1]
    assert isinstance(block, Bottleneck)
    x = torch.rand(2, 8, 6, 6)
    torch.testing.assert_close(block.eval()(x), x)


@pytest.mark.parametrize("depth", [18, 50])
def test_no_weight_is_idle(depth: int) -> None:
    network = ResNet(depth, width=2, stride=1, outputs=4)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn_like(weight))
    network(torch.rand(4, 3, 32, 32)).square().sum().backward()
    idle = [name for name, weight in network.named_parameters() if not weight.grad.abs().sum() > 0]  # type: ignore[union-attr]
    assert not idle


@pytest.mark.parametrize("wrong", [{"depth": 20}, {"width": 0}, {"stride": 3}, {"outputs": 0}])
def test_a_network_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a residual network has"):
        ResNet(**wrong)


def test_a_thinned_projection_is_the_strided_one() -> None:
    projection = Conv(3, 5, kernel=1, stride=2)
    images = torch.randn(2, 3, 6, 6)
    strided = torch.nn.functional.conv2d(images, projection.conv.weight, stride=2)
    torch.testing.assert_close(projection(images), projection.norm(strided))
