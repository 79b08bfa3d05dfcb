"""One step of StarGAN v2: critic and generator each take a turn with latent, then with reference styles."""

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from cluit.core.types import Batch, Descend, Method, Metrics
from cluit.data.augment import crop_frame, flip_frame, resample, uniform
from cluit.losses.adversarial import critic_loss, forger_loss, r1_penalty
from cluit.methods.starganv2.config import StarGANv2Config
from cluit.methods.starganv2.losses import cycle, diversity, falling, style_reconstruction
from cluit.methods.starganv2.networks import Critic, StarGANv2Translator
from cluit.nn.follow import warm_decay

LEAST_CROP = 0.8**0.5  # side of a crop to 0.8 of the area


class StarGANv2(Method):
    """Critic and translator in training, each network with an optimizer of its own."""

    translator: StarGANv2Translator

    def __init__(self, config: StarGANv2Config) -> None:
        super().__init__()
        self.config = config
        self.translator = StarGANv2Translator(config)
        self.critic = Critic(config)
        moments, decay = (config.beta1, config.beta2), config.weight_decay
        rates = {
            "generator": (self.translator.generator, config.learning_rate),
            "mapping": (self.translator.mapping, config.mapping_learning_rate),
            "style_encoder": (self.translator.style_encoder, config.learning_rate),
            "critic": (self.critic, config.learning_rate),
        }
        self._optimizers: dict[str, Optimizer] = {
            name: Adam(network.parameters(), rate, moments, weight_decay=decay, fused=True)
            for name, (network, rate) in rates.items()
        }

    def optimizers(self) -> dict[str, Optimizer]:
        return self._optimizers

    def features(self, images: Tensor) -> Tensor:
        return self.translator.style_encoder.trunk(images)

    def average_decay(self, t: int) -> float:
        return warm_decay(self.config.average_decay, t)

    def step(self, batch: Batch, descend: Descend, t: int) -> Metrics:
        assert batch.labels is not None  # of every picture, as the labelled share is 1
        T, n = self.translator, len(batch.images) // 2
        G, F, E = T.generator, T.mapping, T.style_encoder
        images = view(batch.images, self.config.crop_share)
        source, reference = images.chunk(2)  # first half inputs, second half references
        origin, domain = batch.labels.chunk(2)  # a picture is drawn in its reference's domain

        # All that the networks say before the generator moves: the critic's fakes are the generator's.
        latent = torch.randn(2 * n, self.config.latent_dim, device=images.device)
        style, second = F(latent, domain.repeat(2)).chunk(2)
        structure = G.encode(source)
        fake = G.decode(structure, style)
        with torch.no_grad():
            styles = torch.cat([second, E(reference, domain)])
            other, of_reference = G.decode(structure.repeat(2, 1, 1, 1), styles).chunk(2)

        metrics: Metrics = {}
        for drawn, kind in ((fake.detach(), "latent"), (of_reference, "reference")):
            realism, penalty = self.critic_losses(source, origin, drawn, domain)
            descend(realism + penalty, "critic")
            metrics |= {f"critic_{kind}": realism, f"r1_{kind}": penalty}

        own, seen = E(torch.cat([source, fake]), batch.labels).chunk(2)
        losses = self.fake_losses(source, own, fake, other, style, seen, domain)
        descend(self.objective(losses, t), "generator", "mapping", "style_encoder")
        metrics |= {f"{name}_latent": loss for name, loss in losses.items()}

        with torch.no_grad():  # the encoder has moved; from here on the generator alone learns
            own, style = E(images, batch.labels).chunk(2)
        structure = G.encode(source)
        fake = G.decode(structure, style)
        with torch.no_grad():
            other = G.decode(structure, neighbours(style))
        losses = self.fake_losses(source, own, fake, other, style, E(fake, domain), domain)
        descend(self.objective(losses, t), "generator")
        metrics |= {f"{name}_reference": loss for name, loss in losses.items()}
        return {name: value.detach() for name, value in metrics.items()}

    def critic_losses(
        self, source: Tensor, origin: Tensor, fake: Tensor, domain: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Eq. 1 for the critic, and γ times R1 of the real pictures, which it judges once for both.

        In float32 throughout, as R1 is differentiated twice; fakes at the step's precision.
        """
        with torch.autocast(source.device.type, enabled=False):
            source = source.detach().requires_grad_()
            real = self.critic(source, origin)
            penalty = self.config.r1_gamma * r1_penalty(real, source)
        return critic_loss(real, self.critic(fake, domain)), penalty

    def fake_losses(
        self,
        source: Tensor,
        own: Tensor,
        fake: Tensor,
        other: Tensor,
        style: Tensor,
        seen: Tensor,
        domain: Tensor,
    ) -> Metrics:
        """Eq. 1 to 4, as far as they depend on the fake: G's side of the game, and all that it must keep.

        fake: ``source`` in ``style``; other: the same in another style of the ``domain``; seen: the style
        that the encoder reads off the fake; own: the source's, which leads back.
        """
        G = self.translator.generator
        return {
            "fool": forger_loss(self.critic(fake, domain)),
            "style": style_reconstruction(seen, style),
            "diversity": diversity(fake, other),
            "cycle": cycle(G.decode(G.encode(fake), own), source),
        }

    def objective(self, losses: Metrics, t: int) -> Tensor:
        """Eq. 5: what generator, mapping network and style encoder descend at step ``t``."""
        c = self.config
        diverse = falling(c.diversity_weight, t, c.diversity_steps)
        wanted = losses["fool"] + c.style_weight * losses["style"] + c.cycle_weight * losses["cycle"]
        return wanted - diverse * losses["diversity"]


def neighbours(rows: Tensor) -> Tensor:
    """Rows 2i and 2i + 1 exchanged: of a balanced batch, another picture of the same domain for each."""
    return rows.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def view(images: Tensor, crop_share: float) -> Tensor:
    """Each picture mirrored or not and, with probability ``crop_share``, cropped to 0.8 to 1 of its area.

    (N, 3, S, S) in [-1, 1] -> the same shape, in float32.
    """
    with torch.autocast(images.device.type, enabled=False):
        crop = crop_frame(images, (LEAST_CROP, 1.0), by_area=True)
        chosen = uniform(images, 0, 1) < crop_share
        frame = torch.where(chosen[:, None, None], crop, torch.eye(3, device=images.device))
        return resample(images, frame @ flip_frame(images))
