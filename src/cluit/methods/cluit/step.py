"""One step of CLUIT: the critic's objective, then the translator's (Eq. 6)."""

import copy
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam, Optimizer

from cluit.core.types import Batch, Descend, Method, Metrics
from cluit.data.augment import Views, warp
from cluit.losses.adversarial import critic_loss, forger_loss, r1_penalty
from cluit.losses.contrastive import info_nce
from cluit.methods.cluit.config import CluitConfig
from cluit.methods.cluit.losses import patches_of, settle, style_match
from cluit.methods.cluit.networks import CluitTranslator, Critic
from cluit.nn.follow import follow, warm_decay
from cluit.nn.queue import Queue
from cluit.nn.resample import halve


class Cluit(Method):
    """Critic and translator in training, the judge that lags behind the critic, and the queue of its keys."""

    translator: CluitTranslator

    def __init__(self, config: CluitConfig) -> None:
        super().__init__()
        self.config = config
        self.translator = CluitTranslator(config)
        self.critic = Critic(config)
        self.judge = copy.deepcopy(self.critic).requires_grad_(False)
        self.queue = Queue(config.queue_size, config.contrast_dim)
        size = (config.crop_min, config.crop_max)
        by_area = config.crop_by == "area"
        turned = config.augmentation == "color+affine"
        self.crop = Views(crop=size, by_area=by_area)
        self.augment = Views(crop=size, by_area=by_area, flip=True, affine=turned, color=True)
        # Nearer and farther by as much: where a code tells how large the head is seen, that is chance.
        self.turn = Views(crop=(0.5, 1.5), flip=True, affine=True)
        moments = (config.beta1, config.beta2)
        self._optimizers: dict[str, Optimizer] = {
            "critic": Adam(self.critic.parameters(), config.learning_rate, moments, fused=True),
            "translator": Adam(self.translator.parameters(), config.learning_rate, moments, fused=True),
        }

    def optimizers(self) -> dict[str, Optimizer]:
        return self._optimizers

    def features(self, images: Tensor) -> Tensor:
        return self.judge.embed(images)

    def average_decay(self, t: int) -> float:
        return warm_decay(self.config.average_decay, t)

    def step(self, batch: Batch, descend: Descend, t: int) -> Metrics:
        c, G, E, D, judge = self.config, self.translator.generator, self.translator, self.critic, self.judge
        seen = partial(noisy, deviation=c.critic_noise)
        source, reference = batch.images.chunk(2)  # first half inputs, second half references
        n = len(source)

        shown = self.turn(batch.images) if c.view_reference else batch.images
        own_style, style = E.encode_style(shown).chunk(2)
        structure = G.encode(source)
        fake = G.decode(structure, style)  # drawn once: the generator moves only after the critic has

        with torch.no_grad():  # all that the judge says in this step: keys of the contrast, keys of the match
            views = self.augment(batch.images), patches_of(self.crop, reference, c.patches)
            key, target = judge.embed(seen(torch.cat(views))).tensor_split([2 * n])
        both = torch.cat([batch.images, fake.detach()])
        logits, query = D.judge_both(seen(both), seen(self.crop(batch.images)))
        contrast = info_nce(query, key, self.queue.keys, c.temperature)  # Eq. 1
        realism = critic_loss(logits[: 2 * n], logits[2 * n :])  # Eq. 2
        critic_objective = realism + c.contrast_weight * contrast
        penalty = self.lazy_r1(batch.images, t)
        descend(critic_objective if penalty is None else critic_objective + penalty, "critic")

        logits, patches = D.judge_both(seen(fake), seen(patches_of(self.crop, fake, c.patches)))
        fool = forger_loss(logits)  # Eq. 2
        match = style_match(
            patches.unflatten(0, (-1, n)), target.unflatten(0, (-1, n)), self.queue.keys, c.temperature
        )  # Eq. 5, or Eq. 4 where there are no patches
        way_back = G.encode(noisy(fake, c.cycle_noise))
        keep = F.l1_loss(G.decode(way_back, own_style).float(), source)  # Eq. 3
        cycle_weight = settle(c.cycle_weight_start, c.cycle_weight, t, c.settle_steps)
        objective = fool + c.style_weight * match + cycle_weight * keep
        metrics = {"contrast": contrast, "critic": realism, "fool": fool, "style": match, "cycle": keep}
        if penalty is not None:
            metrics["r1"] = penalty
        if c.equivariance_weight:
            moved = warp(source)
            again = G.decode(G.encode(moved(source)), style)
            # At half the size: a warp blurs, and pictures would become as soft as their warped likenesses.
            metrics["equivariance"] = F.l1_loss(halve(again.float()), halve(moved(fake)))
            objective = objective + c.equivariance_weight * metrics["equivariance"]
        if reconstruction_weight := settle(c.reconstruction_weight_start, 0.0, t, c.settle_steps):
            metrics["reconstruction"] = F.l1_loss(G.decode(structure, own_style).float(), source)
            objective = objective + reconstruction_weight * metrics["reconstruction"]
        if descend(objective, "translator"):
            follow(judge, D, self.average_decay(t))
        self.queue.push(key)
        return {name: value.detach() for name, value in metrics.items()}

    def lazy_r1(self, images: Tensor, t: int) -> Tensor | None:
        """R1 on real pictures every ``r1_interval`` steps, as many times as strong; in float32 throughout."""
        c = self.config
        if t % c.r1_interval or not c.r1_gamma:
            return None
        with torch.autocast(images.device.type, enabled=False):
            images = images.detach().requires_grad_()
            return c.r1_gamma * c.r1_interval * r1_penalty(self.critic.realness(images), images)


def noisy(images: Tensor, deviation: float) -> Tensor:
    """``images`` with Gaussian noise; as they are, and nothing drawn by chance, where ``deviation`` is 0."""
    return images + deviation * torch.randn_like(images) if deviation else images
