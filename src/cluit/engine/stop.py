"""A run is stopped between steps, not within one."""

import os
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Any, Self

from cluit.core.distributed import rank

STDERR = 2
ACKNOWLEDGED = b"\nstopping after this step, then saving; another Ctrl-C stops at once, without saving\n"


class StopSignals:
    """Within this context Ctrl-C and SIGTERM ask for a stop after the current step; call it to hear of it.

    A second Ctrl-C stops at once, by KeyboardInterrupt. Outside the main thread, where Python lets nobody
    handle signals, nothing is changed.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        return self.received is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self.receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if number == signal.SIGINT and self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        if rank() == 0:
            with suppress(OSError):  # not print, which may be what was interrupted
                os.write(STDERR, ACKNOWLEDGED)
