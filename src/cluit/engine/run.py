"""The folder of a run: one experiment, one process at a time."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cluit.core.errors import UserError
from cluit.core.files import STRAYS, disk_errors

LOCK = ".lock"
"""Held while a process trains there; it says which torchrun that process is of, if any."""
SETTINGS = "settings.yaml"
"""The first file to be written into a run: a folder that has it can be resumed, checkpoint or not."""


@contextmanager
def claim_run(run: Path, *, resume: bool) -> Iterator[None]:
    """Hold the folder ``run`` for this process alone; make it if need be.

    A new run needs an empty folder; ``resume`` needs one that holds a run (or nothing yet: a run may be
    killed before it writes anything). UserError otherwise, or when another process trains there, with nothing
    touched. Temporary files of a killed process are removed. Where a new run ends before it has written
    anything, as a setting is refused, what was made for it goes again.
    """
    with disk_errors(run):
        require_claimable(run, resume)
        made = [folder for folder in (run, *run.parents) if not folder.exists()]
        new = not (run / LOCK).exists()
    with disk_errors(run / LOCK):
        run.mkdir(parents=True, exist_ok=True)
        lock = (run / LOCK).open("a")
    with lock:
        take(lock.fileno(), run)
        require_claimable(run, resume)  # another process may have begun and ended a run since
        with disk_errors(run):
            lock.truncate(0)
            lock.write(launcher())
            lock.flush()
            for stray in run.rglob(STRAYS):
                if not stray.is_dir():
                    stray.unlink()
        try:
            yield
        except BaseException:
            if new and [path.name for path in run.iterdir()] == [LOCK]:
                (run / LOCK).unlink()
                with suppress(OSError):  # somebody else may have put something there
                    for folder in made:
                        folder.rmdir()
            raise


def launcher() -> str:
    """Names the torchrun that has started this process, the same after each restart; empty without one."""
    number = os.environ.get("TORCHELASTIC_RUN_ID")
    return f"{number} {os.getppid()}" if number else ""


def restarted(run: Path) -> bool:
    """Whether torchrun has started this process again, after it had trained in ``run`` and something failed.

    So a training is resumed that is known to be the same. A folder that was there before is refused as ever,
    however often torchrun tries it.
    """
    again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    with suppress(OSError):
        return again and (run / LOCK).read_text(encoding="utf-8") == launcher()
    return False


def require_claimable(run: Path, resume: bool) -> None:
    if run.exists() and not run.is_dir():
        raise UserError(f"{run} is a file; choose a folder for the run")
    if resume and not run.exists():
        raise UserError(f"there is no run in {run} to resume; leave out --resume to start one")
    names = (
        {path.name for path in run.iterdir() if not path.match(STRAYS)} - {LOCK} if run.exists() else set()
    )
    holds_run = bool(names & {SETTINGS, "checkpoints"})
    if names and not resume:
        advice = "continue it with --resume or choose" if holds_run else "choose"
        raise UserError(
            f"{run} already holds {'a run' if holds_run else 'other files'}; {advice} another folder"
        )
    if names and not holds_run:
        raise UserError(f"there is no run in {run} to resume, only other files; choose another folder")


def take(lock: int, run: Path) -> None:
    """Lock a file by its descriptor until this process ends, however it ends.

    A record lock, not flock: worker processes forked from this one do not keep it alive after a kill.
    """
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise UserError(
                f"another process is training in {run}; wait for it or choose another folder"
            ) from None
        # else a network disk that knows no locks: train without
