"""Where a run talks to whoever watches. That nobody listens any more must not end it."""

import io
import os
import sys
from contextlib import suppress
from typing import IO, cast

from rich.console import Console

from cluit.core.distributed import rank

STDERR = 2


class Lasting(io.TextIOBase):
    """Standard error, for as long as there is one: a closed pipe or a full disk swallows what is written."""

    def __init__(self) -> None:
        self.stream = sys.stderr

    def write(self, text: str) -> int:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError, AttributeError):  # lost, closed, or None as under pythonw
            give_up_stderr()
        return len(text)

    def isatty(self) -> bool:
        with suppress(OSError, ValueError, AttributeError):
            return self.stream.isatty()
        return False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.stream, "encoding", None) or "utf-8"

    def fileno(self) -> int:
        return STDERR if self.stream is None else self.stream.fileno()


def give_up_stderr() -> None:
    """Let a lost standard error lead nowhere: what Python still holds for it would spoil the exit code."""
    with suppress(OSError, ValueError, AttributeError):
        if sys.__stderr__ is not None and sys.__stderr__.fileno() == STDERR:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, STDERR)
            os.close(nowhere)


def run_console() -> Console:
    """A console on standard error that says things as they are: a path in brackets is no markup.

    Of several ranks the first one speaks.
    """
    file = cast(IO[str], Lasting())
    return Console(file=file, quiet=rank() > 0, markup=False, highlight=False, emoji=False, soft_wrap=True)
