"""One step of TUNIT: the guiding network by itself, then the critic, then generator and guide together."""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam, Optimizer, RMSprop

from cluit.core.distributed import world
from cluit.core.types import Batch, Descend, Method, Metrics
from cluit.data.augment import Views
from cluit.losses.adversarial import r1_penalty
from cluit.methods.tunit.config import TunitConfig
from cluit.methods.tunit.losses import (
    critic_hinge,
    forger_hinge,
    label_loss,
    mutual_information,
    style_contrast,
)
from cluit.methods.tunit.networks import Critic, TunitTranslator, unrecorded
from cluit.nn.follow import follow, warm_decay
from cluit.nn.queue import Queue

AREA = (0.9, 1.1)  # of the second view's crop


class Tunit(Method):
    """Translator and critic in training, the judge that lags behind the guide, and the queue of its keys."""

    translator: TunitTranslator

    def __init__(self, config: TunitConfig) -> None:
        super().__init__()
        self.config = config
        self.translator = TunitTranslator(config)
        self.critic = Critic(config)
        self.judge = copy.deepcopy(self.translator.guide).requires_grad_(False)
        self.queue = Queue(config.queue_size, config.style_dim)
        self.flip = Views(crop=(1, 1), flip=True)
        side = (math.sqrt(AREA[0]), math.sqrt(AREA[1]))
        self.augment = Views(crop=side, by_area=True, flip=True, affine=True, color=True)
        c, translator = config, self.translator
        self._optimizers: dict[str, Optimizer] = {
            "guide": Adam(
                translator.guide.parameters(),
                c.guide_learning_rate,
                weight_decay=c.guide_weight_decay,
                fused=True,
            ),
            "generator": RMSprop(
                translator.generator.parameters(), c.learning_rate, weight_decay=c.weight_decay
            ),
            "critic": RMSprop(self.critic.parameters(), c.learning_rate, weight_decay=c.weight_decay),
        }

    def optimizers(self) -> dict[str, Optimizer]:
        return self._optimizers

    def features(self, images: Tensor) -> Tensor:
        """The style codes of the guide as in use, whatever mode it is in, and without a trace in it."""
        guide = self.translator.guide
        training = guide.training
        try:
            return guide.eval()(images)[1]
        finally:
            guide.train(training)

    def average_decay(self, t: int) -> float:
        """0 until the generator trains, as its first weights are nothing to average; then warm from there."""
        alone = t < self.config.joint_from
        return 0.0 if alone else warm_decay(self.config.average_decay, t - self.config.joint_from)

    def step(self, batch: Batch, descend: Descend, t: int) -> Metrics:
        c = self.config
        images, view = self.flip(batch.images), self.augment(batch.images)
        labels = batch.labels
        if labels is None:
            labels = torch.full((len(images),), -1, device=images.device)
        with torch.no_grad():
            key = self.judge(view)[1]

        joint = t >= c.joint_from
        objective, metrics = self.guide_objective(images, view, key, labels, t)
        moved = descend(c.joint_weight * objective if joint else objective, "guide")
        if joint:
            metrics |= self.play(images, labels, descend)

        if moved:
            follow(self.judge, self.translator.guide, warm_decay(c.average_decay, t))
        self.remember(key, t)
        return {name: value.detach() for name, value in metrics.items()}

    def guide_objective(
        self, images: Tensor, view: Tensor, key: Tensor, labels: Tensor, t: int
    ) -> tuple[Tensor, Metrics]:
        """The guide's own: which picture a view is of, which cluster, and which class where it is told."""
        c, C = self.config, self.translator.guide
        logits, style = C(images)
        metrics = {"contrast": style_contrast(style, key, self.queue.keys, c.temperature)}
        objective = metrics["contrast"]
        if c.labelled < 1 and t >= c.information_from:
            with unrecorded(C):
                view_logits, _ = C(view)
            metrics["information"] = mutual_information(logits, view_logits, labels < 0)
            objective = objective - c.information_weight * metrics["information"]
        if c.labelled > 0:
            metrics["label"] = label_loss(logits, labels)
            objective = objective + c.label_weight * metrics["label"]
        return objective, metrics

    def play(self, images: Tensor, labels: Tensor, descend: Descend) -> Metrics:
        """Critic against generator and guide. Every picture is a source, a reference and a real one."""
        c, G, C, D = self.config, self.translator.generator, self.translator.guide, self.critic
        order = torch.randperm(len(images), device=images.device)  # picture i meets reference order[i]
        logits, style = C(images)
        cluster = torch.where(labels < 0, logits.argmax(dim=1), labels)  # the pseudo-label, or what is told
        structure = G.encode(images)  # of the fake and of the reconstruction
        both = G.decode(structure.repeat(2, 1, 1, 1), torch.cat([style[order], style]))
        fake, own = both.chunk(2)

        real_logits, penalty = self.real_and_r1(images, cluster)
        realism = critic_hinge(real_logits, D(fake.detach(), cluster[order]))
        descend(realism + penalty, "critic")

        fake_logits, own_logits = D(both, torch.cat([cluster[order], cluster])).chunk(2)
        fool = forger_hinge(fake_logits) + forger_hinge(own_logits)
        keep = F.l1_loss(own.float(), images)
        with torch.no_grad():
            key = self.judge(images)[1][order]
        with unrecorded(C):
            _, query = C(fake)
        match = style_contrast(query, key, self.queue.keys, c.temperature)
        objective = fool + c.reconstruction_weight * keep + c.style_weight * match
        descend(objective, "generator", "guide")
        return {"critic": realism, "r1": penalty, "fool": fool, "reconstruction": keep, "style": match}

    def real_and_r1(self, images: Tensor, cluster: Tensor) -> tuple[Tensor, Tensor]:
        """The critic's logits of real pictures, and R1: one pass for both, in float32 as R1 needs it."""
        gamma = self.config.r1_gamma
        if not gamma:
            return self.critic(images, cluster), images.new_zeros(())
        with torch.autocast(images.device.type, enabled=False):
            images = images.detach().requires_grad_()
            logits = self.critic(images, cluster)
            return logits, gamma * r1_penalty(logits, images)

    def remember(self, key: Tensor, t: int) -> None:
        """Put the keys into the queue, which the first batch fills: random ones would be told too easily."""
        rounds = -(-len(self.queue.keys) // (len(key) * world())) if t == 0 else 1
        for _ in range(rounds):
            self.queue.push(key)
