"""The work of an evaluation: all pictures looked at once, all pairs painted and judged, on several processes.

Work is divided into blocks that do not depend on how many processes there are, and what comes of them is
added up in their order: so scores do not depend on it either, to the bit where the arithmetic libraries round
alike from call to call, as they do with equal numbers of threads in each process.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cluit.apps.api import load
from cluit.apps.crew import Ask
from cluit.apps.evaluation_set import EvaluationSet, open_pictures
from cluit.core.errors import UserError
from cluit.data.portraits import Portraits
from cluit.evaluation.cache import cache_file, cached_rows, writing_rows
from cluit.evaluation.crowd import Crowd
from cluit.evaluation.examiner import MODEL, Clock, Examiner, Judged, Looked
from cluit.evaluation.features import Features, open_features
from cluit.evaluation.oracle import Oracle, load_oracle
from cluit.evaluation.reader import FaceReader
from cluit.evaluation.tally import Tally

ORACLE = "oracle"
LOOKED_AT_ONCE, SOURCES_AT_ONCE, ROWS_AT_ONCE = 64, 8, 1024


@dataclass(frozen=True)
class Job:
    """What an examiner is made of, in words, so that every process can make its own."""

    model: str
    data: str
    real: str | None
    features: tuple[str, ...]
    oracle: str | None
    trivial: bool
    device: str
    precision: str
    batch_size: int

    def examiner(self) -> Examiner:
        """UserError for whatever is not there or does not go together."""
        painter = load(self.model, device=self.device, precision=self.precision, batch_size=self.batch_size)
        places = [self.data] if self.real is None else [self.data, self.real]
        sets = [open_pictures(place, painter.image_size) for place in places]
        oracle = None if self.oracle is None else load_oracle(self.oracle).to(painter.device)
        networks = [self._network(name, oracle, painter.device) for name in self.features]
        if len({network.name for network in networks}) < len(networks):
            raise UserError("two feature networks have one name; name each once, or rename a file")
        return Examiner(
            painter.translator, sets, networks, oracle, painter.dtype, self.batch_size, self.trivial,
            FaceReader.load() if isinstance(sets[0], Portraits) else None,
        )  # fmt: skip

    @staticmethod
    def _network(name: str, oracle: Oracle | None, device: torch.device) -> Features:
        if name != ORACLE:
            return open_features(name, device)
        if oracle is None:
            raise UserError("the oracle's features need an oracle; add --oracle FOLDER")
        return oracle.as_features()


@dataclass(frozen=True)
class Table:
    """What is known of each picture of a set."""

    features: list[np.ndarray]
    """Per network, (N, D), on the disk."""
    styles: Tensor
    """(N, S), of test pictures."""
    logits: Tensor | None
    """(N, C), the oracle's, of test pictures."""

    def rows(self, network: int, numbers: Tensor) -> Tensor:
        """Features of some pictures, of any shape -> the same shape and (D,)."""
        return torch.from_numpy(self.features[network][numbers.numpy()])


def look(examiner: Examiner, which: int, digest: str, ask: Ask, clock: Clock) -> Table:
    """At all pictures of a set, once; features that the cache has are not computed again.

    digest: of the set's `content`.
    """
    count = len(examiner.sets[which])
    files = [cache_file(network, digest, examiner.device) for network in examiner.networks]
    shapes = [(count, network.dim) for network in examiner.networks]
    missing = [i for i, file in enumerate(files) if cached_rows(file, shapes[i]) is None]
    styles, logits = list[Tensor](), list[Tensor]()
    with ExitStack() as stack:
        writers = [stack.enter_context(writing_rows(files[i], shapes[i])) for i in missing]
        blocks = torch.arange(count).split(LOOKED_AT_ONCE) if missing or which == 0 else ()
        looked: Looked
        for looked in ask("look", ((which, block.tolist(), missing) for block in blocks)):
            for write, rows in zip(writers, looked.features, strict=True):
                write(rows)
            styles += [] if looked.styles is None else [looked.styles]
            logits += [] if looked.oracle is None else [looked.oracle]
            clock.add(looked.seconds)
    features = [cached_rows(file, shape) for file, shape in zip(files, shapes, strict=True)]
    if any(rows is None for rows in features):
        raise UserError(f"the cached features {files[0]} vanished; try again, or set XDG_CACHE_HOME")
    return Table(
        [rows for rows in features if rows is not None],
        torch.cat(styles) if styles else torch.empty(0),
        torch.cat(logits) if logits else None,
    )


def real_crowds(examiner: Examiner, known: EvaluationSet, table: Table, seed: int) -> list[Crowd]:
    """The real pictures under each network."""
    numbers = torch.tensor(known.real)
    crowds = []
    for i, network in enumerate(examiner.networks):
        crowd = Crowd(len(numbers), network.dim, class_count(known), seed)
        for part in numbers.split(ROWS_AT_ONCE):
            crowd.add(table.rows(i, part), None if known.real_classes is None else known.real_classes[part])
        crowds.append(crowd)
    return crowds


def class_count(known: EvaluationSet) -> int:
    return 1 if known.classes is None else len(known.classes.classes)


def judge(
    examiner: Examiner,
    known: EvaluationSet,
    table: Table,
    real: Sequence[Crowd],
    sources: Tensor,
    references: Tensor,
    seed: int,
    ask: Ask,
    clock: Clock,
    progress: Callable[[int], None],
) -> dict[str, Tally]:
    """Paint and judge all pairs, block by block.

    sources: (P,); references: (P, E). progress: called with the number of sources that are done.
    """
    tallies = dict[str, Tally]()
    blocks = list(zip(sources.split(SOURCES_AT_ONCE), references.split(SOURCES_AT_ONCE), strict=True))
    work = ((firsts.tolist(), seconds, table.styles[seconds]) for firsts, seconds in blocks)
    for (firsts, seconds), (answers, spent) in zip(blocks, ask("judge", work), strict=True):
        clock.add(spent)
        with clock.running("adding up"):
            labels = None if known.classes is None else known.classes.values[seconds]
            for name, judged in answers.items():
                if name not in tallies:
                    near = real[0].sample if name == MODEL else None
                    crowds = [
                        Crowd(references.numel(), network.dim, class_count(known), seed)
                        for network in examiner.networks
                    ]
                    tallies[name] = Tally(crowds, near)
                tallies[name].add(completed(name, judged, table, firsts, seconds), labels)
        progress(len(firsts))
    return tallies


def completed(name: str, judged: Judged, table: Table, sources: Tensor, references: Tensor) -> Judged:
    """With what is known already of answers that are test pictures themselves."""
    if judged.features:
        return judged
    numbers = references if name == "reference" else sources[:, None].expand_as(references)
    return judged._replace(
        features=[table.rows(i, numbers) for i in range(len(table.features))],
        oracle=None if table.logits is None else table.logits[numbers],
    )
