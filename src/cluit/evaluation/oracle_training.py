"""The training of an oracle on labelled real pictures, none of them those that it is examined with."""

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.core.chance import mixed, seed_step
from cluit.core.errors import UserError
from cluit.core.images import to_unit
from cluit.data.augment import Views, uniform
from cluit.data.labels import Labelled
from cluit.data.loader import batch_indices
from cluit.evaluation.marks import Marks, examine, without_colour
from cluit.evaluation.oracle import Oracle

HELD_BACK = 20  # one training picture in so many chooses the best weights, and is not learned from
TRIALS = 10  # times that the weights are tried on them
FIRST_WEIGHTS = -1  # the step whose random state draws them
WARM_UP = 0.05  # share of the training in which the learning rate rises
WEIGHT_DECAY = 0.02
VIEW = Views(crop=(0.85, 1.0), flip=True)  # shifts by up to 0.15 of a side
BRIGHTNESS = CONTRAST = 0.2
AHEAD = 4  # batches read before they are needed


@dataclass(frozen=True, kw_only=True)
class Course:
    """How an oracle is trained. It ends with the steps or the time, whichever is first."""

    steps: float = 2000
    seconds: float = math.inf
    batch_size: int = 64
    learning_rate: float = 2e-3
    """The highest; it rises for a twentieth of the training and falls to 0 along a cosine."""
    grey: float = 0.2
    """Share of the pictures that lose their colours, so that the oracle must know shapes too."""
    seed: int = 0
    """Of everything: the first weights, the pictures held back, the order, the changes to them."""

    def __post_init__(self) -> None:
        if not self.steps >= 1 or not self.seconds > 0 or math.inf == self.steps == self.seconds:
            raise UserError(f"the training needs an end: 1 step or more, or a positive time; got {self}")
        if self.batch_size < 2:  # a batch norm learns nothing from one picture
            raise UserError(f"the batch size must be at least 2, got {self.batch_size}")
        if not 0 < self.learning_rate < math.inf:
            raise UserError(f"the learning rate must be positive and finite, got {self.learning_rate}")
        if not 0 <= self.grey <= 1:
            raise UserError(f"the share of grey pictures lies between 0 and 1, not at {self.grey}")
        if self.seed < 0:
            raise UserError(f"the seed must not be negative, got {self.seed}")

    def share(self, step: float, seconds: float) -> float:
        """How much of the training is done after so many steps and seconds, from 0 to 1."""
        return min(1.0, max(step / self.steps, seconds / self.seconds))

    def rate(self, share: float) -> float:
        """The learning rate there."""
        return self.learning_rate * min(1.0, share / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * share))


