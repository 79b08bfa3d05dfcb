"""What open web pages have on the disk: nothing uploaded, and nothing made of it, outlives its session."""

import os
import shutil
import tempfile
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

RESULTS_KEPT = 24
"""Results of one session on the disk, the latest: a page may still be loading the last but one."""


@dataclass
class Belongings:
    """Of one session."""

    uploads: set[Path] = field(default_factory=set)
    results: deque[Path] = field(default_factory=deque)
    requests: int = 0
    """That are worked on."""
    closed: bool = False


class Sessions:
    """Uploads and results by session. A session's name comes from outside: it never becomes a path.

    root: the server's own folder, which keeps an upload as ``root/HASH/NAME``; equal uploads of two sessions
    are one file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.results = self.root / "results"
        self.results.mkdir(parents=True, exist_ok=True)
        self._of = defaultdict[str, Belongings](Belongings)
        self._lock = threading.Lock()

    def note(self, session: str, pictures: Iterable[Path]) -> None:
        """These pictures are in use: their age counts from now, and their uploads go with the session."""
        with self._lock:
            for path in pictures:
                if self._is_upload(path):
                    self._of[session].uploads.add(path.resolve())
                    with suppress(OSError):  # what is gone is told of when it is read
                        os.utime(path)

    @contextmanager
    def request(self, session: str, pictures: Iterable[Path]) -> Iterator[None]:
        """While it is worked on. If its page is closed meanwhile, all goes once the last one is done."""
        with self._lock:
            self._of[session].requests += 1
        try:
            self.note(session, pictures)
            yield
        finally:
            with self._lock:
                self._of[session].requests -= 1
                closed = self._of[session].closed
            if closed:
                self.end(session)

    def adopt(self, session: str, picture: Path) -> Path:
        """A copy, as if it had been uploaded."""
        copy = Path(tempfile.mkdtemp(dir=self.root)) / picture.name
        shutil.copyfile(picture, copy)
        self.note(session, [copy])
        return copy

    def discard(self, upload: Path) -> bool:
        """Remove it, of use to nobody; whether it was there. Of several that ask at once one is told so."""
        if not self._is_upload(upload):
            return False
        try:
            upload.unlink()
        except FileNotFoundError:
            return False
        shutil.rmtree(upload.parent, ignore_errors=True)
        return True

    def folder(self, session: str) -> Path:
        """A new folder for a result; the oldest of many gives way."""
        made = Path(tempfile.mkdtemp(dir=self.results))
        with self._lock:
            results = self._of[session].results
            results.append(made)
            old = results.popleft() if len(results) > RESULTS_KEPT else None
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
        return made

    def end(self, session: str) -> None:
        """Remove all that is this session's and no other's, now or once nothing of it is worked on."""
        with self._lock:
            self._of[session].closed = True
            if self._of[session].requests:
                return
            gone = self._of.pop(session)
            others = set[Path]().union(*(one.uploads for one in self._of.values()))
            for upload in gone.uploads - others:
                shutil.rmtree(upload.parent, ignore_errors=True)
        for folder in gone.results:
            shutil.rmtree(folder, ignore_errors=True)

    def _is_upload(self, path: Path) -> bool:
        return path.resolve().parent.parent == self.root
