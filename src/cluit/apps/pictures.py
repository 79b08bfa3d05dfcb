"""Which pictures a run learns from, and which it is looked at with."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cluit.apps.settings import Settings
from cluit.core.chance import mixed
from cluit.core.errors import UserError
from cluit.data.dataset import MapStyle, Pictures, as_dataset
from cluit.data.folder import ImageFolder
from cluit.data.portraits import Portraits

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

    def batch(self, indices: Sequence[int]) -> Tensor:
        return self.whole.batch([self.chosen[index] for index in indices])


@dataclass(frozen=True)
class Data:
    """The pictures to train on and those held out from training."""

    train: Pictures
    held_out: Pictures
    fingerprint: str
    """Says whether two runs learn from the same pictures."""
    folders: tuple[ImageFolder, ...] = ()

    @property
    def skipped(self) -> dict[Path, str]:
        """Files passed over so far, with the reason; a damaged one may only show when it is decoded."""
        return {path: reason for folder in self.folders for path, reason in folder.skipped.items()}


def open_data(data: str | Path | MapStyle | None, settings: Settings) -> Data:
    """A folder, the word ``portraits`` or a map-style data set, parted as the settings say.

    Which pictures are held out depends on their number alone, not on the run's seed: so runs compare.
    UserError where there are too few.
    """
    run, size = settings.run, settings.config.image_size
    folders: tuple[ImageFolder, ...] = ()
    if data is None:
        raise UserError(f"name the data to train on: a folder of pictures, or the word {PORTRAITS}")
    if isinstance(data, str | Path) and str(data) == PORTRAITS:
        whole: Pictures = Portraits(run.count, size, cache_bytes=run.cache * 2**20)
        fingerprint = f"{run.count} portraits"
        if run.held_out is None:
            return Data(whole, Portraits(HELD_OUT_MOST, size, split="test"), fingerprint)
    elif isinstance(data, str | Path):
        whole = folder = ImageFolder(data, size, run.fit, run.cache * 2**20, FEWEST)
        names = "\n".join(names_of(folder))
        digest = hashlib.blake2b(names.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
        fingerprint, folders = f"{len(folder)} files {digest}", (folder,)
    else:
        whole = as_dataset(data, size, run.fit)
        fingerprint = f"{len(whole)} pictures"
        if len(whole) < FEWEST:
            raise UserError(f"a data set of {len(whole)} pictures is too small; give at least {FEWEST}")
    if run.held_out is not None:
        if isinstance(data, str | Path):
            require_others(data, run.held_out, "held-out")
        other = ImageFolder(run.held_out, size, run.fit, minimum=HELD_OUT_LEAST)
        chosen = shuffled(len(other))[:HELD_OUT_MOST]
        return Data(whole, Share(other, chosen), fingerprint, (*folders, other))
    order, count = shuffled(len(whole)), min(HELD_OUT_MOST, max(HELD_OUT_LEAST, len(whole) // HELD_OUT_SHARE))
    # Held out pictures stay shuffled: the first few, which grids show, should not all be of one subfolder.
    held_out, rest = Share(whole, order[:count]), Share(whole, sorted(order[count:]))
    return Data(rest, held_out, fingerprint, folders)


def require_others(data: str | Path, other: str | Path, kind: str) -> None:
    """UserError where pictures of another ``kind`` are training pictures too; ``data`` may be the word."""
    if str(data) == PORTRAITS:
        return
    inner, outer = (Path(one).expanduser().resolve() for one in (data, other))
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise UserError(
            f"the training pictures in {data} and the {kind} pictures in {other} must not be inside each "
            f"other; give other {kind} pictures"
        )


def names_of(pictures: ImageFolder | Portraits) -> list[str]:
    """Of a folder's pictures their places in it, of portraits what `cluit data portraits` calls them."""
    if isinstance(pictures, ImageFolder):
        return [path.relative_to(pictures.root).as_posix() for path in pictures.paths]
    return [f"{pictures.classes[label]}/{i:06d}.png" for i, label in enumerate(pictures.labels)]


def shuffled(count: int) -> list[int]:
    """The numbers below ``count`` in an order that is the same everywhere."""
    generator = torch.Generator().manual_seed(mixed("held out", count))
    return torch.randperm(count, generator=generator).tolist()
