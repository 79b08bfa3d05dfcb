"""What a run says of itself: a log of JSON lines, TensorBoard, a progress bar."""

import json
import math
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch import Tensor

from cluit.core import distributed
from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors
from cluit.core.types import Metrics, Translator
from cluit.engine.console import run_console
from cluit.engine.divergence import Diverged


class Writer(Protocol):
    """Somewhere to put numbers by step."""

    def write(self, t: int, values: Mapping[str, Any]) -> None: ...


class Meter:
    """A hook that averages each metric over the steps since its last reading; sums stay on the device.

    What it remembers belongs into a checkpoint, so that a resumed run logs the same means. Ranks keep their
    own sums until they are read or saved, which all of them must do together.
    """

    def __init__(self) -> None:
        self.sums: Metrics = {}
        self.counts: dict[str, int] = {}

    def __call__(self, t: int, metrics: Metrics, translator: Translator) -> None:
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach().float()
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self, t: int) -> dict[str, float]:
        """The means, over ranks too, and begin anew. Diverged if any metric was not finite in any step."""
        if not self.sums:
            return {}
        sums = dict(zip(self.sums, self.gathered().mean(dim=0).tolist(), strict=True))
        for name, total in sums.items():
            if not math.isfinite(total):
                raise Diverged(name, t)
        means = {name: total / self.counts[name] for name, total in sums.items()}
        self.sums, self.counts = {}, {}
        return means

    def gathered(self) -> Tensor:
        """(world, M): the sums of all ranks."""
        return distributed.gather(torch.stack(list(self.sums.values()))[None])

    def state_dict(self) -> dict[str, Any]:
        sums = dict(zip(self.sums, self.gathered().unbind(dim=1), strict=True)) if self.sums else {}
        return {"sums": sums, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Each rank its own sums; where there are now more or fewer ranks, each the mean."""
        totals = {name: total.reshape(-1) for name, total in state["sums"].items()}
        alike = all(len(total) == distributed.world() for total in totals.values())
        self.sums = {
            name: total[distributed.rank()] if alike else total.mean() for name, total in totals.items()
        }
        self.counts = dict(state["counts"])


class Log:
    """``log.jsonl``: one JSON object a line, each with its ``step`` and the ``seconds`` trained so far.

    t: the completed steps that the run goes on from. Lines after it, and a last line half written, are
    dropped; 0 begins the log anew. Write before the checkpoint of the same step, or a kill between the two
    loses the line.
    """

    def __init__(self, path: Path, t: int = 0) -> None:
        self.path = path
        with disk_errors(path):
            lines = [line for line in whole_lines(path) if json.loads(line)["step"] <= t] if t else []
            text = "".join(line + "\n" for line in lines)
            if not path.exists() or path.read_text(errors="replace") != text:
                with atomic_file(path) as file:
                    file.write(text.encode())
            self.file = path.open("a", buffering=1, encoding="utf-8")
        self.began = time.monotonic() - (json.loads(lines[-1]).get("seconds", 0) if lines else 0)

    def write(self, t: int, values: Mapping[str, Any]) -> None:
        """Add a line. JSON knows no NaN: a value that is not finite is written as null."""
        seconds = round(time.monotonic() - self.began, 2)
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        with disk_errors(self.path):
            self.file.write(json.dumps({"step": t, "seconds": seconds, **finite}, allow_nan=False) + "\n")

    def close(self) -> None:
        with disk_errors(self.path):  # what a full disk refused is tried once more
            self.file.close()


def whole_lines(path: Path) -> list[str]:
    """The lines that are JSON objects with a step; none where there is no file."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    return [line for line in lines if is_entry(line)]


def is_entry(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and isinstance(entry.get("step"), int)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The entries of a log, in order; a last line half written is left out."""
    return [json.loads(line) for line in whole_lines(path)]


class TensorBoard:
    """Curves for TensorBoard in ``folder``; a resumed run replaces what it does again."""

    def __init__(self, folder: Path, t: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError("TensorBoard is not installed; pip install 'cluit[tensorboard]'") from error
        with disk_errors(folder):
            self.writer = SummaryWriter(str(folder), purge_step=t + 1)

    def write(self, t: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, int | float):
                self.writer.add_scalar(name, value, t)

    def close(self) -> None:
        self.writer.close()


class ProgressBar:
    """A hook that shows rate, time left and latest losses: a live bar, or off a terminal a line at times.

    total, start: steps in all, and done before. batch_size: pictures a step. seconds: what there is of time,
    where it may end before the steps do. Metrics are read from the device only when something is shown.
    """

    def __init__(
        self,
        total: int,
        start: int = 0,
        *,
        batch_size: int,
        console: Console | None = None,
        quiet: float = 30.0,
        seconds: float = math.inf,
    ) -> None:
        self.total, self.start, self.batch_size = total, start, batch_size
        self.began = time.monotonic()
        self.deadline = self.began + seconds
        self.console = console or run_console()
        self.pause = 0.5 if self.console.is_terminal else quiet
        self.marks: deque[tuple[float, int]] = deque(maxlen=60)

    def __enter__(self) -> Self:
        columns = BarColumn(), TextColumn("{task.description}", markup=False)
        self.bar = Progress(
            *columns, console=self.console, auto_refresh=False, disable=not self.console.is_terminal
        )
        self.bar.start()
        self.task = self.bar.add_task("starting", total=1.0)
        self.bar.update(self.task, completed=self.share(self.start))
        self.marks.append((time.monotonic(), self.start))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def __call__(self, t: int, metrics: Metrics, translator: Translator | None = None) -> None:
        if self.console.quiet or (time.monotonic() - self.marks[-1][0] < self.pause and t != self.total):
            return
        self.marks.append((time.monotonic(), t))
        text = self.describe(t, metrics)
        if self.console.is_terminal:
            self.bar.update(self.task, completed=self.share(t), description=text, refresh=True)
        else:
            self.console.print(text, highlight=False, soft_wrap=True)

    def share(self, t: int) -> float:
        """How much is done, of the steps or of the time, whichever ends first."""
        in_time = (time.monotonic() - self.began) / (self.deadline - self.began)
        return min(1.0, max(in_time, t / self.total))

    def describe(self, t: int, metrics: Metrics) -> str:
        """E.g. ``step 9/99 · 4.2 steps/s · 134 pictures/s · 0:12:30 left · critic 1.21``."""
        (then, before), (now, _) = self.marks[0], self.marks[-1]
        rate = (t - before) / max(now - then, 1e-9)
        left = round(max(0, min((self.total - t) / rate if rate else math.inf, self.deadline - now)))
        clock = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
        losses = "  ".join(f"{name} {float(value):.3g}" for name, value in metrics.items())
        steps = f"step {t}/{self.total}" if math.isinf(self.deadline) else f"step {t}"
        pace = f"{rate:.3g} steps/s · {rate * self.batch_size:.3g} pictures/s"  # lately
        return f"{steps} · {pace} · {clock} left · {losses}"
