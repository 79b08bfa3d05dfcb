"""Portraits as an ordinary folder of pictures, with a table of all that is known of them."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from cluit.core.errors import UserError
from cluit.core.files import whole_folder
from cluit.core.images import as_picture
from cluit.data.factors import BACKGROUNDS, COATS, EYES, OCCLUDERS, PATTERNS, SPECIES, attributes
from cluit.data.portraits import BLOCK, Portraits

TABLE = "factors.csv"
NAMES = {
    "species": SPECIES,
    "coat": COATS,
    "pattern": PATTERNS,
    "eyes": EYES,
    "background": BACKGROUNDS,
    "occluder": OCCLUDERS,
}


def write_folder(
    out: Path,
    count: int,
    size: int,
    seed: int = 0,
    split: str = "train",
    *,
    rare_poses: float = 0.0,
    hidden: float = 0.0,
    species_weights: Mapping[str, float] | None = None,
    coarse: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write ``OUT/<label>/<number>.png`` and ``OUT/factors.csv``, one row per picture.

    Options as in ``Portraits``; progress is called with the number of pictures written so far. The folder
    appears whole or not at all. UserError where OUT holds something already or cannot be written, and for a
    label that is no plain name of a folder.
    """
    for label in (coarse or {}).values():
        refuse_unplain(label)
    portraits = Portraits(
        count,
        size,
        seed,
        split,
        rare_poses=rare_poses,
        hidden=hidden,
        species_weights=species_weights,
        coarse=coarse,
        cache_bytes=0,
    )
    with whole_folder(out) as folder:
        _write(portraits, folder, progress)


def refuse_unplain(label: str) -> None:
    """UserError for what would be written elsewhere than into a folder of its own in OUT, or not be seen."""
    if not label or label.startswith(".") or set(label) & set("/\\:\0") or label.lower() == TABLE:
        raise UserError(f"{label!r} cannot be the name of a subfolder; choose a plain word")


def _write(portraits: Portraits, folder: Path, progress: Callable[[int], None] | None) -> None:
    files = [f"{portraits.classes[label]}/{i:06d}.png" for i, label in enumerate(portraits.labels)]
    for name in portraits.classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for first in range(0, len(files), BLOCK):
        some = range(first, min(first + BLOCK, len(files)))
        for i, pixels in zip(some, portraits.batch(some), strict=True):
            as_picture(pixels).save(folder / files[i])
        if progress is not None:
            progress(some.stop)
    columns = {"file": files, **_columns(portraits)}
    with (folder / TABLE).open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _columns(portraits: Portraits) -> dict[str, list[object]]:
    """All factors, numbers in six digits; choices by name; then the attributes as 0 and 1."""
    columns: dict[str, list[object]] = {}
    for name, values in {**vars(portraits.style), **vars(portraits.structure)}.items():
        if name in NAMES:
            columns[name] = [NAMES[name][i] for i in values.tolist()]
        else:
            columns[name] = [f"{value:.6g}" for value in values.tolist()]
    for name, values in attributes(portraits.style).items():
        columns[f"is: {name}"] = values.long().tolist()
    return columns
