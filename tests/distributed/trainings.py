"""Whole trainings on ranks, through the command line."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cluit.apps.cli import main
from cluit.apps.pictures import Data, open_data
from cluit.apps.settings import Settings
from cluit.core import distributed
from cluit.core.types import Batch
from cluit.data.loader import batches

TINY = {
    "recipe": "small",
    "image-size": 32,
    "width": 8,
    "critic-width": 8,
    "style-dim": 16,
    "contrast-dim": 32,
    "queue-size": 48,
    "batch-size": 12,
    "precision": "float32",
    "device": "cpu",
    "workers": 1,
    "log-every": 2,
    "grid-every": 4,
    "score-every": 4,
    "save-every": 4,
}


def command(folder: Path, run: Path, **changes: Any) -> list[str]:
    """``cluit train``, with these settings instead of the usual ones; True stands for a flag alone."""
    settings = TINY | {name.replace("_", "-"): value for name, value in changes.items()}
    words = ["train", str(folder), "--out", str(run)]
    for name, value in settings.items():
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words


def trained(words: list[str], restarts: int = 0) -> None:
    """On this rank."""
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(restarts)
    main(words)


def signalled(words: list[str], number: signal.Signals) -> None:
    """The second rank gets a signal in the middle of step 5."""
    with patch("cluit.apps.job.batches", lambda *args, **settings: raising(number, *args, **settings)):
        main(words)


def raising(number: signal.Signals, *args: Any, **settings: Any) -> Iterator[Batch]:
    for t, batch in enumerate(batches(*args, **settings)):
        if t == 4 and distributed.rank() == 1:
            os.kill(os.getpid(), number)
        yield batch


def poisoned(words: list[str]) -> None:
    """The second rank's pictures are no numbers in step 6."""
    with patch("cluit.apps.job.batches", poison):
        main(words)


def poison(*args: Any, **settings: Any) -> Iterator[Batch]:
    for t, batch in enumerate(batches(*args, **settings)):
        yield Batch(batch.images * float("nan")) if t == 5 and distributed.rank() == 1 else batch


def trained_elsewhere(words: list[str], other: Path) -> None:
    """The second rank's machine has other pictures under the name of the folder."""

    def opened(data: str, settings: Settings) -> Data:
        return open_data(other if distributed.rank() else data, settings)

    with patch("cluit.apps.train.open_data", opened):
        main(words)
