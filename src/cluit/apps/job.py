"""A run in progress: what was opened for it, and what happens at which step."""

import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import torch
from rich.console import Console

from cluit.apps.monitor import Monitor
from cluit.apps.pictures import PORTRAITS, Data
from cluit.apps.run_page import write_run_page
from cluit.apps.settings import Settings, as_yaml, model_card
from cluit.apps.truths import portraits_judge
from cluit.core import distributed
from cluit.core.chance import seed_step
from cluit.core.errors import UserError
from cluit.core.files import atomic_file
from cluit.core.types import Method, Metrics, Translator
from cluit.data.loader import batches
from cluit.engine.average import Average
from cluit.engine.checkpoint import (
    State,
    latest_checkpoint,
    load_checkpoint,
    restore,
    save_checkpoint,
    training_state,
)
from cluit.engine.descent import Descent
from cluit.engine.fit import Hook, by_first, every, fit
from cluit.engine.log import Log, Meter, ProgressBar, TensorBoard, Writer
from cluit.engine.run import SETTINGS
from cluit.engine.stop import StopSignals
from cluit.export import weights

FIRST_WEIGHTS = -1
"""The step whose random state draws a run's first weights."""

TIME_IS_UP = 1
"""A reason to stop that is no signal; it is less than any of them, so that a signal comes before it."""


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
        state = distributed.from_first(self.checkpoint)
        if state is None:
            return 0
        with distributed.agreed():
            self.saved = restore(state, self.method, self.average, self.meter)
        before = state.get("ranks", 1), state["settings"].get("accumulate", 1)
        now = distributed.world(), self.settings.run.accumulate
        if before != now:
            self.console.print(
                f"saved by {sharing(*before)}, now {sharing(*now)}: the batches stay the same, what is drawn "
                "by chance within them does not"
            )
        return self.saved

    def checkpoint(self) -> State | None:
        """The latest one, None where the run has not begun. UserError where it is not of this run."""
        path = latest_checkpoint(self.run)
        if path is None:
            if (self.run / "model").exists():  # it is only written after a checkpoint
                raise UserError(
                    f"{self.run} has a model but no checkpoint to go on from; put {self.run / 'checkpoints'} "
                    "back, or begin another run with --init-from this one"
                )
            return None
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
        return state

    def write_settings(self) -> None:
        """RUN/settings.yaml, and the list of what was skipped."""
        with distributed.agreed():
            if distributed.rank() == 0:
                with atomic_file(self.run / SETTINGS) as file:
                    file.write(as_yaml(self.settings).encode())
        self.list_skipped()

    def train(self, start: int) -> int:
        """Train from step ``start`` to the end or a stop, save, and return how many steps are done.

        After Ctrl-C and SIGTERM it saves likewise, and then raises KeyboardInterrupt or SystemExit(143).
        Ranks ask each other after each step whether one of them is to stop, and stop together.
        """
        run, first = self.settings.run, distributed.rank() == 0

        def reason() -> int:
            """To stop, for any rank: a signal's number, TIME_IS_UP, or none."""
            return distributed.largest(signals.received or TIME_IS_UP * (time.monotonic() > bar.deadline))

        with ExitStack() as stack:
            signals = stack.enter_context(StopSignals())
            writers = list[Writer]()
            with distributed.agreed():
                if first:
                    writers.append(stack.enter_context(closing(Log(self.run / "log.jsonl", start))))
                if first and run.tensorboard:
                    writers.append(stack.enter_context(closing(TensorBoard(self.run / "tensorboard", start))))
                monitor = self.monitor(writers)
            seconds = 60 * run.minutes if run.minutes else float("inf")
            bar = ProgressBar(
                run.steps, start, batch_size=run.batch_size, console=self.console, seconds=seconds
            )
            stream = batches(
                self.data.train, run.batch_size, run.seed, start, distributed.rank(), distributed.world(),
                device=self.device, workers=run.workers, balanced=self.settings.config.balanced,
            )  # fmt: skip
            done = fit(
                self.method,
                stack.enter_context(closing(stream)),
                Descent(self.method.optimizers(), run.accumulate),
                self.average,
                range(start, run.steps),
                self.hooks(stack.enter_context(bar), monitor, writers),
                precision=getattr(torch, run.precision),
                seed=run.seed,
                device=self.device,
                stop=lambda: reason() > 0,
            )
            for hook in self.last_hooks(start, done, reason(), monitor):
                hook(done, {}, self.average.translator)
            ending = reason()
        if done < run.steps:
            self.console.print(f"stopped at step {done} and saved; --resume goes on", highlight=False)
        if ending == signal.SIGINT and first:
            raise KeyboardInterrupt
        if ending > TIME_IS_UP:
            raise SystemExit(128 + ending)
        return done

    def monitor(self, writers: Sequence[Writer]) -> Monitor:
        """It looks at held-out pictures; on rank 0, which alone asks it, it knows the truth of portraits."""
        told = self.settings.run.data == PORTRAITS and distributed.rank() == 0
        judge = portraits_judge(self.settings.config.image_size, self.device) if told else None
        held_out = self.data.held_out
        return Monitor(self.run, self.method, held_out, self.settings, writers, self.console, judge)

    def hooks(self, bar: ProgressBar, monitor: Monitor, writers: Sequence[Writer]) -> list[Hook]:
        """What happens after a step, in this order: a checkpoint comes after the log's lines of its step."""
        run = self.settings.run
        return [
            self.meter,
            bar,
            every(run.log_every, self.log_to(writers)),
            every(run.score_every, by_first(monitor.score)),
            every(run.grid_every, by_first(self.harmless(monitor.grid))),
            every(run.grid_every, by_first(self.harmless(self.page))),
            every(run.save_every, self.save),
        ]

    def last_hooks(self, start: int, done: int, reason: int, monitor: Monitor) -> list[Hook]:
        """What is still to happen at the end of a session, ``done`` steps and a ``reason`` to stop later."""
        run, hooks = self.settings.run, list[Hook]()
        if reason <= TIME_IS_UP and done > start and done % run.score_every:
            hooks.append(by_first(monitor.score))
        if self.saved != done:
            hooks.append(self.save)
        else:
            hooks.append(by_first(self.save_lost_model))
        if reason != signal.SIGTERM and done > start:  # its sender may not wait
            if done % run.grid_every:
                hooks.append(by_first(self.harmless(monitor.grid)))
            hooks.append(by_first(self.harmless(self.page)))
        return hooks

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
            with distributed.agreed():
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
        with distributed.agreed():
            if distributed.rank() == 0:
                save_checkpoint(self.run, done, state)
                self.save_model(done, translator)
        self.saved = done
        self.list_skipped()

    def save_model(self, done: int, translator: Translator) -> None:
        """RUN/model."""
        weights.save(self.run / "model", translator, model_card(self.settings, done))

    def save_lost_model(self, done: int, metrics: Metrics, translator: Translator) -> None:
        """RUN/model, where the run was killed after the checkpoint and before its model."""
        if steps_of_model(self.run) != done:
            self.save_model(done, translator)

    def page(self, done: int, metrics: Metrics, translator: Translator) -> None:
        """RUN/report.html."""
        write_run_page(self.run, self.settings, done)

    def list_skipped(self) -> None:
        """RUN/skipped.txt: every file passed over, with the reason; some only show when they are decoded."""
        skipped = {path: why for own in distributed.everyone(self.data.skipped) for path, why in own.items()}
        if len(skipped) in (0, self.listed):
            return
        self.listed = len(skipped)
        with distributed.agreed():
            if distributed.rank() == 0:
                with atomic_file(self.run / "skipped.txt") as file:
                    lines = (f"{path}: {reason}\n" for path, reason in skipped.items())
                    file.write("".join(lines).encode("utf-8", "surrogateescape"))


def sharing(ranks: int, parts: int) -> str:
    """E.g. ``2 processes, each in 4 parts``."""
    processes = f"{ranks} process" + ("es" if ranks > 1 else "")
    return processes + (f", each in {parts} parts" if parts > 1 else "")


def steps_of_model(run: Path) -> int:
    """After how many steps RUN/model was saved; 0 where there is none that can be read."""
    try:
        steps = weights.MODEL.read_card(run / "model").get("steps")
    except UserError:
        return 0
    return steps if isinstance(steps, int) else 0
