"""Any map-style data set of pictures, as the loader wants it."""

import operator
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cluit.core.errors import UserError
from cluit.data.decode import Fit, as_seen, fit_square
from cluit.data.folder import ImageFolder
from cluit.data.portraits import Portraits


class Pictures(Protocol):
    """What the loader reads: ImageFolder and Portraits are such; ``as_dataset`` makes one of the rest."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], /) -> Tensor:
        """uint8 (N, 3, H, W), one row per index. Called from several threads at once."""


class MapStyle(Protocol):
    """Anything with a length and items by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def as_image(picture: object) -> Image.Image:
    """One picture, whole, RGB, as the eye sees it.

    picture: a PIL image of any mode; a numpy array of uint8, (H, W) or (H, W, C); or a tensor of uint8,
    (H, W) or (C, H, W). C is 1 (grey), 3 (RGB) or 4 (RGB and alpha, put on white). UserError for the rest:
    floats too, as they may mean [0, 1] or [-1, 1].
    """
    if isinstance(picture, Tensor):
        picture = picture.permute(1, 2, 0).cpu().numpy() if picture.ndim == 3 else picture.cpu().numpy()
    if isinstance(picture, np.ndarray):
        if 0 in picture.shape:
            raise UserError(f"a picture must have pixels, got shape {picture.shape}")
        channels = {2: (1,), 3: picture.shape[2:]}.get(picture.ndim)
        if picture.dtype != np.uint8 or channels not in ((1,), (3,), (4,)):
            raise UserError(
                f"a picture must be of uint8 with 1, 3 or 4 channels, (H, W, C) in numpy and (C, H, W) in "
                f"torch, got {picture.dtype} in channels-last shape {picture.shape}"
            )
        picture = Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)
    if not isinstance(picture, Image.Image):
        raise UserError(f"a picture is a PIL image, a numpy array or a tensor, not {type(picture).__name__}")
    if 0 in picture.size:
        raise UserError(f"a picture must have pixels, got {picture.width}x{picture.height}")
    return as_seen(picture)


def as_pixels(picture: object, size: int, fit: Fit = "crop") -> Tensor:
    """One picture, of any kind that ``as_image`` takes, -> uint8 (3, size, size)."""
    return fit_square(as_image(picture), size, fit)


class Items:
    """The pictures, and the labels if they are asked for, of a map-style data set."""

    def __init__(self, items: MapStyle, size: int, fit: Fit) -> None:
        self.items, self.size, self.fit = items, size, fit
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Tensor:
        """uint8 (3, size, size)."""
        picture, _ = self._read(index)
        try:
            return as_pixels(picture, self.size, self.fit)
        except UserError as error:
            raise UserError(f"item {index} of the data set: {error}") from error

    def batch(self, indices: Sequence[int]) -> Tensor:
        return torch.stack([self[index] for index in indices])

    def _read(self, index: int) -> tuple[Any, Any]:
        """A picture and what stands beside it, None where nothing does."""
        with self._lock:  # map-style data sets are written for one thread: file handles, lazily read pictures
            try:
                item = self.items[index]
                parts: list[Any] = [*item, None, None] if isinstance(item, (tuple, list)) else [item, None]
                picture, label = parts[:2]
                if isinstance(picture, Mapping):
                    label, picture = picture.get("label", label), picture.get("image")
                if isinstance(picture, Image.Image):
                    picture.load()
            except Exception as error:  # the data set's own, whatever it is
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise UserError(f"item {index} of the data set cannot be read ({reason})") from error
        return picture, label

    @cached_property
    def _told(self) -> list[int | str]:
        """The label of each item; all are read for it."""
        told = list[int | str]()
        for index in range(len(self)):
            label = self._read(index)[1]
            try:
                told.append(label if isinstance(label, str) else operator.index(label))
            except TypeError:
                raise UserError(
                    f"item {index} of the data set has no label that is a whole number or a name; "
                    "give items (picture, label)"
                ) from None
        if len({isinstance(label, str) for label in told}) > 1:
            raise UserError("some labels of the data set are numbers and some are names; give either")
        return told

    @property
    def classes(self) -> list[str]:
        """The labels that there are, by name, in order; those that are numbers by their digits."""
        return [str(label) for label in sorted(set(self._told))]

    @property
    def labels(self) -> list[int]:
        """The class of each item, by its place in ``classes``. UserError for an item without one."""
        place = {name: number for number, name in enumerate(self.classes)}
        return [place[str(label)] for label in self._told]


def as_dataset(items: MapStyle, size: int, fit: Fit = "crop") -> ImageFolder | Portraits | Items:
    """Any map-style data set -> pictures of uint8 (3, size, size) for ``batches``.

    An item is a picture as in ``as_pixels``, a tuple or list that starts with one, or a mapping with one
    under "image"; its label, if any, comes second, or under "label". Portraits and ImageFolder, at that size,
    are returned as they are. UserError where ``items`` has no length or no items by number.
    """
    if fit not in get_args(Fit):
        raise UserError(f"unknown fit {fit!r}; choose crop or resize")
    if isinstance(items, ImageFolder | Portraits) and items.size == size:
        return items
    try:
        len(items)
    except Exception as error:  # it may be anybody's __len__
        raise UserError(f"a data set must tell its length ({error}); give a folder or a list") from error
    if not hasattr(items, "__getitem__"):
        raise UserError(
            f"a data set must have items by number, a {type(items).__name__} has none; give a list"
        )
    return Items(items, size, fit)
