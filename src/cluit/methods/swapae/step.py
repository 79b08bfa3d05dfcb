"""One step of the Swapping Autoencoder: on even steps the critics learn, on odd ones the autoencoder."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam, Optimizer

from cluit.core.types import Batch, Descend, Method, Metrics
from cluit.losses.adversarial import critic_loss, forger_loss, r1_penalty
from cluit.methods.swapae.config import SwapAEConfig
from cluit.methods.swapae.losses import random_patches, swapped
from cluit.methods.swapae.networks import Critic, PatchCritic, SwapAETranslator


class SwapAE(Method):
    """Autoencoder and two critics in training; beside their weights there is nothing to remember."""

    translator: SwapAETranslator

    def __init__(self, config: SwapAEConfig) -> None:
        super().__init__()
        self.config = config
        self.translator = SwapAETranslator(config)
        self.critic = Critic(config)
        self.patch_critic = PatchCritic(config)
        # R1's own steps come on top of the critics' others: all of them together are to move as far.
        share = config.r1_interval / (config.r1_interval + 1)
        critics = [*self.critic.parameters(), *self.patch_critic.parameters()]
        rate, moments = config.learning_rate, (config.beta1, config.beta2)
        slower = (config.beta1**share, config.beta2**share)
        self._optimizers: dict[str, Optimizer] = {
            "autoencoder": Adam(self.translator.parameters(), rate, moments, fused=True),
            "critic": Adam(critics, rate * share, slower, fused=True),
        }

    def optimizers(self) -> dict[str, Optimizer]:
        return self._optimizers

    def features(self, images: Tensor) -> Tensor:
        return self.translator.encode_style(images)

    def average_decay(self, t: int) -> float:
        return 0.0  # the published model is its latest weights

    def step(self, batch: Batch, descend: Descend, t: int) -> Metrics:
        real = mirrored(batch.images) if self.config.flip else batch.images
        metrics = self.autoencoder_turn(real, descend) if t % 2 else self.critic_turn(real, descend, t // 2)
        return {name: value.detach() for name, value in metrics.items()}

    def critic_turn(self, real: Tensor, descend: Descend, turn: int) -> Metrics:
        """Both critics learn. ``turn`` counts their turns from 0; each ``r1_interval``-th ends with R1."""
        c, D, P = self.config, self.critic, self.patch_critic
        with torch.no_grad():
            reconstruction, mix = self.draw(*self.translator.encoder(real))
        on_real, on_reconstruction, on_mix = D(torch.cat([real, reconstruction, mix])).split(
            [len(real), len(reconstruction), len(mix)]
        )
        realism = (critic_loss(on_real, on_reconstruction) + critic_loss(on_real, on_mix)) / 2

        patches = torch.cat([self.patches(real, 2 * c.crops), self.patches(mix, c.crops)], dim=1)
        reference, targets = P.embed(patches).tensor_split([c.crops], dim=1)
        same, other = P.compare(reference, targets).chunk(2, dim=1)
        texture = critic_loss(same, other)
        descend(c.realism_weight * realism + c.patch_weight * texture, "critic")

        metrics = {"critic": realism, "patch_critic": texture}
        if turn % c.r1_interval == 0:
            metrics["r1"] = self.r1(real)
            descend(c.r1_interval * metrics["r1"], "critic")
        return metrics

    def autoencoder_turn(self, real: Tensor, descend: Descend) -> Metrics:
        """Encoder and generator learn to rebuild a picture, and to fool both critics with mixtures."""
        c, P = self.config, self.patch_critic
        reconstruction, mix = self.draw(*self.translator.encoder(real))
        keep = F.l1_loss(reconstruction.float(), real[: len(reconstruction)])

        on_reconstruction, on_mix = self.critic(torch.cat([reconstruction, mix])).split(
            [len(reconstruction), len(mix)]
        )
        fool = 0.5 * forger_loss(on_reconstruction) + forger_loss(on_mix)

        with torch.no_grad():  # the autoencoder has no part in the reference
            reference = P.embed(self.patches(real, c.crops))
        wear = forger_loss(P.compare(reference, P.embed(self.patches(mix, c.crops))))
        objective = c.reconstruction_weight * keep + c.realism_weight * fool + c.patch_weight * wear
        descend(objective, "autoencoder")
        return {"reconstruction": keep, "fool": fool, "texture": wear}

    def draw(self, structure: Tensor, texture: Tensor) -> tuple[Tensor, Tensor]:
        """The first half of the pictures again (N/2), and each texture (N) on its neighbour's structure."""
        half = len(structure) // 2
        drawn = self.translator.generator(
            torch.cat([structure[:half], swapped(structure)]), torch.cat([texture[:half], texture])
        )
        return drawn[:half], drawn[half:]

    def patches(self, images: Tensor, count: int) -> Tensor:
        """(N, 3, S, S) -> (N, count, 3, P, P)."""
        c = self.config
        return random_patches(images, count, c.patch_side, (c.crop_min, c.crop_max))

    def r1(self, real: Tensor) -> Tensor:
        """R1 of both critics on real pictures, in float32; a picture's patches are summed over."""
        c, P = self.config, self.patch_critic
        with torch.autocast(real.device.type, enabled=False):
            images = real.detach().requires_grad_()
            whole = r1_penalty(self.critic(images), images)
            patches = self.patches(real, 2 * c.crops).flatten(1, 2).requires_grad_()
            reference, target = P.embed(patches.unflatten(1, (-1, 3))).chunk(2, dim=1)
            pair = r1_penalty(P.compare(reference, target), patches) / 2
        return c.r1_gamma * whole + c.patch_r1_gamma * pair


def mirrored(images: Tensor) -> Tensor:
    """(N, 3, H, W), left and right exchanged in half of the pictures."""
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(chosen, images.flip(3), images)
