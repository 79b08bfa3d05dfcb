"""A folder of pictures as a data set: files -> uint8, each decoded once while memory allows."""

import os
import threading
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cluit.core.errors import UserError
from cluit.data.decode import (
    SUFFIXES,
    BadPictureError,
    Fit,
    check_header,
    fit_square,
    picture_of,
    read_file,
)

SCAN_THREADS = 8
SCANNED_AT_ONCE = 64  # files to a thread: threads that take turns for every file cost twice as much


class ImageFolder:
    """Every picture under ``root``, however nested, in the order of their relative names: the same anywhere.

    ``[i]`` is uint8 (3, size, size); ``batch(indices)`` is uint8 (N, 3, size, size). Both are thread-safe.

    paths, labels: one of each per picture. A label indexes ``classes``, the sorted names of the first-level
        subfolders; pictures in ``root`` itself belong to the class named "". Labels are for
        evaluation, and for methods that have to be told classes.
    skipped: the files and folders that were passed over, with the reason.

    At the start only headers are read. A file whose body turns out to be damaged when it is first decoded
    joins ``skipped`` with one warning, and the next good file takes its place, in ``paths`` and ``labels``
    too, for good: which pictures position i shows depends on the files alone, never on the order of reading.

    Hidden files and folders are ignored. Links are followed, each folder is entered once.
    """

    def __init__(
        self,
        root: str | Path,
        size: int,
        fit: Fit = "crop",
        cache_bytes: int = 2**30,
        minimum: int = 2,
    ) -> None:
        """
        size: the pictures' side, in pixels.
        fit: "crop" keeps the central square of a picture, "resize" squeezes all of it into one.
        cache_bytes: memory for decoded pictures, reserved but not touched before it is filled. The pictures
            that do not fit are decoded anew each time. 0 keeps none.
        minimum: UserError where fewer good pictures than this remain, now or later.
        """
        if size < 1 or cache_bytes < 0:
            raise UserError(f"size must be positive and cache_bytes at least 0, got {size} and {cache_bytes}")
        if fit not in get_args(Fit):
            raise UserError(f"unknown fit {fit!r}; choose crop or resize")
        self.root, self.size, self.fit, self.minimum = Path(root).expanduser(), size, fit, minimum
        found, self.skipped = self.find()
        self.paths = [path for path in found if path not in self.skipped]
        self._found, self._good = len(found), len(self.paths)
        self._demand_enough()

        self.classes = sorted({found[path] for path in self.paths})
        number = {name: label for label, name in enumerate(self.classes)}
        self.labels = [number[found[path]] for path in self.paths]
        self.cache = np.empty((min(len(self), cache_bytes // (3 * size * size)), 3, size, size), np.uint8)
        self._held = np.zeros(len(self.cache), bool)
        self._lock = threading.Lock()

    def find(self) -> tuple[dict[Path, str], dict[Path, str]]:
        """The class of every picture under ``root``, in order; and what cannot be used, with the reason."""
        paths, skipped = _find(self.root)
        classes = dict(zip(paths, map(_class_name, names_below(self.root, paths)), strict=True))
        return classes, skipped | _faults(paths)

    def read(self, path: Path) -> bytes:
        """The file of one of ``paths``, as it is. BadPictureError where it cannot be read."""
        return read_file(path)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        """uint8 (3, size, size)."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        return self.batch([index % len(self)])[0]

    def batch(self, indices: Sequence[int] | Tensor) -> Tensor:
        """uint8 (N, 3, size, size), in the order of ``indices`` (each from 0 to len - 1)."""
        pixels = np.empty((len(indices), 3, self.size, self.size), np.uint8)
        for row, index in zip(pixels, indices, strict=True):
            row[...] = self._pixels(int(index))
        return torch.from_numpy(pixels)

    def _pixels(self, index: int) -> np.ndarray:
        kept = index < len(self.cache)
        if kept and self._held[index]:
            return self.cache[index]
        pixels = self._decode(index)
        if kept:  # two threads may both come here: they write the same bytes
            self.cache[index] = pixels
            self._held[index] = True
        return pixels

    def _decode(self, index: int) -> np.ndarray:
        while True:
            path = self.paths[index]
            try:
                picture = picture_of(self.read(path), path, side=self.size)
                return fit_square(picture, self.size, self.fit).numpy()
            except BadPictureError as bad:
                self._replace(index, path, bad.reason)

    def _replace(self, index: int, path: Path, reason: str) -> None:
        """Let the next file not known to be bad stand at ``index``."""
        with self._lock:
            news = path not in self.skipped
            self.skipped[path] = reason
            self._good -= news
            self._demand_enough()
            others = (other % len(self) for other in range(index + 1, index + len(self)))
            heir = next(other for other in others if self.paths[other] not in self.skipped)
            self.paths[index], self.labels[index] = self.paths[heir], self.labels[heir]
        if news:
            with suppress(OSError):  # of a lost console: it must not end a training
                warnings.warn(f"skipped {path}: {reason}; the next picture takes its place", stacklevel=2)

    def _demand_enough(self) -> None:
        if self._good >= max(1, self.minimum):
            return
        if not self._found and not self.skipped:
            raise UserError(f"no pictures under {self.root}; looked for {', '.join(SUFFIXES)}")
        first = "; ".join(f"{path.name}: {reason}" for path, reason in list(self.skipped.items())[:3])
        found = f" of {self._found}" if self._good < self._found else ""
        things = "picture" if self._good == 1 and not found else "pictures"
        raise UserError(
            f"only {self._good}{found} {things} under {self.root} can be used, "
            f"at least {max(1, self.minimum)} are needed" + (f" ({first})" if first else "")
        )


def names_below(root: Path, paths: Iterable[Path]) -> list[str]:
    """Names of paths within ``root``, relative to it, with forward slashes; as `Path.relative_to`, in a tenth
    of its time."""
    depth = len(root.parts)
    return ["/".join(path.parts[depth:]) for path in paths]


def _class_name(name: str) -> str:
    folder, slash, _ = name.partition("/")
    return folder if slash else ""


def _faults(paths: list[Path]) -> dict[Path, str]:
    """Which files are shown to be unusable by their headers, and why."""

    def faults(some: list[Path]) -> dict[Path, str]:
        found = {}
        for path in some:
            try:
                check_header(path)
            except BadPictureError as bad:
                found[path] = bad.reason
        return found

    parts = [paths[first : first + SCANNED_AT_ONCE] for first in range(0, len(paths), SCANNED_AT_ONCE)]
    with ThreadPoolExecutor(SCAN_THREADS) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # they are in the list that we return
        return {path: reason for found in pool.map(faults, parts) for path, reason in found.items()}


def _find(root: Path) -> tuple[list[Path], dict[Path, str]]:
    """Files with a picture's suffix under ``root``, sorted; and what could not be entered, with the reason.

    Real folders come first, so that a link never takes the name of what it points to; a folder already
    entered, by whatever name, is not entered again, so a circle of links ends.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder" if root.exists() else f"there is no folder at {root}")
    real, linked = [root], list[Path]()
    entered = set[tuple[int, int]]()
    found, skipped = list[Path](), dict[Path, str]()
    while real or linked:
        folder = real.pop() if real else linked.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            skipped[folder] = f"cannot be entered: {error.strerror or error}"
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link to itself
                is_folder = is_file = False
            if is_folder:
                (linked if entry.is_symlink() else real).append(path)
            elif path.suffix.lower() in SUFFIXES and is_file:
                found.append(path)
            elif path.suffix.lower() in SUFFIXES:
                skipped[path] = "a broken link, or not a file"
    named = sorted(zip(names_below(root, found), found, strict=True))
    return [path for _, path in named], skipped