def train_oracle(
    data: Labelled,
    course: Course,
    *,
    depth: int = 50,
    width: int = 64,
    image_size: int = 64,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int, Tensor], None] = lambda step, loss: None,
) -> tuple[Oracle, list["Trial"]]:
    """A new oracle for the labels of ``data``, with the best weights that a trial met; and all trials.

    A twentieth of the pictures is held back for ten trials; the best weights have the highest balanced
    accuracy on them, of equal ones the latest.

    depth, width, image_size: of the `Oracle`. dtype: of the arithmetic.
    progress: called after each step with the steps done and the loss, which is still on the device.

    Classes count alike however many pictures they have (cross-entropy weighted by 1/frequency). Attributes
    have a plain binary cross-entropy each, so that the share of right answers is as high as can be.
    The same arguments give the same weights on the CPU of one machine, if the course has no limit of time.
    UserError where a class or an attribute has no example to learn from, and where the loss is not finite.
    """
    device = torch.device(device)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(mixed(course.seed, "oracle")))
    held_back, rows = (part.tolist() for part in order.tensor_split([-(-len(data) // HELD_BACK)]))
    learned = data.part(rows)
    weights = class_weights(learned).to(device)
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        closing(stream(learned, course)) as batches,
    ):
        seed_step(course.seed, FIRST_WEIGHTS)
        labels = data.labels
        oracle = Oracle(labels.classes, multi=labels.multi, depth=depth, width=width, image_size=image_size)
        oracle.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(oracle.parameters(), weight_decay=WEIGHT_DECAY)
        best = Best(oracle, data.part(held_back), dtype)
        began, step, share = time.monotonic(), 0, 0.0
        while share < 1:
            for group in optimizer.param_groups:
                group["lr"] = course.rate(course.share(step + 0.5, time.monotonic() - began))
            seed_step(course.seed, step)
            pixels, answers = next(batches)
            images = varied(to_unit(pixels.to(device)), course.grey)
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                logits = oracle.logits(images.contiguous(memory_format=torch.channels_last))
            loss = loss_of(logits, answers.to(device), weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            progress(step, loss.detach())
            share = course.share(step, time.monotonic() - began)
            best.look(step, share, loss.detach())
    best.restore()
    return oracle.eval().requires_grad_(False), best.trials


@dataclass(frozen=True)
class Trial:
    """What the weights were worth after some steps."""

    step: int
    loss: float
    """Mean over the steps since the last trial, in nats."""
    marks: Marks
    """On the pictures held back."""


class Best:
    """Tries an oracle's weights now and then, and remembers the best."""

    def __init__(self, oracle: Oracle, held_back: Labelled, dtype: torch.dtype) -> None:
        self.oracle, self.held_back, self.dtype = oracle, held_back, dtype
        self.trials = list[Trial]()
        self.weights = dict[str, Tensor]()
        self.accuracy = -1.0
        self.losses = list[Tensor]()

    def look(self, step: int, share: float, loss: Tensor) -> None:
        """To be called after every step; it tries the weights at each tenth of the training."""
        self.losses.append(loss)
        if share * TRIALS < len(self.trials) + 1:
            return
        mean = torch.stack(self.losses).mean().item()
        if not math.isfinite(mean):
            raise UserError(f"the oracle's training diverged before step {step}; lower the learning rate")
        marks = examine(self.oracle, self.held_back, dtype=self.dtype)
        self.trials.append(Trial(step, mean, marks))
        self.losses = []
        if marks.balanced >= self.accuracy:
            self.accuracy = marks.balanced
            self.weights = {name: tensor.clone() for name, tensor in self.oracle.state_dict().items()}

    def restore(self) -> None:
        """Give the oracle the best weights."""
        self.oracle.load_state_dict(self.weights)


def class_weights(data: Labelled) -> Tensor:
    """(C,): of a class 1/frequency, 1 on average over the pictures; of an attribute 1."""
    classes, values = data.labels.classes, data.values
    if data.labels.multi:
        for name, column in zip(classes, values.T, strict=True):
            if column.all() or not column.any():
                have = "all" if column.all() else "none"
                raise UserError(f"{have} of the training pictures are {name!r}; choose other attributes")
        return torch.ones(len(classes))
    counts = torch.bincount(values, minlength=len(classes))
    for name, count in zip(classes, counts.tolist(), strict=True):
        if not count:
            raise UserError(f"there is no picture of {name!r} to learn from; give more, or leave it out")
    return len(values) / (len(classes) * counts.float())


def loss_of(logits: Tensor, answers: Tensor, weights: Tensor) -> Tensor:
    """The mean cross-entropy in nats. logits: (N, C) float; answers: (N,) long, or (N, C) bool."""
    if answers.ndim == 2:
        return F.binary_cross_entropy_with_logits(logits, answers.float(), weights)
    return (F.cross_entropy(logits, answers, reduction="none") * weights[answers]).mean()


def varied(images: Tensor, grey: float) -> Tensor:
    """(N, 3, H, W) in [-1, 1] -> the same: mirrored, shifted, brighter or darker, some without colours.

    Colours are left alone otherwise, as some attributes are colours.
    """
    images = VIEW(images)
    gain = 1 + uniform(images, -CONTRAST, CONTRAST)
    bias = uniform(images, -BRIGHTNESS, BRIGHTNESS)
    images = torch.addcmul(bias[:, None, None, None], images, gain[:, None, None, None]).clamp(-1, 1)
    colourless = uniform(images, 0, 1) < grey
    return torch.where(colourless[:, None, None, None], without_colour(images), images)


def stream(data: Labelled, course: Course) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Batches of uint8 pictures and their labels without end, read ahead by a thread."""

    def load(t: int) -> tuple[Tensor, Tensor]:
        return data.batch(batch_indices(len(data), course.batch_size, course.seed, t))

    with ThreadPoolExecutor(1, thread_name_prefix="cluit-oracle") as pool:
        ahead = deque[Future[tuple[Tensor, Tensor]]]()
        try:
            for t in itertools.count():
                ahead.append(pool.submit(load, t))
                if len(ahead) > AHEAD:
                    yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
