"""A training run in miniature: real networks, optimizers, queue, dropout, checkpoints, log, exported model.

Run as a script it is a zygote: it has torch loaded and forks a training process for each line of standard
input, so that a test may kill dozens of them in seconds.
"""

import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cluit.core.errors import UserError
from cluit.core.files import atomic_file
from cluit.core.types import Batch, Descend, Method, Metrics, Translator
from cluit.engine.average import Average
from cluit.engine.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    restore,
    save_checkpoint,
    training_state,
)
from cluit.engine.descent import Descent
from cluit.engine.fit import Hook, every, fit
from cluit.engine.log import Log, Meter
from cluit.engine.run import SETTINGS, claim_run
from cluit.engine.stop import StopSignals
from cluit.export import weights
from cluit.nn.queue import Queue

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    image_size: int = 4
    width: int = 4

    def build_translator(self) -> Translator:
        return ToyTranslator(self)


class ToyTranslator(Translator):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.image_size = config.image_size
        self.encoder = nn.Conv2d(3, config.width, 1)
        self.norm = nn.BatchNorm2d(config.width)
        self.style = nn.Linear(3, config.width)
        self.decoder = nn.Conv2d(config.width, 3, 1)
        self.dropout = nn.Dropout(0.2)

    def encode_structure(self, source: Tensor) -> Tensor:
        return self.dropout(self.norm(self.encoder(source)))

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        return self.style(reference.mean((2, 3)))

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return self.decoder(structure * style[:, :, None, None])


class ToyMethod(Method):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.translator = ToyTranslator(config)
        self.critic = nn.Linear(3 * config.image_size**2, 2)
        self.queue = Queue(6, 2)
        self.made: dict[str, Optimizer] = {
            "critic": Adam(self.critic.parameters(), 1e-2),
            "translator": Adam(self.translator.parameters(), 1e-2, betas=(0.5, 0.99)),
        }

    def optimizers(self) -> dict[str, Optimizer]:
        return self.made

    def features(self, images: Tensor) -> Tensor:
        return self.critic(images.flatten(1))

    def average_decay(self, t: int) -> float:
        return 0.9

    def step(self, batch: Batch, descend: Descend, t: int) -> Metrics:
        source, reference = batch.images.chunk(2)
        fake = self.translator.translate(source, self.translator.encode_style(reference))
        real, unreal = self.features(source + 0.1 * torch.randn_like(source)), self.features(fake.detach())
        critic = F.softplus(unreal - real).mean() + (real @ self.queue.keys.T).square().mean()
        descend(critic, "critic")
        keep = F.l1_loss(fake, source) - self.features(fake).mean()
        descend(keep, "translator")
        self.queue.push(real.detach())
        metrics = {"critic": critic.detach(), "keep": keep.detach()}
        return metrics | {"now and then": keep.detach() * 2} if t % 3 == 0 else metrics


def batches(start: int, poison: int | None = None) -> Iterator[Batch]:
    """Batch t is a pure function of t; that of step ``poison`` is NaN."""
    t = start
    while True:
        images = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(t))
        yield Batch(images * float("nan") if t == poison else images)
        t += 1


def train(
    run: Path,
    steps: int,
    *,
    save_every: int = 2,
    log_every: int = 3,
    hooks: Sequence[Hook] = (),
    poison: int | None = None,
) -> int:
    """Train in ``run`` up to ``steps`` in all, going on where it stands; return the steps then done."""
    config = ToyConfig()
    resume = run.exists()
    with ExitStack() as stack:
        stack.enter_context(claim_run(run, resume=resume))
        stop = stack.enter_context(StopSignals())
        torch.manual_seed(0)
        method, meter = ToyMethod(config), Meter()
        average = Average(method.translator)
        newest = latest_checkpoint(run)
        done = restore(load_checkpoint(newest), method, average, meter) if newest else 0
        if not newest:
            with atomic_file(run / SETTINGS) as file:
                file.write(b"toy: true\n")
        log = stack.enter_context(closing(Log(run / "log.jsonl", done)))

        def save(t: int) -> None:
            state = training_state(method, average, meter, t, precision="float32", settings=asdict(config))
            save_checkpoint(run, t, state)
            card = {"method": "toy", "config": asdict(config), "step": t}
            weights.save(run / "model", average.translator, card)

        def write(t: int, metrics: Metrics, translator: Translator) -> None:
            log.write(t, meter.read(t))

        done = fit(
            method,
            batches(done, poison),
            Descent(method.optimizers()),
            average,
            range(done, steps),
            [meter, every(log_every, write), *hooks, every(save_every, lambda t, *_: save(t))],
            seed=1,
            device=CPU,
            stop=stop,
        )
        save(done)
    return done


def final_state(run: Path) -> dict[str, Any]:
    """The newest checkpoint's leaves by dotted name."""
    newest = latest_checkpoint(run)
    assert newest is not None
    return dict(leaves(load_checkpoint(newest)))


def leaves(state: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(state, dict):
        for key, value in state.items():
            yield from leaves(value, f"{name}.{key}")
    else:
        yield name, state


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two states are equal, bit for bit."""
    return a.keys() == b.keys() and all(
        torch.equal(a[k], b[k]) if isinstance(a[k], Tensor) else a[k] == b[k] for k in a
    )


def serve() -> None:
    """For each line ``RUN STEPS``: fork a training and print its process id; at the next line, its status."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder) / "warm", 2)  # whatever is imported late
    print("ready", flush=True)
    for line in sys.stdin:
        run, steps = line.split()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                train(Path(run), int(steps))
                code = 0
            except UserError as error:
                print(error, file=sys.stderr, flush=True)
                code = 2
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        print(child, flush=True)
        sys.stdin.readline()  # unreaped till then, so that a late kill hits nobody else
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    serve()
