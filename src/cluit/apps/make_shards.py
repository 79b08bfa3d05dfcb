"""`cluit data shards`: a folder of pictures as tar shards, for storage that likes few large files."""

from pathlib import Path

from cluit.apps.portraits import bar
from cluit.core.errors import UserError
from cluit.core.files import whole_folder
from cluit.data.decode import BadPictureError
from cluit.data.folder import ImageFolder
from cluit.data.shards import ShardWriter


def make_shards(folder: Path, out: Path, per_shard: int) -> None:
    """Write every picture under ``folder``, as it is, into tars of ``per_shard`` pictures in the new ``out``.

    Keys are the pictures' places in the folder, so that subfolders stay classes. Prints what was passed over.
    UserError where ``out`` holds something already or lies in ``folder``.
    """
    if out.expanduser().resolve().is_relative_to(folder.expanduser().resolve()):
        raise UserError(f"{out} is inside {folder}, which it would be packed into; choose another OUT")
    pictures = ImageFolder(folder, size=1, cache_bytes=0, minimum=1)
    skipped = dict(pictures.skipped)
    with (
        whole_folder(out.expanduser()) as unfinished,
        ShardWriter(unfinished, per_shard) as writer,
        bar() as progress,
    ):
        for path in progress.track(pictures.paths):
            place = path.relative_to(pictures.root)
            try:
                data = pictures.read(path)
            except BadPictureError as bad:
                skipped[path] = bad.reason
                continue
            writer.write(place.with_suffix("").as_posix(), {place.suffix[1:].lower(): data})
    count = len(pictures) - (len(skipped) - len(pictures.skipped))
    print(f"{count} pictures in {len(writer.finished)} shards in {out}")
    for path, reason in skipped.items():
        print(f"left out {path}: {reason}")
