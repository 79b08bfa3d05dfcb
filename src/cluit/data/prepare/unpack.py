"""Pictures out of an archive into a folder that takes its name once it is whole.

Work that was stopped is gone on with: pictures that are written already are not made again.
"""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors, sync_folder
from cluit.core.images import as_picture
from cluit.data.decode import BadPictureError, fit_square, picture_of, read_header
from cluit.data.prepare.archive import Files
from cluit.data.prepare.layout import Layout

BEGUN = ".begun.json"
"""In an unfinished folder, what it was begun with: only the same is gone on with."""
AT_ONCE = 256
SAVED_AS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}


@contextmanager
def resumable_folder(out: Path, begun: Mapping[str, object]) -> Iterator[Path]:
    """A folder beside ``out`` to fill, which takes that name once it is complete.

    Whatever fails leaves it for the next call with an equal ``begun``, which says all that its files depend
    on; a call with another begins anew. UserError where ``out`` holds something or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already; choose a folder that does not, or an empty one")
    unfinished = out.with_name(f".{out.name}.unfinished")
    text = json.dumps(begun, indent=2)
    with disk_errors(out):
        mark = unfinished / BEGUN
        if not mark.is_file() or mark.read_text() != text:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            with atomic_file(mark) as file:
                file.write(text.encode())
        yield unfinished
        mark.unlink()
        unfinished.replace(out)
        sync_folder(out.parent)


def unpack(
    files: Files,
    layout: Layout,
    folder: Path,
    side: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, str]:
    """Write the pictures and tables of ``layout``; return the pictures that cannot be used, with the reason.

    side: of the central square that each picture becomes, saved in its own format; None copies the file as
        it is, once its header shows that it is a picture.
    progress: called with the number of pictures done.
    """
    for parent in {Path(place).parent for place in layout.pictures}:
        (folder / parent).mkdir(parents=True, exist_ok=True)

    def write(place: str) -> str | None:
        target, name = folder / place, layout.pictures[place]
        if target.exists():
            return None
        try:
            data = as_square(files[name](), Path(name), side)
        except BadPictureError as bad:
            return bad.reason
        unfinished = target.with_name(f".{target.name}.tmp")
        unfinished.write_bytes(data)
        os.replace(unfinished, target)
        return None

    places, skipped = list(layout.pictures), dict[str, str]()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(places), AT_ONCE):
            some = places[first : first + AT_ONCE]
            for place, reason in zip(some, pool.map(write, some), strict=True):
                if reason is not None:
                    skipped[layout.pictures[place]] = reason
            if progress is not None:
                progress(first + len(some))
    for name, text in layout.tables.items():
        (folder / name).write_text(text, encoding="utf-8")
    return skipped


def as_square(data: bytes, name: Path, side: int | None) -> bytes:
    """A picture's file as one of its central square, in the same format; as it is where ``side`` is None."""
    if side is None:
        read_header(io.BytesIO(data), name)
        return data
    picture = as_picture(fit_square(picture_of(data, name, side), side))
    kind = Image.registered_extensions()[name.suffix.lower()]
    file = io.BytesIO()
    picture.save(file, kind, **SAVED_AS.get(kind, {}))
    return file.getvalue()
