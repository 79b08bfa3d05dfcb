"""The same pairs, painted by several models, side by side (the paper's Figures 3, 4 and 8)."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from cluit.apps.scorer import Scorer
from cluit.apps.thumbnails import Cell, sheet, thumbnail
from cluit.data.portraits import Portraits
from cluit.evaluation.examiner import Examiner
from cluit.evaluation.truth import TruthSet

PAIRS = 6

Words = tuple[str, ...]
"""The lines below each picture of a column."""


def side_by_side(scorer: Scorer, models: Sequence[tuple[Words, Path]]) -> Image.Image:
    """A row for each of some of the scored pairs: source, reference, the output of each of ``models``, and on
    portraits the true translation."""
    pictures = scorer.examiner.sets[0]
    sources, references = scorer.some_pairs(PAIRS)
    columns: list[tuple[Words, Tensor]] = [
        (("source",), pictures.batch(sources.tolist())),
        (("reference",), pictures.batch(references.tolist())),
        *((words, painted(scorer.of(scorer.model(model)), sources, references)) for words, model in models),
    ]
    if isinstance(pictures, Portraits):
        columns.append((("truth",), TruthSet.of(pictures, sources, references).truths))
    rows: list[list[Cell]] = [
        [(thumbnail(column[i]), words) for words, column in columns] for i in range(len(sources))
    ]
    return sheet(rows)


def painted(examiner: Examiner, sources: Tensor, references: Tensor) -> Tensor:
    """(N,) test pictures each -> uint8 (N, 3, S, S): sources in the styles of their references."""
    styles, _ = examiner.encode(references.tolist())
    outputs: Tensor = examiner.paint(sources.tolist(), styles[:, None])
    return outputs[:, 0]
