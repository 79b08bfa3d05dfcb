"""A bar with a rate and the time left; what cannot be used, told as it is met."""

import sys
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

SHOWN = 3  # reasons in a sentence


class Rate(ProgressColumn):
    """Pictures per second of late."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.1f}/s")


def progress(rank: int = 0) -> Progress:
    """A bar on standard error, where that is a terminal; of several processes the first shows its own."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn(),
        console=Console(stderr=True), disable=rank > 0 or not sys.stderr.isatty(),
    )  # fmt: skip


class Skipped:
    """Files that cannot be used are told one by one: a list of all could be as long as the job."""

    def __init__(self) -> None:
        self.first = dict[Path, str]()

    def __call__(self, path: Path, reason: str) -> None:
        if len(self.first) < SHOWN:
            self.first[path] = reason
        print(f"skipped {path}: {reason}", file=sys.stderr, flush=True)

    def __str__(self) -> str:
        return "; ".join(f"{path}: {reason}" for path, reason in self.first.items())
