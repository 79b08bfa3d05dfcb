"""The files of a zip or a folder by name. Nothing is ever written by a name that an archive brings."""

import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from cluit.core.errors import UserError
from cluit.data.decode import MAX_BYTES, BadPictureError, read_file

Files = Mapping[str, Callable[[], bytes]]
"""What reads each file, by its name with forward slashes. BadPictureError where it cannot be read."""


@contextmanager
def open_archive(path: Path) -> Iterator[Files]:
    """The files of a zip, or of a folder and of the zips in it.

    A folder is how some sets are handed out: pictures in a zip, tables beside it. Of a zip, the tables beside
    it count too. Hidden files, links and folders are left out; what is outside a zip's own tree by its name
    (``../x``) is nothing but an odd name here. UserError where there is no such archive, or it is damaged.
    """
    if not path.exists():
        raise UserError(f"there is no archive at {path}; name a zip, a folder or a URL")
    with ExitStack() as opened:
        files = dict[str, Callable[[], bytes]]()
        if path.is_dir():
            for found in sorted(_walk(path)):
                files[found.relative_to(path).as_posix()] = partial(read_file, found)
            zips = [path / name for name in files if name.lower().endswith(".zip")]
        else:
            beside = (one for one in sorted(path.parent.iterdir()) if one.suffix in (".txt", ".csv"))
            files |= {one.name: partial(read_file, one) for one in beside if one.is_file()}
            zips = [path]
        for one in zips:
            files |= _zipped(opened, one)
        yield files


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _ignored(name)]
        yield from (Path(parent, name) for name in names if not _ignored(name))


def _ignored(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _zipped(opened: ExitStack, path: Path) -> dict[str, Callable[[], bytes]]:
    try:
        archive = opened.enter_context(zipfile.ZipFile(path))
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"{path} is not a zip, or only a part of one ({error}); fetch it again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; choose another") from error
    members = (info for info in archive.infolist() if not info.is_dir() and not _ignored(info.filename))
    return {
        info.filename: partial(_member, archive, info, path)
        for info in members
        if not stat.S_ISLNK(info.external_attr >> 16)
    }


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    name = path / info.filename
    if info.file_size > MAX_BYTES:
        raise BadPictureError(name, f"enormous: {info.file_size:,} bytes, more than {MAX_BYTES:,}")
    try:
        return archive.read(info)
    except MemoryError:
        raise
    except Exception as error:  # damage, a password, a compression that Python lacks
        raise BadPictureError(name, f"cannot be unpacked: {error}") from error
