import dataclasses

import pytest
import torch
from torch import nn

from cluit.core.errors import UserError
from cluit.core.types import StyleSampler
from cluit.methods.starganv2.config import StarGANv2Config
from cluit.methods.starganv2.networks import (
    Critic,
    Generator,
    InstanceNorm,
    MappingNetwork,
    StarGANv2Translator,
    StyleEncoder,
    widths,
)
from cluit.nn.blocks import act

NETWORKS = (Generator, MappingNetwork, StyleEncoder, Critic)
TINY = StarGANv2Config(image_size=32, width=4, style_dim=6, domains=("cat", "dog", "wild"))
DOMAINS = torch.tensor([2, 0, 1, 2])


def counts(config: StarGANv2Config) -> list[int]:
    with torch.device("meta"):  # nothing but shapes is needed
        return [sum(weight.numel() for weight in network(config).parameters()) for network in NETWORKS]


def test_parameter_counts_at_128_px() -> None:
    config = StarGANv2Config(domains=("cat", "dog", "wild"))
    assert counts(config) == [33_632_003, 3_259_072, 20_832_576, 20_735_619]


def test_parameter_counts_at_256_px() -> None:
    config = StarGANv2Config(image_size=256, domains=("cat", "dog", "wild"))
    assert counts(config) == [33_892_995, 3_259_072, 20_949_760, 20_852_803]


def test_parameter_counts_of_two_domains() -> None:
    config = StarGANv2Config(image_size=256, domains=("female", "male"))
    assert counts(config)[1:] == [2_438_272, 20_916_928, 20_852_290]


@pytest.mark.parametrize(("size", "first"), [(32, 128), (64, 128), (128, 128), (256, 64), (512, 32)])
def test_the_first_layer_narrows_as_pictures_grow_and_all_scale_with_the_width(size: int, first: int) -> None:
    config = StarGANv2Config(image_size=size)
    assert widths(config, 6)[0] == first
    assert max(widths(config, 6)) == 512
    assert widths(dataclasses.replace(config, width=32), 6) == [n // 2 for n in widths(config, 6)]
    assert widths(dataclasses.replace(config, width=1), 6)[0] >= 1


@pytest.mark.parametrize(("size", "inside"), [(32, 8), (64, 16), (128, 16), (256, 16)])
def test_every_size_is_halved_as_often_as_it_allows(size: int, inside: int) -> None:
    config = dataclasses.replace(TINY, image_size=size)
    translator, critic = StarGANv2Translator(config), Critic(config)
    images, domain = torch.randn(2, 3, size, size), torch.tensor([1, 2])
    structure, style = translator.encode_structure(images), translator.encode_style(images, domain)
    assert structure.shape[-2:] == (inside, inside)
    assert style.shape == (2, 6)
    assert translator.decode(structure, style).shape == images.shape
    assert critic(images, domain).shape == (2, 1)


def test_the_style_encoder_answers_with_the_head_of_each_pictures_domain() -> None:
    encoder = StyleEncoder(TINY)
    images = torch.randn(4, 3, 32, 32)
    weight, bias = encoder.heads.weight.view(3, 6, -1), encoder.heads.bias.view(3, 6)
    answers = encoder(images, DOMAINS)
    for row, domain in enumerate(DOMAINS):
        alone = weight[domain] @ encoder.trunk(images)[row] + bias[domain]
        torch.testing.assert_close(answers[row], alone)


def test_the_mapping_network_answers_with_the_head_of_each_codes_domain() -> None:
    mapping = MappingNetwork(TINY)
    latent = torch.randn(4, 16)
    answers = mapping(latent, DOMAINS)
    for row, domain in enumerate(DOMAINS):
        torch.testing.assert_close(answers[row], mapping.heads[domain](mapping.shared(latent[row])))


def test_the_critic_answers_with_the_logit_of_each_pictures_domain() -> None:
    critic = Critic(TINY)
    images = torch.randn(4, 3, 32, 32)
    logits = critic.heads(critic.trunk(images))
    assert torch.equal(
        critic(images, DOMAINS)[:, 0], torch.stack([logits[i, d] for i, d in enumerate(DOMAINS)])
    )


def test_a_head_learns_from_its_own_domain_alone() -> None:
    encoder, mapping = StyleEncoder(TINY), MappingNetwork(TINY)
    only_dogs = torch.tensor([1, 1])
    encoder(torch.randn(2, 3, 32, 32), only_dogs).sum().backward()
    assert encoder.heads.weight.grad is not None
    assert [bool(part.any()) for part in encoder.heads.weight.grad.view(3, 6, -1)] == [False, True, False]
    mapping(torch.randn(2, 16), only_dogs).sum().backward()
    gradients = [torch.cat([w.grad.flatten() for w in head.parameters()]) for head in mapping.heads]  # type: ignore[union-attr]
    assert [bool(gradient.any()) for gradient in gradients] == [False, True, False]


def test_a_style_is_of_a_domain_and_whoever_does_not_say_which_is_told() -> None:
    translator = StarGANv2Translator(TINY)
    with pytest.raises(UserError, match="cat, dog, wild"):
        translator.encode_style(torch.randn(1, 3, 32, 32))
    image = torch.randn(1, 3, 32, 32)
    cat, dog = (translator.encode_style(image, torch.tensor([domain])) for domain in (0, 1))
    assert not torch.allclose(cat, dog)


def test_it_makes_up_styles_that_differ_by_latent_and_by_domain() -> None:
    translator = StarGANv2Translator(TINY)
    assert isinstance(translator, StyleSampler)
    assert translator.latent_dim == 16
    latent, cat = torch.randn(2, 16), torch.tensor([0, 0])
    style = translator.sample_style(latent, cat)
    assert style.shape == (2, 6)
    assert not torch.allclose(style[0], style[1])
    assert not torch.allclose(style, translator.sample_style(latent, cat + 1))


def test_instance_norm_is_the_librarys() -> None:
    ours, theirs = InstanceNorm(5), nn.InstanceNorm2d(5, affine=True)
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(theirs, name).copy_(getattr(ours, name).normal_().flatten())
    x = torch.randn(2, 5, 4, 4) * 3 + 1
    torch.testing.assert_close(ours(x), theirs(x))


def test_the_way_in_has_affine_norms_and_the_way_out_has_none_but_the_last() -> None:
    generator = Generator(TINY)
    affine = [name for name, layer in generator.named_modules() if isinstance(layer, InstanceNorm)]
    assert affine == [
        *(f"{part}.{block}.norm{i}" for part in ("down", "plain") for block in (0, 1) for i in (1, 2)),
        "norm",
    ]


def test_norm_and_leaky_relu_stand_before_the_rgb_convolution() -> None:
    generator = Generator(TINY)
    seen: dict[str, torch.Tensor] = {}
    generator.rgb.register_forward_pre_hook(lambda _, inputs: seen.update(before=inputs[0]))
    generator.up[-1].register_forward_hook(lambda _, inputs, output: seen.update(last=output))
    generator.decode(torch.randn(1, 32, 8, 8), torch.randn(1, 6))
    torch.testing.assert_close(seen["before"], act(generator.norm(seen["last"])))


def test_structure_does_not_see_the_style_and_style_does_not_see_the_structure() -> None:
    translator = StarGANv2Translator(TINY)
    source, reference = torch.randn(2, 1, 3, 32, 32)
    half, domain = translator.encode_structure(source), torch.tensor([1])
    for style in (translator.encode_style(reference, domain), translator.encode_style(source, domain)):
        torch.testing.assert_close(translator.decode(half, style), translator.translate(source, style))
