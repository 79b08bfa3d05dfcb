"""Which pictures a run learns from, and which it is looked at with."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cluit.apps.settings import Settings
from cluit.core.chance import mixed
from cluit.core.config import MethodConfig
from cluit.core.errors import UserError
from cluit.data.dataset import Items, MapStyle, Pictures, as_dataset
from cluit.data.folder import ImageFolder, names_below
from cluit.data.labels import Labelled, Labels, class_labels, listed
from cluit.data.portrait_folder import file_names
from cluit.data.portraits import Portraits
from cluit.data.shard_folder import folder_type
from cluit.data.shards import is_shards, shard_files

PORTRAITS = "portraits"
HELD_OUT_SHARE, HELD_OUT_LEAST, HELD_OUT_MOST = 20, 4, 256  # one picture in 20, within these bounds
FEWEST = 2 * HELD_OUT_LEAST


@dataclass(frozen=True)
class Share:
    """Some of the pictures of a data set, as a data set."""

    whole: Pictures
    chosen: Sequence[int]

    def __len__(self) -> int:
        return len(self.chosen)

    def part(self, chosen: Sequence[int]) -> "Share":
        """Those of the pictures, in that order."""
        return Share(self.whole, [self.chosen[index] for index in chosen])

    def batch(self, indices: Sequence[int]) -> Tensor:
        return self.whole.batch([self.chosen[index] for index in indices])


@dataclass(frozen=True)
class Data:
    """The pictures to train on and those held out: `Labelled` where the method has to be told classes."""

    train: Share | Labelled
    held_out: Share | Labelled
    fingerprint: str
    """Says whether two runs learn from the same pictures."""
    config: MethodConfig
    """The method's, completed by the classes of the pictures where it depends on them."""
    folders: tuple[ImageFolder, ...] = ()

    @property
    def skipped(self) -> dict[Path, str]:
        """Files passed over so far, with the reason; a damaged one may only show when it is decoded."""
        return {path: reason for folder in self.folders for path, reason in folder.skipped.items()}

    @property
    def classes(self) -> tuple[str, ...]:
        """Those that the method is told of some pictures, by their numbers; none where it is not told any."""
        return self.train.labels.classes if isinstance(self.train, Labelled) else ()


