"""`cluit data prepare`: a published data set's archive, or its URL, into folders of pictures."""

import hashlib
import sys
from collections import Counter
from pathlib import Path, PurePosixPath

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from cluit.apps.portraits import bar
from cluit.core.errors import UserError
from cluit.core.files import disk_errors
from cluit.data.prepare.afhq import AFHQ, AFHQ_V2
from cluit.data.prepare.archive import open_archive
from cluit.data.prepare.celeba import CELEBA
from cluit.data.prepare.download import download, file_name, is_url
from cluit.data.prepare.layout import Layout, Published, differences
from cluit.data.prepare.unpack import resumable_folder, unpack

SETS = {"afhq": AFHQ, "afhqv2": AFHQ_V2, "celeba": CELEBA}
SHOWN = 5  # names of files that are told one by one


def prepare(name: str, archive: str, out: Path, *, size: int | None, sha256: str | None) -> None:
    """Turn the archive of the set ``name`` into the new folder ``out``; print what is in it.

    archive: a zip, a folder, or a URL, whose file is kept beside ``out``. Other arguments as the command's
    flags. What differs from the authors' counts is told, and no reason to stop. UserError for whatever is
    wrong; the same command then goes on where this one stopped.
    """
    if size is not None and size < 1:
        raise UserError(f"size must be positive, got {size}")
    known, out = SETS[name], out.expanduser().absolute()
    place = fetched(archive, out.parent, known.home) if is_url(archive) else Path(archive).expanduser()
    if out.resolve().is_relative_to(place.resolve()):
        raise UserError(f"{out} is inside the archive {place}; choose another OUT")
    if sha256 is not None:
        require_checksum(place, sha256)
    with open_archive(place) as files, bar() as progress:
        layout = known.layout(files)
        begun = {
            "set": name,
            "archive": str(place.resolve()),
            "size": size,
            "content": summary(layout, place),
        }
        task = progress.add_task("", total=len(layout.pictures))
        with resumable_folder(out, begun) as folder:
            skipped = unpack(
                files,
                layout,
                folder,
                size or known.square,
                lambda done: progress.update(task, completed=done),
            )
    report(known, layout, skipped, out)


def fetched(url: str, folder: Path, elsewhere: str) -> Path:
    """The file at ``url`` in ``folder``, downloaded unless it is there."""
    target = folder / file_name(url)
    if target.exists():
        print(f"{target} is there already, and taken for {url}")
        return target
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=None)
        download(
            url, target, elsewhere, lambda have, total: progress.update(task, completed=have, total=total)
        )
    print(f"downloaded {target}")
    return target


def require_checksum(path: Path, wanted: str) -> None:
    """UserError unless the file at ``path`` has the SHA-256 ``wanted``, in hexadecimal."""
    wanted = wanted.lower().removeprefix("sha256:")
    if len(wanted) != 64 or set(wanted) - set("0123456789abcdef"):
        raise UserError(
            f"a SHA-256 has 64 hexadecimal digits, {wanted!r} has not; give --sha256 as published"
        )
    if not path.is_file():
        raise UserError(f"{path} is not a file, so that it has no SHA-256; leave out --sha256")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; choose another") from error
    if found != wanted:
        raise UserError(f"{path} has the SHA-256 {found}, not {wanted}; remove it and fetch it again")


def summary(layout: Layout, archive: Path) -> str:
    """Says whether two archives hold the same pictures, by names and the archive's own size and time."""
    status = archive.stat()
    own = f"{status.st_size} {status.st_mtime_ns}" if archive.is_file() else ""
    return hashlib.blake2b(f"{own} {sorted(layout.pictures.items())}".encode(), digest_size=16).hexdigest()


def report(known: Published, layout: Layout, skipped: dict[str, str], out: Path) -> None:
    """Print what was written, and on standard error what a user should know of it."""
    written = [place for place, name in layout.pictures.items() if name not in skipped]
    print(f"{len(written):,} pictures in {out}")
    for folder, count in sorted(Counter(str(PurePosixPath(place).parent) for place in written).items()):
        print(f"  {folder}: {count:,}")
    for name in layout.tables:
        print(f"  {name}")
    notes = list(layout.notes)
    for folder, (found, counted) in differences(known.counts, written).items():
        notes.append(f"{folder} has {found:,} pictures, its authors count {counted:,}")
    notes += [f"left out {name}: {reason}" for name, reason in list(skipped.items())[:SHOWN]]
    if len(skipped) > SHOWN:
        notes.append(f"left out {len(skipped) - SHOWN:,} more files that cannot be used")
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
