"""Portraits as an ordinary folder of pictures, with a table of all that is known of them."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from cluit.core.errors import UserError
from cluit.core.files import whole_folder
from cluit.core.images import as_picture
from cluit.data.factors import BACKGROUNDS, COATS, EYES, OCCLUDERS, PATTERNS, SPECIES, attributes
from cluit.data.folder import ImageFolder
from cluit.data.portraits import BLOCK, Portraits

TABLE, ARGUMENTS = "factors.csv", "portraits.json"
FORMAT_VERSION = 1
COMPARED, SAME = 8, 1.0  # pictures that are drawn again, and levels of 255 by which machines may differ
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
    """Write ``OUT/<label>/<number>.png``, ``OUT/factors.csv``, one row per picture, and
    ``OUT/portraits.json``, by which `portraits_of` knows all of them again.

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
    arguments = {
        "format_version": FORMAT_VERSION, "count": count, "size": size, "seed": seed, "split": split,
        "rare_poses": rare_poses, "hidden": hidden,
        "species_weights": species_weights and dict(species_weights), "coarse": coarse and dict(coarse),
    }  # fmt: skip
    with whole_folder(out) as folder:
        _write(portraits, folder, progress)
        (folder / ARGUMENTS).write_text(json.dumps(arguments, indent=2) + "\n")


def portraits_of(pictures: ImageFolder) -> Portraits | None:
    """The data set that `write_folder` wrote as these ``pictures``, with all that is known of it.

    Its classes are the folder's. None where there is no telling: without ``portraits.json``, at another size
    than the folder's, with one picture more or less or under another name, or where pictures, of which some
    are compared, are not those that would be drawn.
    """
    try:
        arguments = json.loads((pictures.root / ARGUMENTS).read_bytes())
        known = arguments.pop("format_version"), arguments["size"], arguments["count"]
        if known != (FORMAT_VERSION, pictures.size, len(pictures)):
            return None
        portraits = Portraits(**arguments, cache_bytes=0)
    except (OSError, LookupError, ArithmeticError, AttributeError, TypeError, ValueError, UserError):
        return None  # the file is damaged, or another's
    labels = [portraits.classes[label] for label in portraits.labels]
    portraits.classes = sorted(set(labels))  # a species that none has is no subfolder with pictures
    portraits.labels = [portraits.classes.index(label) for label in labels]
    place = {path.relative_to(pictures.root).as_posix(): i for i, path in enumerate(pictures.paths)}
    names = file_names(portraits)
    if place.keys() != set(names):
        return None
    some = range(0, len(names), max(1, len(names) // COMPARED))
    found = pictures.batch([place[names[i]] for i in some]).float()
    error = (portraits.batch(some).float() - found).abs().mean(dim=(1, 2, 3))
    return portraits if error.max() <= SAME and not pictures.skipped else None


def file_names(portraits: Portraits) -> list[str]:
    """Of every picture its place in the folder."""
    return [f"{portraits.classes[label]}/{i:06d}.png" for i, label in enumerate(portraits.labels)]


def refuse_unplain(label: str) -> None:
    """UserError for what would be written elsewhere than into a folder of its own in OUT, or not be seen."""
    if (
        not label
        or label.startswith(".")
        or set(label) & set("/\\:\0")
        or label.lower() in (TABLE, ARGUMENTS)
    ):
        raise UserError(f"{label!r} cannot be the name of a subfolder; choose a plain word")


def _write(portraits: Portraits, folder: Path, progress: Callable[[int], None] | None) -> None:
    files = file_names(portraits)
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
