"""The training loop, the same for every method."""

from collections.abc import Callable, Iterator, Sequence

import torch

from cluit.core.chance import seed_step
from cluit.core.distributed import rank
from cluit.core.types import Batch, Descend, Method, Metrics, Translator
from cluit.engine.average import Average

Hook = Callable[[int, Metrics, Translator], None]
"""``hook(done, metrics, translator)`` after every step: ``done`` counts completed steps, so it is 1 at first
and is the number that a checkpoint written now bears; ``translator`` is the averaged one. A hook may draw
random numbers, since each step seeds its own, but must not move what trains."""


def fit(
    method: Method,
    batches: Iterator[Batch],
    descend: Descend,
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

    batches: endless; its next is the batch of step ``steps.start``. stop: asked after each step and its
    hooks. Nothing depends on ``steps.stop`` but the end, so a longer run begins as a shorter one.
    """
    done = steps.start
    for t in steps:
        seed_step(seed, t, rank())
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            metrics = method.step(next(batches), descend, t)
        average.follow(method.translator, method.average_decay(t))
        done = t + 1
        for hook in hooks:
            hook(done, metrics, average.translator)
        if stop():
            break
    return done


def every(n: int, hook: Hook, last: int | None = None) -> Hook:
    """``hook`` at every ``n``-th completed step, and also at step ``last``.

    Give ``last`` only to a hook that looks (a grid, a score): one that empties a meter at the end of a run
    would leave the same run, continued, with another log.
    """

    def sometimes(done: int, metrics: Metrics, translator: Translator) -> None:
        if done % n == 0 or done == last:
            hook(done, metrics, translator)

    return sometimes
