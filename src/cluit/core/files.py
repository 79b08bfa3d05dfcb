"""Files that are whole or not there: a process killed at any instant leaves the old file or the new one."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from cluit.core.errors import UserError

STRAYS = ".*.tmp"
"""What a killed writer may leave behind, as a glob pattern."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write ``path`` anew, under another name until it is whole and on the disk.

    Whatever fails leaves the old file as it was and nothing beside it. UserError where the disk refuses.
    """
    short = crc32(os.fsencode(path.name))  # the name itself may be as long as the disk allows
    temporary = path.with_name(f".{short:08x}.{os.getpid()}.tmp")
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
