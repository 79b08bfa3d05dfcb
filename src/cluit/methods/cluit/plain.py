"""The plain step of CLUIT, the library's computed with no saving, for `cluit bench` to compare with.

As one writes a step down, and as public code has it: float32, contiguous, one thing after the other. Each
player's loss is computed on its own, so the fake is drawn for the critic and again for the generator; fakes,
real pictures and views go through the critic one after the other; a shortcut's 1×1 convolution works on the
larger picture; norms are torch's `instance_norm`; Adam is not fused; and nothing is
kept from one turn for the other. Networks and weights are the library's.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from cluit.core.types import Batch, Descend, Metrics
from cluit.losses.adversarial import critic_loss, forger_loss, r1_penalty
from cluit.losses.contrastive import info_nce
from cluit.methods.cluit.config import CluitConfig
from cluit.methods.cluit.losses import patches_of, style_match
from cluit.methods.cluit.networks import CluitTranslator, Critic, Generator, StyleEncoder
from cluit.methods.cluit.step import Cluit
from cluit.nn.blocks import SLOPE, UNIT_VARIANCE, AdaIN, Down, NormDown, NormSame, StyledSame, StyledUp
from cluit.nn.follow import follow
from cluit.nn.trunk import Head, Trunk


class PlainCluit(Cluit):
    """CLUIT as in the paper; it draws its views by chance in the same order as `Cluit`."""

    def __init__(self, config: CluitConfig) -> None:
        super().__init__(config)
        self.translator = PlainTranslator(config)
        moments = (config.beta1, config.beta2)
        self._optimizers = {
            "critic": Adam(self.critic.parameters(), config.learning_rate, moments),
            "translator": Adam(self.translator.parameters(), config.learning_rate, moments),
        }

    def step(self, batch: Batch, descend: Descend, t: int) -> Metrics:
        c, G, E = self.config, self.translator.generator, self.translator.style_encoder
        D, judge, negatives = self.critic, self.judge, self.queue.keys
        real, (source, reference) = batch.images, batch.images.chunk(2)
        views, target = self.augment(real), patches_of(self.crop, reference, c.patches)
        crops = self.crop(real)

        with torch.no_grad():
            fake = drawn(G, source, encoded(E, reference))
            key = embedded(judge, views)
        metrics = {
            "contrast": info_nce(embedded(D, crops), key, negatives, c.temperature),  # Eq. 1
            "critic": critic_loss(realness(D, real), realness(D, fake)),  # Eq. 2
        }
        objective = metrics["critic"] + c.contrast_weight * metrics["contrast"]
        if c.r1_gamma and t % c.r1_interval == 0:
            images = real.detach().requires_grad_()
            penalty = r1_penalty(realness(D, images), images)
            metrics["r1"] = c.r1_gamma * c.r1_interval * penalty
            objective = objective + metrics["r1"]
        descend(objective, "critic")

        fake = drawn(G, source, encoded(E, reference))
        metrics["fool"] = forger_loss(realness(D, fake))  # Eq. 2
        patches = embedded(D, patches_of(self.crop, fake, c.patches)).unflatten(0, (-1, len(source)))
        with torch.no_grad():
            wanted = embedded(judge, target).unflatten(0, (-1, len(source)))
        metrics["style"] = style_match(patches, wanted, negatives, c.temperature)  # Eq. 5
        metrics["cycle"] = F.l1_loss(drawn(G, fake, encoded(E, source)), source)  # Eq. 3
        objective = metrics["fool"] + c.style_weight * metrics["style"] + c.cycle_weight * metrics["cycle"]
        descend(objective, "translator")
        follow(judge, D, self.average_decay(t))
        self.queue.push(key)
        return {name: value.detach() for name, value in metrics.items()}


class PlainTranslator(CluitTranslator):
    """The translator, computed likewise."""

    def encode_structure(self, source: Tensor) -> Tensor:
        return encoded_structure(self.generator, source)

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        return encoded(self.style_encoder, reference)

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return decoded(self.generator, structure, style)


def drawn(network: Generator, source: Tensor, style: Tensor) -> Tensor:
    """(N, 3, S, S), (N, style_dim) -> (N, 3, S, S)."""
    return decoded(network, encoded_structure(network, source), style)


def encoded_structure(network: Generator, source: Tensor) -> Tensor:
    """(N, 3, S, S) -> (N, C, s, s)."""
    x = conv(network.stem, source)
    for block in network.down:
        x = norm_down(cast(NormDown, block), x)
    for block in network.plain:
        x = norm_same(cast(NormSame, block), x)
    return x


def decoded(network: Generator, x: Tensor, style: Tensor) -> Tensor:
    """(N, C, s, s), (N, style_dim) -> (N, 3, S, S)."""
    for block in network.styled:
        x = styled_same(cast(StyledSame, block), x, style)
    for block in network.up:
        x = styled_up(cast(StyledUp, block), x, style)
    return conv(network.rgb, x)


def encoded(network: StyleEncoder, images: Tensor) -> Tensor:
    """(N, 3, S, S) -> (N, style_dim)."""
    return head(network.head, trunk(network.trunk, images))


def realness(network: Critic, images: Tensor) -> Tensor:
    """(N, 3, S, S) -> (N, 1) logits."""
    return head(network.realness_head, trunk(network.trunk, images))


def embedded(network: Critic, images: Tensor) -> Tensor:
    """(N, 3, S, S) -> (N, D) unit vectors."""
    return F.normalize(head(network.contrast_head, trunk(network.trunk, images)), dim=1)


def trunk(network: Trunk, images: Tensor) -> Tensor:
    x = conv(network.stem, images)
    for block in network.blocks:
        x = down(cast(Down, block), x)
    return x


def head(network: Head, x: Tensor) -> Tensor:
    h = act(F.conv2d(act(x), network.conv.weight, network.conv.bias))
    return F.linear(h.flatten(1), network.linear.weight, network.linear.bias)


def down(block: Down, x: Tensor) -> Tensor:
    h = conv(block.conv2, act(F.avg_pool2d(conv(block.conv1, act(x)), 2)))
    return (h + F.avg_pool2d(conv(block.skip, x), 2)) * UNIT_VARIANCE


def norm_down(block: NormDown, x: Tensor) -> Tensor:
    h = F.avg_pool2d(conv(block.conv1, act(F.instance_norm(x))), 2)
    h = conv(block.conv2, act(F.instance_norm(h)))
    return (h + F.avg_pool2d(conv(block.skip, x), 2)) * UNIT_VARIANCE


def norm_same(block: NormSame, x: Tensor) -> Tensor:
    h = conv(block.conv1, act(F.instance_norm(x)))
    h = conv(block.conv2, act(F.instance_norm(h)))
    return (h + x) * UNIT_VARIANCE


def styled_same(block: StyledSame, x: Tensor, style: Tensor) -> Tensor:
    h = conv(block.conv1, act(adain(block.norm1, x, style)))
    h = conv(block.conv2, act(adain(block.norm2, h, style)))
    return (h + x) * UNIT_VARIANCE


def styled_up(block: StyledUp, x: Tensor, style: Tensor) -> Tensor:
    h = F.interpolate(act(adain(block.norm1, x, style)), scale_factor=2.0, mode="nearest")
    h = conv(block.conv1, h)
    h = conv(block.conv2, act(adain(block.norm2, h, style)))
    return (h + conv(block.skip, F.interpolate(x, scale_factor=2.0, mode="nearest"))) * UNIT_VARIANCE


def adain(norm: AdaIN, x: Tensor, style: Tensor) -> Tensor:
    gamma, beta = norm.affine(style)[:, :, None, None].chunk(2, dim=1)
    return (1 + gamma) * F.instance_norm(x) + beta


def act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def conv(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution that keeps the size; or, as a shortcut between equal widths, nothing."""
    if isinstance(layer, nn.Identity):
        return x
    assert isinstance(layer, nn.Conv2d)
    return F.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)
