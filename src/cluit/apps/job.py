"""A run in progress: what was opened for it, and what happens at which step."""

import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import torch
from rich.console import Console

from cluit.apps.monitor import Judge, Monitor
from cluit.apps.pictures import Data
from cluit.apps.run_page import write_run_page
from cluit.apps.settings import Settings, model_card
from cluit.core.chance import seed_step
from cluit.core.errors import UserError
from cluit.core.files import atomic_file
from cluit.core.types import Method, Metrics, Translator
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
from cluit.engine.fit import Hook, every, fit
from cluit.engine.log import Log, Meter, ProgressBar, TensorBoard, Writer
from cluit.engine.stop import StopSignals
from cluit.export import weights

FIRST_WEIGHTS = -1
"""The step whose random state draws a run's first weights."""


class Job:
    """The method of these settings with its average, its data and the folder it is saved to."""

    def __init__(
        self, run: Path, settings: Settings, data: Data, device: torch.device, console: Console
    ) -> None:
        self.run, self.settings, self.data = run, settings, data
        self.device, self.console = device, console
        seed_step(settings.run.seed, FIRST_WEIGHTS)
        self.method: Method = settings.config.build()
        self.method.to(device=device, memory_format=torch.channels_last)
        self.average = Average(self.method.translator)
        self.meter = Meter()
        self.saved = -1
        self.listed = -1

    def restore(self) -> int:
        """The number of steps that were done before; the state after them is put back."""
        path = latest_checkpoint(self.run)
        if path is None:
            if (self.run / "model").exists():  # it is only written after a checkpoint
                raise UserError(
                    f"{self.run} has a model but no checkpoint to go on from; put {self.run / 'checkpoints'} "
                    "back, or begin another run with --init-from this one"
                )
            return 0
        state = load_checkpoint(path)
        before = state["settings"]["fingerprint"]
        if before != self.data.fingerprint:
            raise UserError(
                f"the run was begun on other pictures ({before}, now {self.data.fingerprint}); "
                "give it those, or begin another run in another folder"
            )
        if int(state["step"]) > self.settings.run.steps:
            raise UserError(
                f"the run has done {state['step']} steps, more than {self.settings.run.steps}; "
                "--steps counts them all, so give a higher number"
            )
        self.saved = restore(state, self.method, self.average, self.meter)
        return self.saved

    def train(self, start: int, judge: Judge | None = None) -> int:
        """Train from step ``start`` to the end or a stop, save, and return how many steps are done.

        After Ctrl-C and SIGTERM it saves likewise, and then raises KeyboardInterrupt or SystemExit(143).
        """
        run = self.settings.run
        with ExitStack() as stack:
            signals = stack.enter_context(StopSignals())
            writers: list[Writer] = [stack.enter_context(closing(Log(self.run / "log.jsonl", start)))]
            if run.tensorboard:
                writers.append(stack.enter_context(closing(TensorBoard(self.run / "tensorboard", start))))
            held_out = self.data.held_out
            monitor = Monitor(self.run, self.method, held_out, self.settings, writers, self.console, judge)
            seconds = 60 * run.minutes if run.minutes else float("inf")
            bar = ProgressBar(
                run.steps, start, batch_size=run.batch_size, console=self.console, seconds=seconds
            )
            stream = batches(
                self.data.train, run.batch_size, run.seed, start, device=self.device, workers=run.workers,
                balanced=self.settings.config.balanced,
            )  # fmt: skip
            done = fit(
                self.method,
                stack.enter_context(closing(stream)),
                Descent(self.method.optimizers()),
                self.average,
                range(start, run.steps),
                self.hooks(stack.enter_context(bar), monitor, writers),
                precision=getattr(torch, run.precision),
                seed=run.seed,
                device=self.device,
                stop=lambda: signals() or time.monotonic() > bar.deadline,
            )
            if signals.received is None and done > start and done % run.score_every:
                monitor.score(done, {}, self.average.translator)
            if self.saved != done:
                self.save(done, {}, self.average.translator)
            elif steps_of_model(self.run) != done:  # killed after a checkpoint, before its model
                self.save_model(done, self.average.translator)
            if signals.received != signal.SIGTERM and done > start:  # its sender may not wait
                if done % run.grid_every:
                    self.harmless(monitor.grid)(done, {}, self.average.translator)
                self.harmless(self.page)(done, {}, self.average.translator)
        if done < run.steps:
            self.console.print(f"stopped at step {done} and saved; --resume goes on", highlight=False)
        if signals.received is not None:
            if signals.received == signal.SIGTERM:
                raise SystemExit(128 + signal.SIGTERM)
            raise KeyboardInterrupt
        return done

    def hooks(self, bar: ProgressBar, monitor: Monitor, writers: Sequence[Writer]) -> list[Hook]:
        """What happens after a step, in this order: a checkpoint comes after the log's lines of its step."""
        run = self.settings.run
        return [
            self.meter,
            bar,
            every(run.log_every, self.log_to(writers)),
            every(run.score_every, monitor.score),
            every(run.grid_every, self.harmless(monitor.grid)),
            every(run.grid_every, self.harmless(self.page)),
            every(run.save_every, self.save),
        ]

    def harmless(self, hook: Hook) -> Hook:
        """``hook``, whose failure is a line on the console: no grid or page is worth the run it shows."""

        def tried(done: int, metrics: Metrics, translator: Translator) -> None:
            try:
                hook(done, metrics, translator)
            except Exception as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                self.console.print(f"warning: step {done}: no grid or page ({reason})")

        return tried

    def log_to(self, writers: Sequence[Writer]) -> Hook:
        """A hook that writes the mean losses and the pace since its last call, and the learning rates."""
        marks = [(time.monotonic(), max(self.saved, 0))]

        def write(done: int, metrics: Metrics, translator: Translator) -> None:
            (then, before), now = marks[0], time.monotonic()
            marks[0] = (now, done)
            rates = {
                f"learning_rate_{name}": optimizer.param_groups[0]["lr"]
                for name, optimizer in self.method.optimizers().items()
            }
            pace = round((done - before) / max(now - then, 1e-9), 3)
            values = {**self.meter.read(done), **rates, "steps_per_second": pace}
            for writer in writers:
                writer.write(done, values)

        return write

    def save(self, done: int, metrics: Metrics, translator: Translator) -> None:
        """A checkpoint, the averaged translator as a model of its own, and the list of what was skipped."""
        state = training_state(
            self.method,
            self.average,
            self.meter,
            done,
            precision=self.settings.run.precision,
            settings={**self.settings.flat(), "fingerprint": self.data.fingerprint},
        )
        save_checkpoint(self.run, done, state)
        self.save_model(done, translator)
        self.saved = done
        self.list_skipped()

    def save_model(self, done: int, translator: Translator) -> None:
        """RUN/model."""
        weights.save(self.run / "model", translator, model_card(self.settings, done))

    def page(self, done: int, metrics: Metrics, translator: Translator) -> None:
        """RUN/report.html."""
        write_run_page(self.run, self.settings, done)

    def list_skipped(self) -> None:
        """RUN/skipped.txt: every file passed over, with the reason; some only show when they are decoded."""
        skipped = dict(self.data.skipped)
        if len(skipped) not in (0, self.listed):
            with atomic_file(self.run / "skipped.txt") as file:
                lines = (f"{path}: {reason}\n" for path, reason in skipped.items())
                file.write("".join(lines).encode("utf-8", "surrogateescape"))
            self.listed = len(skipped)


def steps_of_model(run: Path) -> int:
    """After how many steps RUN/model was saved; 0 where there is none that can be read."""
    try:
        steps = weights.MODEL.read_card(run / "model").get("steps")
    except UserError:
        return 0
    return steps if isinstance(steps, int) else 0
