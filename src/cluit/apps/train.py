"""The main job: pictures in, a run out. It introduces data, method and engine to each other and trains."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from cluit.apps.monitor import Monitor
from cluit.apps.pictures import Data, open_data
from cluit.apps.settings import Settings, as_yaml, checked, layered, read_settings, resumed
from cluit.core.chance import seed_step
from cluit.core.errors import UserError
from cluit.core.machine import has_fast_bfloat16, pick_device, pick_precision
from cluit.core.types import Method, Metrics, Translator
from cluit.data.dataset import MapStyle
from cluit.data.loader import batches
from cluit.engine.average import Average
from cluit.engine.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    restore,
    save_checkpoint,
    training_state,
)
from cluit.engine.descent import Descent
from cluit.engine.files import atomic_file
from cluit.engine.fit import every, fit
from cluit.engine.log import Log, Meter, ProgressBar, TensorBoard, Writer
from cluit.engine.run import SETTINGS, claim_run
from cluit.engine.stop import StopSignals
from cluit.export import weights

FIRST_WEIGHTS = -1
"""The step whose random state draws a run's first weights."""


def train(
    data: str | Path | MapStyle | None = None,
    *,
    out: str | Path,
    resume: bool = False,
    config: str | Path | None = None,
    **given: Any,
) -> Path:
    """Train on ``data`` into the folder ``out`` and return it.

    data: a folder of pictures, the word ``portraits``, or any map-style data set (items are PIL images, uint8
        arrays (H, W, C) or tensors (C, H, W), or tuples that begin with one). A resumed run knows its own.
    resume: go on where the run in ``out`` stopped, bit for bit. ``steps``, ``minutes``, ``device``,
        ``precision``, the intervals and what concerns loading may be given anew, nothing else.
    config: a YAML file of settings. given: settings, see `TrainSettings` and the method's configuration; they
        win over the file, the file over the recipe.

    UserError for whatever the user can mend, with nothing overwritten; Diverged (a UserError) where numbers
    are no longer finite. KeyboardInterrupt (Ctrl-C) and SystemExit (SIGTERM) are raised after saving.
    """
    run = Path(out).expanduser()
    if isinstance(data, str | Path):
        given["data"] = str(data)
    file = read_settings(Path(config)) if config else {}
    with claim_run(run, resume=resume):
        stored = run / SETTINGS
        goes_on = resume and stored.exists()
        settings = resumed(read_settings(stored), {**file, **given}) if goes_on else layered(
            given, file, machine_recipe(given.get("device", file.get("device", "auto")))
        )  # fmt: skip
        source = settings.run.data if data is None else data
        if source is None:
            raise UserError("name the data to train on: a folder of pictures, or the word portraits")
        device = pick_device(settings.run.device)
        settings = with_precision(settings, device, goes_on and "precision" not in given)
        job = Job(run, settings, open_data(source, settings), device)
        job.announce()
        start = job.restore()
        with atomic_file(stored) as yaml:
            yaml.write(as_yaml(settings).encode())
        job.train(start)
    return run


def machine_recipe(device: str) -> str:
    """The recipe that this machine can train: the paper's where there is CUDA, else the small one."""
    return "paper" if device in ("auto", "cuda") and torch.cuda.is_available() else "small"


def with_precision(settings: Settings, device: torch.device, kept: bool) -> Settings:
    """Settings whose ``auto`` is resolved. kept: it was resolved when the run began, elsewhere perhaps."""
    if kept and settings.run.precision == "bfloat16" and not has_fast_bfloat16(device):
        raise UserError(
            f"the run was begun in bfloat16, which this machine's {device.type} can only imitate, many times "
            "slower; go on with --precision float32, or with --precision bfloat16 nevertheless"
        )
    precision = str(pick_precision(settings.run.precision, device)).removeprefix("torch.")
    return checked({**settings.flat(), "precision": precision})


