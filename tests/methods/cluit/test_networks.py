import pytest
import torch
from torch import nn

from cluit.methods.cluit.config import CluitConfig
from cluit.methods.cluit.networks import CluitTranslator, Critic, Generator, StyleEncoder


def weights_of(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_parameter_counts_at_the_papers_size() -> None:
    config = CluitConfig()
    assert weights_of(Critic(config)) == 20_456_769
    assert weights_of(StyleEncoder(config)) == 16_195_776
    assert weights_of(Generator(config)) == 24_745_219


def test_the_critics_two_branches_share_their_trunk() -> None:
    critic = Critic(CluitConfig())
    assert weights_of(critic.trunk) == 11_935_296
    assert weights_of(critic.contrast_head) == 4_326_144
    assert weights_of(critic.realness_head) == 4_195_329


@pytest.mark.parametrize(("size", "inside"), [(32, 8), (64, 16), (128, 16), (256, 16)])
def test_every_size_is_halved_as_often_as_it_allows(size: int, inside: int) -> None:
    config = CluitConfig(image_size=size, width=4, style_dim=6)
    translator = CluitTranslator(config)
    images = torch.randn(2, 3, size, size)
    structure, style = translator.encode_structure(images), translator.encode_style(images)
    assert structure.shape[-2:] == (inside, inside)
    assert style.shape == (2, 6)
    assert translator.decode(structure, style).shape == images.shape
    assert translator.translate(images, style).shape == images.shape


def test_representations_are_unit_vectors_and_both_branches_read_one_trunk() -> None:
    critic = Critic(CluitConfig(image_size=32, width=4))
    seen, styled = torch.randn(3, 3, 32, 32), torch.randn(5, 3, 32, 32)
    logits, features = critic.judge_both(seen, styled)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(logits, critic.realness(seen))
    torch.testing.assert_close(features, critic.embed(styled))


def test_structure_does_not_see_the_style_and_style_does_not_see_the_structure() -> None:
    translator = CluitTranslator(CluitConfig(image_size=32, width=4))
    source, reference = torch.randn(2, 1, 3, 32, 32)
    half = translator.encode_structure(source)
    for style in (translator.encode_style(reference), translator.encode_style(source)):
        torch.testing.assert_close(translator.decode(half, style), translator.translate(source, style))


def test_no_norm_stands_before_the_rgb_convolution() -> None:
    """With one, a channel's mean could not reach the picture, and its colours would be lost."""
    generator = Generator(CluitConfig(image_size=32, width=4))
    blocks = [*generator.styled, *generator.up]
    before: dict[str, torch.Tensor] = {}
    hook = generator.rgb.register_forward_pre_hook(lambda _, inputs: before.update(x=inputs[0]))
    last: dict[str, torch.Tensor] = {}
    blocks[-1].register_forward_hook(lambda _, inputs, output: last.update(x=output))
    generator.decode(torch.randn(1, 16, 8, 8), torch.randn(1, 128))
    hook.remove()
    assert torch.equal(before["x"], last["x"])
