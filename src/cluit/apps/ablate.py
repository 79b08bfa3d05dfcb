"""`cluit ablate`: the paper's ablations as runs that differ in one thing, scored alike (Tables 2 and 3)."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from cluit.apps.ablation_runs import SEEDS, Name, Planned, plan
from cluit.apps.settings import read_settings
from cluit.core.errors import UserError
from cluit.engine.console import run_console


def ablate(
    name: Name,
    data: str | Path,
    *,
    out: str | Path,
    seeds: int | None = None,
    config: str | Path | None = None,
    **given: Any,
) -> None:
    """Train every row with every seed below ``out``; what is there already is not trained again."""
    console = run_console()
    named = {**(read_settings(Path(config)) if config else {}), **given}
    rows, runs = plan(name, str(data), Path(out).expanduser(), SEEDS[name] if seeds is None else seeds, named)
    for run in runs:
        run.check()
    failures = train_all(runs, [row.title for row in rows], console)
    if failures:
        raise SystemExit(1)


def train_all(runs: Sequence[Planned], titles: Sequence[str], console: Console) -> dict[Path, str]:
    """Train what is not finished, one after the other; of those that failed, why.

    One that fails leaves the others; Ctrl-C and SIGTERM come through once the run in progress has saved.
    """
    missing = [run for run in runs if not run.finished]
    began, failures = time.monotonic(), dict[Path, str]()
    for number, run in enumerate(missing):
        left = (time.monotonic() - began) / number * (len(missing) - number)  if number else None
        console.print(
            f"run {len(runs) - len(missing) + number + 1} of {len(runs)}: {titles[run.row]}, seed {run.seed}"
            + ("" if left is None else f" · about {left / 60:.0f} min left in all"),
            highlight=False,
        )
        try:
            run.train()
        except (UserError, RuntimeError, OSError) as error:
            failures[run.folder] = " ".join(str(error).split())
            console.print(f"{run.folder} failed: {failures[run.folder]}", highlight=False)
    return failures
