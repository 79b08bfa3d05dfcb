"""The paper's Figure 8: the same pairs, painted by one run of each row, side by side."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from cluit.apps.ablation_scores import Scorer
from cluit.apps.ablation_table import Outcome
from cluit.apps.api import load
from cluit.apps.thumbnails import Cell, sheet, thumbnail
from cluit.data.portraits import Portraits
from cluit.evaluation.examiner import Examiner
from cluit.evaluation.truth import TruthSet

PAIRS = 6


def strategies(scorer: Scorer, titles: Sequence[str], outcomes: Sequence[Outcome]) -> Image.Image:
    """A row for each pair: source, reference, the output of the first seed of each of ``titles`` that came
    through, and on portraits the true translation."""
    pictures = scorer.examiner.sets[0]
    numbers, others = pairs(scorer)
    sources, references = pictures.batch(numbers), pictures.batch(others)
    columns = [("source", sources), ("reference", references)]
    for number, title in enumerate(titles):
        first = next((one for one in outcomes if one.run.row == number and one.scores), None)
        if first is not None:
            columns.append((title, painted(first.run.folder / "model", scorer.examiner, sources, references)))
    if isinstance(pictures, Portraits):
        truths = TruthSet.of(pictures, torch.tensor(numbers), torch.tensor(others)).truths
        columns.append(("truth", truths))
    rows: list[list[Cell]] = [
        [(thumbnail(column[i]), [title]) for title, column in columns] for i in range(len(sources))
    ]
    return sheet(rows)


def painted(model: Path, examiner: Examiner, sources: Tensor, references: Tensor) -> Tensor:
    """uint8 (N, 3, S, S) each -> the same: sources in the styles of their references, as scores have them."""
    precision = str(examiner.precision).removeprefix("torch.")
    painter = load(model, device=examiner.device.type, precision=precision, batch_size=examiner.batch_size)
    return painter.paint(painter.structures(sources), painter.styles(references))


def pairs(scorer: Scorer) -> tuple[list[int], list[int]]:
    """Some of the scored pairs, spread over the sources; of two classes wherever a source has such a pair."""
    rows = torch.linspace(0, len(scorer.sources) - 1, PAIRS).long().unique()
    labels = scorer.known.classes
    sources, references = scorer.sources[rows], scorer.references[rows]
    if labels is None:
        return sources.tolist(), references[:, 0].tolist()
    other = labels.values[references] != labels.values[sources][:, None]
    column = other.byte().argmax(dim=1)  # the first that differs, or the first of all
    return sources.tolist(), references[torch.arange(len(rows)), column].tolist()
