"""worst.html: the worst outputs by each score, with sources and references (the paper's appendix B.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from cluit.apps import report
from cluit.apps.examination import Examination
from cluit.apps.report import Html
from cluit.core.images import as_picture, grid
from cluit.data.portraits import Portraits
from cluit.evaluation.tally import Tally

PAGE = "worst.html"  # beside the evaluation's
SHOWN = 12  # outputs per score


@dataclass(frozen=True)
class Shown:
    """The pairs of an evaluation, any of which can be painted again."""

    work: Examination
    styles: Tensor
    """(P, E, S), the references'."""

    @property
    def zoom(self) -> int:
        """How often a pixel is repeated on the page."""
        return max(1, 64 // self.work.examiner.translator.image_size)

    def names(self, row: int, column: int) -> tuple[str, str]:
        """Of source and reference."""
        known, work = self.work.known.names, self.work
        return known[int(work.sources[row])], known[int(work.references[row, column])]

    def triple(self, row: int, column: int) -> tuple[Tensor, Tensor, Tensor]:
        """Source, reference and output of a pair, uint8 (3, H, W) each."""
        source, reference = int(self.work.sources[row]), int(self.work.references[row, column])
        examiner = self.work.examiner
        shown, worn = examiner.sets[0].batch([source, reference])
        return shown, worn, examiner.paint([source], self.styles[row, column][None, None])[0, 0]

    def sheet(self, places: Sequence[tuple[int, int]]) -> Image.Image:
        """Sources in the first row, references in the second, outputs in the third."""
        return as_picture(grid(list(zip(*(self.triple(*place) for place in places), strict=True))))


@dataclass(frozen=True)
class Ranking:
    """How bad each output is by one score."""

    title: str
    meaning: str
    values: Tensor
    """(P, E), or (P,) where the score is of all outputs of a source."""
    largest: bool
    """Whether large values are bad."""

    def places(self, count: int) -> list[tuple[int, int]]:
        """Row and column of the worst, the worst first, one for a source: others of it fail alike."""
        badness = self.values if self.largest else -self.values
        worst = badness[:, None] if badness.ndim == 1 else badness
        of_source, column = worst.max(dim=1)
        rows = of_source.argsort(descending=True, stable=True)[:count]
        return [(int(row), int(column[row])) for row in rows]

    def value(self, place: tuple[int, int]) -> float:
        return (self.values[place[0]] if self.values.ndim == 1 else self.values[place]).item()


def rankings(tally: Tally, work: Examination) -> list[Ranking]:
    """By every score that single outputs have."""
    examiner, known, sources, references = work.examiner, work.known, work.sources, work.references
    network, found = examiner.networks[0].name, list[Ranking]()
    if known.wanted is not None and (belief := tally.belief(known.wanted.values[references])) is not None:
        text = "the probability that the oracle gives to what the reference is"
        found.append(Ranking("Least like the reference's kind", text, belief, largest=False))
    found.append(Ranking("Least structure kept", "structure kept", tally.structure, largest=False))
    if (nearest := tally.nearest) is not None:
        text = f"the distance to the nearest real picture under {network}"
        found.append(Ranking("Least like any real picture", text, nearest, largest=True))
    if references.shape[1] > 1:
        text = f"the mean distance between two outputs of the source under {network}; one output is shown"
        found.append(Ranking("Least different by reference", text, tally.diversity(0), largest=False))
    if isinstance(portraits := examiner.sets[0], Portraits) and (truth := tally.truth) is not None:
        errors = (truth.face_error + truth.background_error) / (truth.face_pixels + truth.background_pixels)
        text = "the mean error against the true translation, in levels of 255"
        found.append(Ranking("Farthest from the truth", text, errors.view_as(references), largest=True))
        if (poses := tally.pose_errors(portraits, sources)) is not None:
            text = "how far the pose that the face reader sees is from the source's, in standard deviations"
            found.append(Ranking("Farthest from the source's pose", text, poses, largest=True))
    return found


def write(path: Path, record: Mapping[str, Any], worst: Sequence[Ranking], shown: Shown) -> None:
    """The page and its JSON twin."""
    failures, sections = list[dict[str, Any]](), list[Html]()
    for ranking in worst:
        places = ranking.places(SHOWN)
        rows = [(*shown.names(*place), ranking.value(place)) for place in places]
        keys = "source", "reference", "value"
        table = [dict(zip(keys, row, strict=True)) for row in rows]
        failures.append({"score": ranking.title, "meaning": ranking.meaning, "worst": table})
        sections.append(section(ranking, rows, shown.sheet(places), shown.zoom))
    model, data = (report.place(record["settings"][name]) for name in ("model", "data"))
    lead = (
        f"What {model} did worst on {data}, by each score that a single output has; "
        "at most one output of a source. They show what the scores see, and what the model cannot do."
    )
    of_record = {key: record[key] for key in ("settings", "machine", "timings")}
    report.write(path, report.page("Worst outputs", lead, *sections), {**of_record, "failures": failures})


def section(ranking: Ranking, rows: Sequence[tuple[str, str, float]], sheet: Image.Image, zoom: int) -> Html:
    """A sheet, and a table of whose pictures they are."""
    median = torch.median(ranking.values).item()
    caption = "Sources above, references in the middle, outputs below; the worst at the left."
    note = f"Value: {ranking.meaning}. The median over all is {report.number(median)}."
    return report.section(
        ranking.title,
        report.figure(sheet, caption, zoom),
        report.table(["source", "reference", "value"], rows, note),
    )
