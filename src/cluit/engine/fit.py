"""The training loop, the same for every method."""

from collections.abc import Callable, Iterator, Sequence

import torch

from cluit.core import distributed
from cluit.core.chance import seed_step
from cluit.core.types import Batch, Method, Metrics, Translator
from cluit.engine.average import Average
from cluit.engine.descent import Descent

Hook = Callable[[int, Metrics, Translator], None]
"""``hook(done, metrics, translator)`` after every step: ``done`` counts completed steps, so it is 1 at first
and is the number that a checkpoint written now bears; ``translator`` is the averaged one. A hook may draw
random numbers, since each step seeds its own, but must not move what trains."""


def fit(
    method: Method,
    batches: Iterator[Batch],
    descend: Descent,
    average: Average,
    steps: range,
    hooks: Sequence[Hook] = (),
    *,
    precision: torch.dtype = torch.float32,
    seed: int = 0,
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Train for ``steps`` (counted from 0) and return how many steps are now done.

    batches: endless; its next is this rank's share of the batch of step ``steps.start``. stop: asked after
    each step and its hooks; all ranks must give the same answer. Nothing depends on ``steps.stop`` but the
    end, so a longer run begins as a shorter one.
    """
    done = steps.start
    for t in steps:
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            metrics = step(method, next(batches), descend, t, seed)
        average.follow(method.translator, method.average_decay(t))
        done = t + 1
        for hook in hooks:
            hook(done, metrics, average.translator)
        if stop():
            break
    return done


def step(method: Method, batch: Batch, descend: Descent, t: int, seed: int) -> Metrics:
    """Step ``t``, in as many parts as ``descend`` expects; the mean metrics of all of them."""
    parts, heard = descend.parts, list[Metrics]()
    for part in range(parts):
        seed_step(seed, t, distributed.rank() * parts + part)
        descend.begin(part)
        heard.append(method.step(batch.share(part, parts), descend, t))
    if parts == 1:
        return heard[0]
    return {name: torch.stack([metrics[name] for metrics in heard]).mean() for name in heard[0]}


def by_first(hook: Hook) -> Hook:
    """``hook`` on rank 0 alone; the others wait for it, and end where it fails."""

    def alone(done: int, metrics: Metrics, translator: Translator) -> None:
        with distributed.agreed():
            if distributed.rank() == 0:
                hook(done, metrics, translator)

    return alone


def every(n: int, hook: Hook, last: int | None = None) -> Hook:
    """``hook`` at every ``n``-th completed step, and also at step ``last``.

    Give ``last`` only to a hook that looks (a grid, a score): one that empties a meter at the end of a run
    would leave the same run, continued, with another log.
    """

    def sometimes(done: int, metrics: Metrics, translator: Translator) -> None:
        if done % n == 0 or done == last:
            hook(done, metrics, translator)

    return sometimes
