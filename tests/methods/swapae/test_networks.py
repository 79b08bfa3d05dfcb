import pytest
import torch
from torch import nn

from cluit.methods.swapae.config import SwapAEConfig
from cluit.methods.swapae.networks import Critic, Encoder, Generator, PatchCritic, SwapAETranslator

COUNTS = {Encoder: 30_584_872, Generator: 25_064_743, Critic: 28_384_513, PatchCritic: 24_522_145}
COUNTS_256 = {**COUNTS, Critic: 28_859_521}


def weights_of(network: type[nn.Module], config: SwapAEConfig) -> int:
    with torch.device("meta"):
        return sum(weight.numel() for weight in network(config).parameters())


@pytest.mark.parametrize("network", COUNTS)
def test_parameter_counts_at_128_px(network: type[nn.Module]) -> None:
    assert weights_of(network, SwapAEConfig()) == COUNTS[network]


@pytest.mark.parametrize("network", COUNTS)
def test_parameter_counts_at_256_px_with_the_published_structure(network: type[nn.Module]) -> None:
    config = SwapAEConfig(image_size=256, structure_side=16)
    assert weights_of(network, config) == COUNTS_256[network]


@pytest.mark.parametrize("size", [32, 64, 128])
def test_every_size_has_a_structure_of_8_and_a_unit_texture(size: int) -> None:
    translator = SwapAETranslator(SwapAEConfig(image_size=size, width=4)).eval()
    images = torch.randn(2, 3, size, size)
    structure, texture = translator.encode_structure(images), translator.encode_style(images)
    assert structure.shape == (2, 8, 8, 8)
    assert texture.shape == (2, 128)
    torch.testing.assert_close(structure.norm(dim=1), torch.ones(2, 8, 8))
    torch.testing.assert_close(texture.norm(dim=1), torch.ones(2))
    assert translator.decode(structure, texture).shape == images.shape


@pytest.mark.parametrize(("size", "side"), [(32, 16), (64, 32), (256, 16)])
def test_a_larger_structure_is_halved_less_often(size: int, side: int) -> None:
    translator = SwapAETranslator(SwapAEConfig(image_size=size, width=4, structure_side=side)).eval()
    images = torch.randn(1, 3, size, size)
    structure = translator.encode_structure(images)
    assert structure.shape == (1, 8, side, side)
    assert translator.decode(structure, translator.encode_style(images)).shape == images.shape


@pytest.mark.parametrize(("size", "patch"), [(32, 32), (128, 128), (256, 128)])
def test_patches_are_no_larger_than_the_picture_and_than_128_px(size: int, patch: int) -> None:
    config = SwapAEConfig(image_size=size, width=2)
    assert config.patch_side == patch
    critic = PatchCritic(config)
    features = critic.embed(torch.randn(2, 3, 3, patch, patch))
    assert features.shape == (2, 3, 4 * config.channels(384))
    assert critic.compare(features[:, :1], features).shape == (2, 3)


def test_both_codes_in_one_pass_are_those_of_two() -> None:
    translator = SwapAETranslator(SwapAEConfig(image_size=32, width=4))
    images = torch.randn(3, 3, 32, 32)
    structure, texture = translator.encoder(images)
    torch.testing.assert_close(structure, translator.encode_structure(images))
    torch.testing.assert_close(texture, translator.encode_style(images))


def test_the_encoder_sees_no_edge_of_a_flat_picture() -> None:
    """Its borders are reflections, so no place of a structure tells where in the picture it lies."""
    structure = SwapAETranslator(SwapAEConfig(image_size=32, width=4)).encode_structure(
        torch.ones(1, 3, 32, 32)
    )
    torch.testing.assert_close(structure, structure[:, :, :1, :1].expand_as(structure))


def test_in_use_the_same_codes_give_the_same_picture_whatever_the_noise_has_learned() -> None:
    translator = SwapAETranslator(SwapAEConfig(image_size=32, width=4))
    for name, weight in translator.named_parameters():
        if name.endswith("noise"):
            nn.init.ones_(weight)
    codes = translator.encoder(torch.randn(2, 3, 32, 32))
    assert not torch.equal(translator.decode(*codes), translator.decode(*codes))
    translator.eval()
    assert torch.equal(translator.decode(*codes), translator.decode(*codes))


def test_a_target_is_held_against_the_mean_of_its_own_reference() -> None:
    critic = PatchCritic(SwapAEConfig(image_size=32, width=4))
    reference, target = torch.randn(2, 3, 4, 96)
    logits = critic.compare(reference, target)
    shuffled = reference[:, torch.tensor([2, 0, 3, 1])]
    torch.testing.assert_close(critic.compare(shuffled, target), logits)
    torch.testing.assert_close(critic.compare(reference.mean(1, keepdim=True), target), logits)
    assert not torch.allclose(critic.compare(reference.flip(0), target), logits)
    torch.testing.assert_close(critic.compare(reference, target[:, 1:2]), logits[:, 1:2])


def test_the_critic_judges_each_picture_by_itself() -> None:
    """No statistics over the batch, or real, rebuilt and mixed pictures could not share a pass."""
    critic = Critic(SwapAEConfig(image_size=32, width=4))
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(critic(images)[1:2], critic(images[1:2]))
