"""Make data sets, and the judge that reads portraits."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


def data_portraits(
    out: Annotated[Path, Positional, arg(metavar="OUT")],
    *,
    count: int = 1000,
    size: int = 64,
    seed: int = 0,
    split: str = "train",
    rare_poses: float = 0.0,
    hidden: float = 0.0,
    species_weights: dict[str, float] = {},  # noqa: B006 (never changed)
    coarse: dict[str, str] = {},  # noqa: B006
) -> None:
    """Draw portraits into an ordinary folder, with a table of their factors.

    Args:
        out: A new folder.
        count: How many.
        size: Side of the pictures: 32, 64, 128 or 256.
        seed: Of the factors.
        split: Two splits of one seed have no picture in common.
        rare_poses: Share of extreme poses.
        hidden: Share of partly hidden faces.
        species_weights: How often species come, e.g. cat 3 dog 1 and no other; by default all equally often.
        coarse: Other names for the subfolders of species, e.g. cat wild fox wild.
    """
    from cluit.apps.portraits import draw_folder

    draw_folder(
        out, count=count, size=size, seed=seed, split=split, rare_poses=rare_poses, hidden=hidden,
        species_weights=species_weights, coarse=coarse,
    )  # fmt: skip


def data_prepare(
    name: Annotated[Literal["afhq", "afhqv2", "celeba"], Positional, arg(metavar="NAME")],
    archive: Annotated[str, Positional, arg(metavar="ARCHIVE_OR_URL")],
    out: Annotated[Path, Positional, arg(metavar="OUT")],
    *,
    size: int | None = None,
    sha256: str | None = None,
) -> None:
    """Turn a published data set's archive into folders of pictures, one for each split.

    The same command goes on where it was stopped, the download too. Counts are compared with the authors'.

    Args:
        name: afhq, afhqv2, or celeba: of its aligned pictures the central 178 px are kept, its attributes
            become OUT/attributes.csv.
        archive: A zip, a folder, or a URL, whose file is kept beside OUT. CelebA's two tables may lie in the
            archive or beside it.
        out: A new folder.
        size: Side to resize the pictures' central squares to; by default they are kept as they are.
        sha256: Of the archive, to be checked before it is opened.
    """
    from cluit.apps.prepare import prepare

    prepare(name, archive, out, size=size, sha256=sha256)


def data_shards(
    folder: Annotated[Path, Positional, arg(metavar="FOLDER")],
    out: Annotated[Path, Positional, arg(metavar="OUT")],
    *,
    per_shard: int = 1000,
) -> None:
    """Pack a folder of pictures into tar shards (WebDataset's layout), which all commands read as a folder.

    Args:
        folder: Pictures, in subfolders or not; those that cannot be used are left out and listed.
        out: A new folder, for shard-000000.tar and so on.
        per_shard: Pictures in each.
    """
    from cluit.apps.make_shards import make_shards

    make_shards(folder, out, per_shard)


def data_reader(
    out: Annotated[Path, Positional, arg(metavar="OUT")], *, steps: int = 1600, seed: int = 0
) -> None:
    """Train the judge of portraits anew: what reads species and pose from a picture.

    Args:
        out: A file to write, *.safetensors; the judge in use is cluit/assets/reader.safetensors.
        steps: Of training, each on freshly drawn portraits.
        seed: Of the training.
    """
    from cluit.apps.portraits import make_reader

    make_reader(out, steps, seed)
