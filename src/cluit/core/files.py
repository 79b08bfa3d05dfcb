"""Files that are whole or not there: a process killed at any instant leaves the old file or the new one."""

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO
from zlib import crc32

from cluit.core.errors import UserError

STRAYS = ".*.tmp"
"""What a killed writer may leave behind, as a glob pattern."""

LOCK = "lock"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write ``path`` anew, under another name until it is whole and on the disk.

    Whatever fails leaves the old file as it was and nothing beside it. UserError where the disk refuses.
    """
    short = crc32(os.fsencode(path.name))  # the name itself may be as long as the disk allows
    temporary = path.with_name(f".{short:08x}.{threading.get_native_id()}.tmp")
    try:
        with disk_errors(path):
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the name ``out`` once it is complete.

    Whatever fails leaves nothing. UserError where ``out`` holds something already or cannot be written.
    """
    out = out.resolve()
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"{out} exists already; choose a folder that does not, or an empty one")
        if out == Path.cwd() or out.is_mount():  # neither can give way to the finished folder
            raise UserError(f"{out} is in use as it is; name a new folder in it")
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            with told_as(unfinished, out):
                yield unfinished
            unfinished.chmod(0o755)
            unfinished.replace(out)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        advice = "free some space" if error.errno in FULL else "choose another folder"
        raise UserError(f"cannot write to {out}: {error.strerror or error}; {advice}") from error


@contextmanager
def together(folder: Path) -> Iterator[Path]:
    """A new folder, whose files go into ``folder``, made if need be, once all of them are written.

    What is there by their names gives way. Whatever fails before leaves what was there. UserError where the
    disk refuses.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=folder))
    try:
        with told_as(unfinished, folder):
            yield unfinished
        with disk_errors(folder):
            for path in sorted(unfinished.iterdir()):
                path.replace(folder / path.name)
            sync_folder(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def told_as(hidden: Path, shown: Path) -> Iterator[None]:
    """UserErrors that name ``shown`` where they would name a folder that goes with its writer."""
    try:
        yield
    except UserError as error:
        if str(hidden) not in str(error):
            raise
        raise UserError(str(error).replace(str(hidden), str(shown))) from error


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A new folder in ``parent``, an existing one, that goes with this context.

    What a killed process has left there goes when the next one comes: in each folder its process locks a
    file, and a lock ends with its process. UserError where the disk refuses.
    """
    with disk_errors(parent), (parent / LOCK).open("w") as gate:
        _lock(gate, wait=True)  # until another is through with this: a folder is born locked
        for held in parent.glob(f"*/{LOCK}"):
            with suppress(OSError), held.open("r+") as file:
                if _lock(file):
                    shutil.rmtree(held.parent)
        folder = Path(tempfile.mkdtemp(dir=parent))
        own = (folder / LOCK).open("w")
        _lock(own)
    with own:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _lock(file: IO[str], wait: bool = False) -> bool:
    """Whether the file is now this process's; False too on a disk that knows no locks."""
    import fcntl  # which Windows lacks: whoever only reads models needs none

    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def cache_folder(kind: str) -> Path:
    """``$XDG_CACHE_HOME/cluit/<kind>`` (``~/.cache`` by default), made if need be."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(home).expanduser() / "cluit" / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror}; set XDG_CACHE_HOME to another") from error
    return folder


def sync_folder(folder: Path) -> None:
    """Put the names in ``folder`` on the disk: a renamed file may otherwise be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a refusal of the disk to write ``path`` into a UserError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch.save hides the disk's error behind its own RuntimeError
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        advice = "free some space" if cause.errno in FULL else "choose a folder that can be written"
        raise UserError(f"cannot write {path}: {cause.strerror or cause}; {advice}") from error


def disk_is_full(error: BaseException | None) -> bool:
    """Whether that is behind an error, whatever it was turned into since."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
