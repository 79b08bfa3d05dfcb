"""`cluit data`: portraits as a folder, and the training of the judge that reads them."""

import sys
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.text import Text

from cluit.core.errors import UserError
from cluit.core.files import disk_errors
from cluit.data.portrait_folder import write_folder
from cluit.evaluation.reader import train_and_save


class Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.0f}/s")


def bar() -> Progress:
    """Done, rate and time left; silent where there is no terminal."""
    columns = BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())


def draw_folder(
    out: Path,
    *,
    count: int,
    size: int,
    seed: int,
    split: str,
    rare_poses: float,
    hidden: float,
    species_weights: dict[str, float],
    coarse: dict[str, str],
) -> None:
    """Write ``count`` portraits into ``out``, see `write_folder`."""
    with bar() as progress:
        task = progress.add_task("", total=count)
        write_folder(
            out, count, size, seed, split,
            rare_poses=rare_poses, hidden=hidden,
            species_weights=species_weights or None, coarse=coarse or None,
            progress=lambda done: progress.update(task, completed=done),
        )  # fmt: skip
    print(f"{count} portraits of {size} px in {out}, their factors in {out / 'factors.csv'}")


def make_reader(out: Path, steps: int, seed: int) -> None:
    """Train a judge into the file ``out`` and print what it reads right."""
    if steps < 1:
        raise UserError(f"steps must be at least 1, got {steps}")
    if out.exists():
        raise UserError(f"{out} is already there; choose another name")
    with disk_errors(out), bar() as progress:
        out.parent.mkdir(parents=True, exist_ok=True)
        task = progress.add_task("", total=steps)
        marks = train_and_save(out, steps, seed, lambda step, _: progress.update(task, completed=step + 1))
    errors = ", ".join(f"{name} {error:.3f}" for name, error in marks.items() if name != "species")
    print(f"{out}: species {marks['species']:.1%} right; mean absolute errors: {errors}")
