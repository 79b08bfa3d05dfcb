"""What a run is looked at with while it trains: held-out pictures, always the same pairs."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from cluit.apps.settings import Settings
from cluit.core.images import as_picture, grid, to_bytes, to_unit
from cluit.core.types import Method, Metrics, Translator
from cluit.data.dataset import Pictures
from cluit.engine.files import atomic_file, disk_errors
from cluit.engine.log import Writer

GRID = 8  # sources, and references, of a sample grid


class Monitor:
    """Two hooks, ``score`` and ``grid``. They look at the averaged translator and move nothing."""

    def __init__(
        self,
        run: Path,
        method: Method,
        held_out: Pictures,
        settings: Settings,
        writers: Sequence[Writer],
        console: Console,
    ) -> None:
        self.run, self.method, self.settings, self.writers = run, method, settings, writers
        self.console = console
        shown = min(GRID, len(held_out) // 2)
        self.sources = held_out.batch(range(shown))
        self.references = held_out.batch(range(shown, 2 * shown))

    def score(self, done: int, metrics: Metrics, translator: Translator) -> None:
        pass

    @torch.no_grad()
    def grid(self, done: int, metrics: Metrics, translator: Translator) -> None:
        """RUN/grids/step-….png: a row per source, a column per reference, both shown at the edge."""
        device = next(translator.parameters()).device
        outputs = cross(translator, to_unit(self.sources.to(device)), to_unit(self.references.to(device)))
        blank = torch.full_like(self.sources[0], 255)
        rows = [[blank, *self.references]]
        rows += [[source, *row] for source, row in zip(self.sources, to_bytes(outputs), strict=True)]
        path = self.run / "grids" / f"step-{done:08d}.png"
        with disk_errors(path):
            path.parent.mkdir(exist_ok=True)
        with atomic_file(path) as file:
            as_picture(grid(rows)).save(file, "png")


def cross(translator: Translator, sources: Tensor, references: Tensor) -> Tensor:
    """(A, 3, S, S), (B, 3, S, S) -> (A, B, 3, S, S): every source in every reference's style."""
    structure, style = translator.encode_structure(sources), translator.encode_style(references)
    return torch.stack([
        translator.decode(one.expand(len(style), -1, -1, -1), style) for one in structure[:, None]
    ])  # fmt: skip
