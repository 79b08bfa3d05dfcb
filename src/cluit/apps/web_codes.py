"""Structures and styles that the web page has computed, so that no picture is encoded twice."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cluit.apps.api import Painter
from cluit.data.decode import BadPictureError

MOST_KEPT = 256
"""Structures and styles in memory over all sessions; what was not asked for longest goes first."""

Key = tuple[str, str, str]
"""A session, what was computed, and of which content."""


class Codes:
    """Codes by content, each session's its own: nobody learns from the clock what others have uploaded."""

    def __init__(self, painter: Painter, most: int = MOST_KEPT) -> None:
        self.painter, self.most = painter, most
        self._kept = OrderedDict[Key, Tensor]()
        self._lock = threading.Lock()

    def structures(self, session: str, pictures: Sequence[Path]) -> Tensor:
        """(N, C, h, w). UserError for what is no picture."""
        return self._of(session, "structure", pictures, self.painter.structures)

    def styles(self, session: str, pictures: Sequence[Path], domain: str | None = None) -> Tensor:
        """(N, S). domain: of all of them, for a model that tells domains apart."""
        return self._of(session, f"style {domain}", pictures, lambda some: self.painter.styles(some, domain))

    def forget(self, session: str) -> None:
        """Drop all that this session has asked for."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == session]:
                del self._kept[key]

    def __len__(self) -> int:
        return len(self._kept)

    def _of(
        self, session: str, what: str, pictures: Sequence[Path], encode: Callable[[list[Path]], Tensor]
    ) -> Tensor:
        keys = [(session, what, fingerprint(path)) for path in pictures]
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
        missing = {key: path for key, path in zip(keys, pictures, strict=True) if key not in found}
        if missing:
            rows = encode(list(missing.values()))
            found |= {key: row.clone() for key, row in zip(missing, rows, strict=True)}
        with self._lock:
            for key in keys:
                self._kept[key] = found[key]
                self._kept.move_to_end(key)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return torch.stack([found[key] for key in keys])


def fingerprint(path: Path) -> str:
    """Of the file's content."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError as error:
        raise BadPictureError(path, f"cannot be read: {error.strerror or error}") from error
