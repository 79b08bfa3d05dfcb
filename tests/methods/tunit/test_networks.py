import pytest
import torch
from torch import nn

from cluit.core.types import ClusterAssigner
from cluit.methods.tunit.config import TunitConfig
from cluit.methods.tunit.networks import Critic, Generator, Guide, TunitTranslator, styled, unrecorded
from cluit.nn.norm import instance_norm

TINY = TunitConfig(image_size=32, width=4, style_dim=6, clusters=3)


def weights_of(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(
    ("clusters", "critic", "guide"),
    [(3, 70_928_067, 9_293_187), (10, 70_935_242, 9_296_778), (30, 70_955_742, 9_307_038)],
)
def test_parameter_counts_at_the_papers_size(clusters: int, critic: int, guide: int) -> None:
    config = TunitConfig(clusters=clusters)
    with torch.device("meta"):
        assert weights_of(Critic(config)) == critic
        assert weights_of(Guide(config)) == guide
        generator = Generator(config)
    assert weights_of(generator) == 27_333_763
    assert weights_of(generator.encoder) == 12_202_112
    assert weights_of(generator.decoder) == 13_749_891
    assert weights_of(generator.mlp) == 1_381_760


def test_at_256_px_the_generator_has_four_levels_from_a_base_half_as_wide() -> None:
    with torch.device("meta"):
        generator = Generator(TunitConfig(image_size=256))
    widths = [conv.out_channels for conv in (generator.encoder.stem, *generator.encoder.down)]
    assert widths == [32, 64, 128, 256, 512]


@pytest.mark.parametrize(("size", "inside"), [(32, 8), (64, 16), (128, 16), (256, 16)])
def test_every_size_is_halved_as_often_as_it_allows(size: int, inside: int) -> None:
    config = TunitConfig(image_size=size, width=4, style_dim=6, clusters=3)
    translator, critic = TunitTranslator(config).eval(), Critic(config)
    images = torch.rand(2, 3, size, size)
    structure, style = translator.encode_structure(images), translator.encode_style(images)
    assert structure.shape[-2:] == (inside, inside)
    assert style.shape == (2, 6)
    output = translator.decode(structure, style)
    assert output.shape == images.shape
    assert output.abs().max() <= 1
    assert critic(images, torch.tensor([0, 2])).shape == (2, 1)


def test_the_translator_assigns_clusters() -> None:
    translator = TunitTranslator(TINY).eval()
    assert isinstance(translator, ClusterAssigner)
    assert translator.clusters == 3
    assert translator.assign(torch.rand(4, 3, 32, 32)).shape == (4, 3)


def test_in_use_cluster_and_style_are_the_pictures_own_and_the_same_each_time() -> None:
    guide, images = Guide(TINY), torch.rand(6, 3, 32, 32)
    guide(images)  # so that there are running statistics
    guide.eval()
    for together, again, alone in zip(guide(images), guide(images), guide(images[2:3]), strict=True):
        assert torch.equal(together, again)
        torch.testing.assert_close(together[2:3], alone)


def test_a_pass_that_is_not_recorded_goes_by_its_batch_and_leaves_no_trace() -> None:
    guide, images = Guide(TINY), torch.rand(6, 3, 32, 32)
    before = [buffer.clone() for buffer in guide.buffers()]
    with unrecorded(guide):
        hidden = guide(images)
    assert all(torch.equal(old, new) for old, new in zip(before, guide.buffers(), strict=True))
    for a, b in zip(hidden, guide(images), strict=True):
        assert torch.equal(a, b)
    assert not any(torch.equal(old, new) for old, new in zip(before, guide.buffers(), strict=True))


def test_a_style_code_has_a_length_of_its_own() -> None:
    lengths = Guide(TINY)(torch.randn(5, 3, 32, 32))[1].norm(dim=1)
    assert lengths.std() > 1e-4


def test_the_critic_says_the_logit_of_the_asked_cluster() -> None:
    critic, images = Critic(TINY), torch.rand(3, 3, 32, 32)
    every = torch.cat([critic(images, torch.full((3,), k)) for k in range(3)], dim=1)
    torch.testing.assert_close(critic(images, torch.tensor([2, 0, 1]))[:, 0], every[[0, 1, 2], [2, 0, 1]])
    assert len(every.unique()) == 9


def test_the_critic_judges_each_picture_by_itself() -> None:
    """So real pictures and fakes, or fakes and reconstructions, may pass together or apart."""
    critic, images, cluster = Critic(TINY), torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    apart = torch.cat([critic(images[i : i + 1], cluster[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(critic(images, cluster), apart)


def test_a_style_gives_biases_first_and_scales_as_they_are() -> None:
    x, style = torch.randn(2, 3, 8, 8), torch.randn(2, 6)
    bias, scale = style[:, :3, None, None], style[:, 3:, None, None]
    torch.testing.assert_close(styled(x, style), scale * instance_norm(x) + bias)


def test_structure_does_not_see_the_style() -> None:
    translator = TunitTranslator(TINY).eval()
    source, reference = torch.rand(2, 2, 3, 32, 32)
    structure = translator.encode_structure(source)
    for style in (translator.encode_style(reference), translator.encode_style(source)):
        torch.testing.assert_close(translator.decode(structure, style), translator.translate(source, style))


def test_first_weights_are_he_normal_and_heads_small() -> None:
    config = TunitConfig(image_size=32, width=32)
    guide, generator = Guide(config), Generator(config)
    conv = guide.trunk[-4]
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert guide.style_head.weight.std().item() == pytest.approx(0.01, rel=0.05)
    stem = generator.encoder.stem.weight
    assert stem.std().item() == pytest.approx((2 / (3 * 49)) ** 0.5, rel=0.05)
    assert not any(bias.any() for name, bias in generator.named_parameters() if name.endswith("bias"))