def open_data(data: str | Path | MapStyle | None, settings: Settings) -> Data:
    """A folder, tar shards, the word ``portraits`` or a map-style data set, parted as the settings say.

    Which pictures are held out, and of which the method is told the class, depends on their number alone, not
    on the run's seed: so runs compare. UserError where there are too few, or no classes that it needs.
    """
    run, config = settings.run, settings.config
    known, fingerprint, folders = open_known(data, settings)
    whole: Share | Labelled = Share(known, range(len(known)))
    if config.labelled_share:
        whole, config = labelled(known, settings)
    if run.held_out is not None:
        if isinstance(data, str | Path):
            require_others(data, run.held_out, "held-out")
        other = folder_type(run.held_out)(run.held_out, config.image_size, run.fit, minimum=HELD_OUT_LEAST)
        train, held_out = whole, like(whole, other).part(shuffled(len(other))[:HELD_OUT_MOST])
        folders = (*folders, other)
    elif isinstance(data, str | Path) and str(data) == PORTRAITS:
        train, held_out = whole, like(whole, Portraits(HELD_OUT_MOST, config.image_size, split="test"))
    else:
        count = min(HELD_OUT_MOST, max(HELD_OUT_LEAST, len(whole) // HELD_OUT_SHARE))
        order = shuffled(len(whole))
        # They stay shuffled: the first few, which grids show, should not all be of one subfolder.
        train, held_out = whole.part(sorted(order[count:])), whole.part(order[:count])
    if isinstance(train, Labelled) and config.balanced:
        require_members(train, known.classes)
    if isinstance(train, Labelled) and config.labelled_share < 1:
        told = max(1, round(config.labelled_share * len(train)))
        train = train.telling(shuffled(len(train), "told")[:told])
    return Data(train, held_out, fingerprint, config, folders)


def open_known(
    data: str | Path | MapStyle | None, settings: Settings
) -> tuple[ImageFolder | Portraits | Items, str, tuple[ImageFolder, ...]]:
    """All the pictures, what says whether others are the same, and the folders among them."""
    run, size = settings.run, settings.config.image_size
    if data is None:
        raise UserError(
            f"name the data to train on: a folder of pictures or of tar shards, or the word {PORTRAITS}"
        )
    if isinstance(data, str | Path) and str(data) == PORTRAITS:
        drawn = Portraits(run.count, size, cache_bytes=run.cache * 2**20)
        return drawn, f"{run.count} portraits", ()
    if isinstance(data, str | Path):
        folder = folder_type(data)(data, size, run.fit, run.cache * 2**20, FEWEST)
        names = "\n".join(names_of(folder))
        digest = hashlib.blake2b(names.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
        return folder, f"{len(folder)} files {digest}", (folder,)
    items = as_dataset(data, size, run.fit)
    if len(items) < FEWEST:
        raise UserError(f"a data set of {len(items)} pictures is too small; give at least {FEWEST}")
    return items, f"{len(items)} pictures", ()


def labelled(pictures: ImageFolder | Portraits | Items, settings: Settings) -> tuple[Labelled, MethodConfig]:
    """The pictures with their classes, by the method's numbers for them, and its configuration for these.

    UserError where there are no classes, or not those that it can be had for.
    """
    if len(pictures.classes) < 2 or "" in pictures.classes:
        raise UserError(
            f"{settings.run.method} has to be told the class of pictures; put them all into two or more "
            "subfolders, each named after its class"
        )
    labels = class_labels(pictures)
    try:
        config = settings.config.with_classes(labels.classes)
    except ValueError as error:
        raise UserError(str(error)) from error
    return Labelled(pictures, labels.among(getattr(config, "domains", ()) or labels.classes)), config


def like(whole: Share | Labelled, others: ImageFolder | Portraits) -> Share | Labelled:
    """Other pictures, `Labelled` by the same numbers where ``whole`` is. UserError for classes beside its."""
    if not isinstance(whole, Labelled):
        return Share(others, range(len(others)))
    if "" in others.classes:
        raise UserError(
            "held-out pictures need a class where the method is told classes; put them all into subfolders "
            f"of the names {listed(whole.labels.classes)}"
        )
    labels = Labels(tuple(others.classes), torch.tensor(others.labels))
    return Labelled(others, labels.among(whole.labels.classes))


def require_members(train: Labelled, classes: Sequence[str]) -> None:
    """UserError where a class has no picture to train on: all are held out, or none was drawn."""
    there = {train.labels.classes[label] for label in train.values.unique()}
    if missing := sorted(set(classes) - there):
        raise UserError(
            f"no picture to train on is of the class {listed(missing)}; give more of them, or none"
        )


def require_others(data: str | Path, other: str | Path, kind: str) -> None:
    """UserError where pictures of another ``kind`` are training pictures too; ``data`` may be the word."""
    if str(data) == PORTRAITS:
        return
    ours, others = ({path.resolve() for path in _places(one)} for one in (data, other))
    if any(not others.isdisjoint([path, *path.parents]) for path in ours) or any(
        not ours.isdisjoint(path.parents) for path in others
    ):
        raise UserError(
            f"the training pictures in {data} and the {kind} pictures in {other} must not be inside each "
            f"other; give other {kind} pictures"
        )


def _places(data: str | Path) -> list[Path]:
    return shard_files(data) if is_shards(data) else [Path(data).expanduser()]


def names_of(pictures: ImageFolder | Portraits) -> list[str]:
    """Of a folder's pictures their places in it, of portraits what `cluit data portraits` calls them."""
    if isinstance(pictures, ImageFolder):
        return names_below(pictures.root, pictures.paths)
    return file_names(pictures)


def shuffled(count: int, purpose: str = "held out") -> list[int]:
    """The numbers below ``count`` in an order that is the same everywhere, another for each purpose."""
    generator = torch.Generator().manual_seed(mixed(purpose, count))
    return torch.randperm(count, generator=generator).tolist()
