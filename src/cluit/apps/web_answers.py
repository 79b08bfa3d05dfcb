"""The page's requests: what Gradio hands over becomes a task for the studio, its pictures become files."""

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from cluit.apps.translate import write_picture
from cluit.apps.web_sessions import Sessions
from cluit.apps.web_studio import MOST_REFERENCES, MOST_SOURCES, Captioned, Studio, Task
from cluit.core.errors import UserError

Pictures = list[tuple[str, str | None]] | None
"""What Gradio gives for a gallery of uploads: files and captions."""

Labelled = list[tuple[str, str]]
"""What a gallery of results takes: files and captions."""


class Answers:
    """One method for each thing that can be asked for; its docstring stands in the page of the API."""

    def __init__(self, studio: Studio, sessions: Sessions) -> None:
        self.studio, self.sessions = studio, sessions

    def translate(
        self,
        request: gr.Request,
        sources: Pictures,
        references: Pictures,
        strength: float = 1.0,
        weight_1: float = 1.0,
        weight_2: float = 1.0,
        weight_3: float = 1.0,
        weight_4: float = 1.0,
        full_size: bool = False,
        domain: str | None = None,
        source_domain: str | None = None,
    ) -> tuple[list[str], str | None]:
        """Every source in the mixed style of the references; and one file of all, a PNG or a ZIP.

        strength goes from 0, the source's own style, to 1, the references'. A weight is that of the first,
        second, third or fourth reference in the mix. full_size puts each result back into its whole source.
        """
        if not sources or not references:
            return [], None
        weights = (weight_1, weight_2, weight_3, weight_4)
        with self._task(request, sources, references, domain, source_domain, weights) as task:
            pictures = self.studio.translate(task, strength, full_size)
            names = [f"translation-{i}.png" for i in range(1, len(pictures) + 1)]
            files = self._written(task, names, pictures)
            return [*map(str, files)], str(as_one(files))

    def grid(
        self, request: gr.Request, sources: Pictures, references: Pictures, domain: str | None = None
    ) -> tuple[str, str]:
        """Every source by every reference on one sheet, to show and to keep."""
        with self._task(request, sources, references, domain) as task:
            (file,) = self._written(task, ["grid.png"], [self.studio.grid(task)])
            return str(file), str(file)

    def strip(
        self,
        request: gr.Request,
        sources: Pictures,
        references: Pictures,
        frames: int = 7,
        domain: str | None = None,
        source_domain: str | None = None,
    ) -> tuple[Labelled, str]:
        """The first source from its own style to each reference's in turn: frames, and one sheet of them."""
        with self._task(request, sources, references, domain, source_domain) as task:
            pictures, sheet = self.studio.strip(task, frames)
            (file,) = self._written(task, ["strip.png"], [sheet])
            return self._labelled(task, pictures), str(file)

    def animate(
        self,
        request: gr.Request,
        sources: Pictures,
        references: Pictures,
        seconds: float = 1.5,
        domain: str | None = None,
        source_domain: str | None = None,
    ) -> tuple[str, str]:
        """The same walk there and back as an animated WebP; seconds are from one style to the next."""
        with self._task(request, sources, references, domain, source_domain) as task:
            file = self.sessions.folder(task.session) / "animation.webp"
            self.studio.animate(task, file, seconds)
            return str(file), str(file)

    def nearest(
        self,
        request: gr.Request,
        references: Pictures,
        weight_1: float = 1.0,
        weight_2: float = 1.0,
        weight_3: float = 1.0,
        weight_4: float = 1.0,
        count: int = 8,
        domain: str | None = None,
    ) -> Labelled:
        """Pictures of the searched folder whose style is most like the references' mix, best first."""
        weights = (weight_1, weight_2, weight_3, weight_4)
        with self._task(request, [], references, domain, None, weights) as task:
            return self._labelled(task, self.studio.nearest(task, count))

    def usable_sources(self, request: gr.Request, pictures: Pictures) -> Any:
        """See `_usable`."""
        return self._usable(request, pictures, MOST_SOURCES)

    def usable_references(self, request: gr.Request, pictures: Pictures) -> Any:
        """See `_usable`."""
        return self._usable(request, pictures, MOST_REFERENCES)

    def end(self, request: gr.Request) -> None:
        """The page was closed."""
        session = request.session_hash or ""
        self.sessions.end(session)
        self.studio.codes.forget(session)

    def _usable(self, request: gr.Request, pictures: Pictures, most: int) -> Any:
        """The pictures that can be used; the page tells of the others, and they are removed.

        Gradio tells of an upload twice, at once: who removes it tells of it and changes the gallery. Else the
        gallery is left alone: each change of it asks again, and would undo an upload that came meanwhile.
        """
        with self._task(request, pictures) as task:
            good, faults = self.studio.usable(task.sources, most)
            bad = [path for path in faults if path not in good and self.sessions.discard(path)]
            for fault in dict.fromkeys(faults[path] for path in bad):
                gr.Warning(self._shown(fault))
            return [str(path) for path in good] if bad else gr.skip()

    @contextmanager
    def _task(
        self,
        request: gr.Request,
        sources: Pictures,
        references: Pictures = None,
        domain: str | None = None,
        source_domain: str | None = None,
        weights: Sequence[float] = (),
    ) -> Iterator[Task]:
        """What is asked for, while it is worked on, without the pictures that have been removed meanwhile.

        A user's mistake becomes what Gradio shows.
        """
        named = ([Path(path) for path, _ in some or []] for some in (references, sources))
        worn, seen = ([path for path in some if path.exists()] for some in named)
        session = request.session_hash or ""
        with self.sessions.request(session, [*seen, *worn]):
            try:
                yield Task(session, seen, worn, weights, domain, source_domain)
            except UserError as error:
                raise gr.Error(self._shown(str(error)), print_exception=False) from error

    def _written(self, task: Task, names: Sequence[str], pictures: Sequence[Image.Image]) -> list[Path]:
        folder = self.sessions.folder(task.session)
        files = [folder / name for name in names]
        for file, picture in zip(files, pictures, strict=True):
            write_picture(file, picture)
        return files

    def _labelled(self, task: Task, pictures: Sequence[Captioned]) -> Labelled:
        names = [f"{number}.png" for number in range(len(pictures))]
        files = self._written(task, names, [picture for picture, _ in pictures])
        return [(str(file), caption) for file, (_, caption) in zip(files, pictures, strict=True)]

    def _shown(self, sentence: str) -> str:
        """Without the server's folders, and as text: the page would take it for HTML."""
        own = re.escape(str(self.sessions.root))
        return escape(re.sub(rf"{own}(/[^/\s]+)*/", "", sentence), quote=False)


def as_one(files: Sequence[Path]) -> Path:
    """The only file, or all of them in a ZIP beside them."""
    if len(files) == 1:
        return files[0]
    archive = files[0].with_name("translations.zip")
    with zipfile.ZipFile(archive, "w") as out:  # stored: PNG is compressed already
        for file in files:
            out.write(file, file.name)
    return archive