class Job:
    """A run in progress: what was opened for it, and what happens at which step."""

    def __init__(self, run: Path, settings: Settings, data: Data, device: torch.device) -> None:
        self.run, self.settings, self.data, self.device = run, settings, data, device
        self.console = Console(stderr=True)
        seed_step(settings.run.seed, FIRST_WEIGHTS)
        self.method: Method = settings.config.build()
        self.method.to(device=device, memory_format=torch.channels_last)
        self.average = Average(self.method.translator, settings.config.average_decay)
        self.meter = Meter()
        self.saved = -1

    def announce(self) -> None:
        """The first line of output, and what was skipped."""
        run, data = self.settings.run, self.data
        print(
            f"{run.recipe} recipe · {run.method} · {self.device.type}, {run.precision} · "
            f"{len(data.train)} pictures, {len(data.held_out)} held out · {run.steps} steps",
            file=sys.stderr,
            flush=True,
        )

    def train(self, start: int) -> None:
        """Train from step ``start`` to the end or a stop; and save."""
        run = self.settings.run
        with ExitStack() as stack:
            signals = stack.enter_context(StopSignals())
            log: Writer = stack.enter_context(closing(Log(self.run / "log.jsonl", start)))
            writers = [log]
            if run.tensorboard:
                writers.append(stack.enter_context(closing(TensorBoard(self.run / "tensorboard", start))))
            bar = stack.enter_context(
                ProgressBar(run.steps, start, batch_size=run.batch_size, console=self.console)
            )
            stream = stack.enter_context(closing(batches(
                self.data.train, run.batch_size, run.seed, start, device=self.device, workers=run.workers
            )))  # fmt: skip
            monitor = Monitor(self.run, self.method, self.data.held_out, self.settings, writers, self.console)
            deadline = time.monotonic() + 60 * run.minutes if run.minutes else float("inf")
            done = fit(
                self.method,
                stream,
                Descent(self.method.optimizers()),
                self.average,
                range(start, run.steps),
                [
                    self.meter,
                    bar,
                    every(run.log_every, self.log_to(writers)),
                    every(run.score_every, monitor.score, run.steps),
                    every(run.grid_every, monitor.grid, run.steps),
                    every(run.save_every, self.save),
                ],
                precision=getattr(torch, run.precision),
                seed=run.seed,
                device=self.device,
                stop=lambda: signals() or time.monotonic() > deadline,
            )
            if self.saved != done:
                self.save(done, {}, self.average.translator)

    def restore(self) -> int:
        """The number of steps that were done before; the state after them is put back."""
        path = latest_checkpoint(self.run)
        if path is None:
            return 0
        state = load_checkpoint(path)
        before = state["settings"]["fingerprint"]
        if before != self.data.fingerprint:
            raise UserError(
                f"the run was begun on other pictures ({before}, now {self.data.fingerprint}); "
                "give it those, or begin another run in another folder"
            )
        self.saved = restore(state, self.method, self.average, self.meter)
        return self.saved

    def log_to(self, writers: list[Writer]) -> Callable[[int, Metrics, Translator], None]:
        """A hook that writes the mean losses since its last call."""

        def write(done: int, metrics: Metrics, translator: Translator) -> None:
            values = self.meter.read(done)
            for writer in writers:
                writer.write(done, values)

        return write

    def save(self, done: int, metrics: Metrics, translator: Translator) -> None:
        """A checkpoint, and the averaged translator as a model of its own."""
        settings = {**self.settings.flat(), "fingerprint": self.data.fingerprint}
        state = training_state(
            self.method, self.average, self.meter, done,
            precision=self.settings.run.precision, settings=settings,
        )  # fmt: skip
        save_checkpoint(self.run, done, state)
        weights.save(self.run / "model", translator, card(self.settings, done))
        self.saved = done


def card(settings: Settings, done: int) -> dict[str, Any]:
    """What a saved model says of itself."""
    return {"method": settings.run.method, "config": asdict(settings.config), "steps": done}
