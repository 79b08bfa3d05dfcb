"""The work of an evaluation: all pictures looked at once, all pairs painted and judged, on several processes.

Work is divided into blocks that do not depend on how many processes there are, and what comes of them is
added up in their order: so scores do not depend on it either, to the bit where the arithmetic libraries round
alike from call to call, as they do with equal numbers of threads in each process.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cluit.apps.api import load
from cluit.apps.crew import Ask
from cluit.apps.evaluation_set import EvaluationSet, Known, open_pictures
from cluit.core.errors import UserError
from cluit.data.portraits import Portraits
from cluit.evaluation.cache import cache_file, cached_rows, writing_rows
from cluit.evaluation.clock import Clock
from cluit.evaluation.crowd import Crowd, some_of
from cluit.evaluation.examiner import LOOKED_UP, MODEL, Examiner, Judged, Looked
from cluit.evaluation.features import Features, open_features
from cluit.evaluation.kernel import Block, independent_blocks
from cluit.evaluation.oracle import Oracle, load_oracle
from cluit.evaluation.pixels import Pixels
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

    @property
    def places(self) -> list[str]:
        """Of the test pictures and, where distances are to others, of those real ones."""
        return [self.data] if self.real is None else [self.data, self.real]

    def open(self, size: int, *, as_files: bool = False) -> list[Known]:
        """What is in these places, see `open_pictures`."""
        return [open_pictures(place, size, as_files=as_files) for place in self.places]

    def examiner(self, pixels: Sequence[Pixels | None] = ()) -> Examiner:
        """pixels: of these sets, None for portraits, which every process draws for itself.

        UserError for whatever is not there or does not go together.
        """
        painter = load(self.model, device=self.device, precision=self.precision, batch_size=self.batch_size)
        oracle = None if self.oracle is None else load_oracle(self.oracle).to(painter.device)
        networks = [open_network(name, oracle, painter.device) for name in self.features]
        if len({network.name for network in networks}) < len(networks):
            raise UserError("two feature networks have one name; name each once, or rename a file")
        sets = [
            open_pictures(place, painter.image_size) if one is None else one
            for place, one in zip(self.places, pixels, strict=False)
        ]
        return Examiner(
            painter.translator, sets, networks, oracle, painter.dtype, self.batch_size, self.trivial,
            reader_of(sets),
        )  # fmt: skip


def reader_of(sets: Sequence[object]) -> FaceReader | None:
    """The judge of portraits, where the test pictures, the first of the sets, are such."""
    return FaceReader.load() if sets and isinstance(sets[0], Portraits) else None


def open_network(name: str, oracle: Oracle | None, device: torch.device) -> Features:
    """A feature network by what a user calls it: ``oracle``, or as of `open_features`."""
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
    logits: Tensor | None
    """(N, C), the oracle's, of test pictures."""
    styles: Tensor
    """(N, S), of test pictures; NaN of those that are nobody's reference."""

    def rows(self, network: int, numbers: Tensor) -> Tensor:
        """Features of some pictures, of any shape -> the same shape and (D,)."""
        return torch.from_numpy(self.features[network][numbers.numpy()])


@dataclass(frozen=True)
class Findings:
    """What all pictures and all pairs come to."""

    table: Table
    """Of the test pictures."""
    real: list[Crowd]
    """The real pictures under each network."""
    tallies: dict[str, Tally]
    """Every answer by name, the model's first."""


@dataclass(frozen=True)
class Examination:
    """Who examines which pairs of which pictures."""

    examiner: Examiner
    known: EvaluationSet
    sources: Tensor
    """(P,) numbers of test pictures."""
    references: Tensor
    """(P, E)."""
    seed: int

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the test pictures' classes; none without labels."""
        return self.known.classes.classes if self.known.classes else ()

    def counts(self) -> dict[str, Any]:
        """How much there is of what, as JSON values."""
        return {
            "pictures": len(set(self.known.names)),
            "image_size": self.examiner.translator.image_size,
            "real": len(self.known.real),
            "sources": len(self.sources),
            "each": self.references.shape[1],
            "classes": self.classes,
        }

    def class_counts(self) -> list[tuple[int, int]]:
        """Of each class, or of all together without labels, the real pictures and the outputs."""
        known = self.known
        if known.classes is None or known.real_classes is None:
            return [(len(known.real), self.references.numel())]
        count = len(self.classes)
        real = known.real_classes[known.real].bincount(minlength=count)
        made = known.classes.values[self.references.flatten()].bincount(minlength=count)
        return list(zip(real.tolist(), made.tolist(), strict=True))

    @cached_property
    def sample(self) -> Tensor:
        """Places among the real pictures of those whose features are kept."""
        return some_of(len(self.known.real), self.seed)

    @cached_property
    def blocks(self) -> list[Block]:
        """Of kernel distances: real pictures by their places, outputs in the order of the pairs."""
        among = self.known.shared[self.sample]
        dealt = independent_blocks(self.sources, self.references, among, seed=self.seed)
        return [Block(self.sample[block.real], block.outputs) for block in dealt]

    @cached_property
    def compared(self) -> Tensor:
        """Ascending numbers of the outputs in blocks: at most as many as the sample has real pictures."""
        return (
            torch.cat([torch.empty(0, dtype=torch.long), *(one.outputs for one in self.blocks)]).sort().values
        )

    def crowd(self, network: int, kept: Tensor) -> Crowd:
        """An empty one. kept: see `Crowd`."""
        return Crowd(self.examiner.networks[network].dim, max(1, len(self.classes)), kept)

    def examine(
        self,
        digests: Sequence[str],
        ask: Ask,
        clock: Clock,
        progress: Callable[[int], None] = lambda more: None,
    ) -> Findings:
        """All pictures and all pairs.

        digests: of each set's `content`. progress: called with how many more sources are done.
        """
        tables = [self.look(which, digest, ask, clock) for which, digest in enumerate(digests)]
        test = replace(tables[0], styles=self.styles(ask, clock))
        real = self.real_crowds(tables[-1], clock)
        return Findings(test, real, self.judge(test, real, ask, clock, progress))

    def look(self, which: int, digest: str, ask: Ask, clock: Clock) -> Table:
        """At all pictures of set ``which``, once; features that the cache has are not computed again.

        digest: of the set's `content`.
        """
        count, networks = len(self.examiner.sets[which]), self.examiner.networks
        files = [cache_file(network, digest, self.examiner.device) for network in networks]
        shapes = [(count, network.dim) for network in networks]
        missing = [i for i, file in enumerate(files) if cached_rows(file, shapes[i]) is None]
        wanted = missing or (which == 0 and self.examiner.oracle is not None)
        blocks = torch.arange(count).split(LOOKED_AT_ONCE) if wanted else ()
        logits = list[Tensor]()
        with ExitStack() as stack:
            writers = [stack.enter_context(writing_rows(files[i], shapes[i])) for i in missing]
            looked: Looked
            for looked in ask("look", ((which, block.tolist(), missing) for block in blocks)):
                for write, rows in zip(writers, looked.features, strict=True):
                    write(rows)
                logits += [] if looked.oracle is None else [looked.oracle]
                clock.add(looked.phases)
        features = [cached_rows(file, shape) for file, shape in zip(files, shapes, strict=True)]
        return Table(
            [rows for rows in features if rows is not None],
            torch.cat(logits) if logits else None,
            torch.empty(0),
        )

    def styles(self, ask: Ask, clock: Clock) -> Tensor:
        """Of all references, each encoded once: see `Table`."""
        worn, parts = self.references.unique(), list[Tensor]()
        for styles, spent in ask("encode", ((block.tolist(),) for block in worn.split(LOOKED_AT_ONCE))):
            parts.append(styles)
            clock.add(spent)
        known = torch.cat(parts)
        table = torch.full((len(self.examiner.sets[0]), known.shape[1]), float("nan"))
        table[worn] = known
        return table

    def real_crowds(self, table: Table, clock: Clock) -> list[Crowd]:
        """The real pictures under each network. table: of the last set."""
        numbers, labels = torch.tensor(self.known.real), self.known.real_classes
        crowds = [self.crowd(network, self.sample) for network in range(len(table.features))]
        for network, crowd in enumerate(crowds):
            for part in numbers.split(ROWS_AT_ONCE):
                with clock.running("means and covariances", part):
                    crowd.add(table.rows(network, part), None if labels is None else labels[part])
        return crowds

    def judge(
        self, table: Table, real: Sequence[Crowd], ask: Ask, clock: Clock, progress: Callable[[int], None]
    ) -> dict[str, Tally]:
        """Paint and judge all pairs, block by block: what each answer comes to, by name.

        table: of the test pictures. progress: as of `examine`.
        """
        tallies = dict[str, Tally]()
        blocks = list(
            zip(self.sources.split(SOURCES_AT_ONCE), self.references.split(SOURCES_AT_ONCE), strict=True)
        )
        work = ((firsts.tolist(), seconds, table.styles[seconds]) for firsts, seconds in blocks)
        for (firsts, seconds), (answers, spent) in zip(blocks, ask("judge", work), strict=True):
            clock.add(spent)
            labels = None if self.known.classes is None else self.known.classes.values[seconds]
            for name, judged in answers.items():
                if name not in tallies:
                    tallies[name] = self._tally(real[0].sample if name == MODEL else None)
                tallies[name].add(completed(name, judged, table, firsts, seconds), labels, clock)
            progress(len(firsts))
        return tallies

    def _tally(self, near: Tensor | None) -> Tally:
        return Tally([self.crowd(i, self.compared) for i in range(len(self.examiner.networks))], near)

    def scores(self, tally: Tally, real: Sequence[Crowd]) -> dict[str, Any]:
        """All that one answer comes to, as JSON values."""
        test, wanted = self.examiner.sets[0], self.known.wanted
        marks = None if wanted is None else tally.marks(wanted, self.references)
        truth = species = None
        if isinstance(test, Portraits):
            truth = tally.truth_scores(test, self.sources, self.references)
            species = tally.species(test, self.sources, self.references)
        names = [network.name for network in self.examiner.networks]
        return {
            **tally.scores(real, names, self.classes, self.blocks),
            "oracle": None if marks is None else marks.record(),
            "truth": truth,
            "species": species,
        }


def completed(name: str, judged: Judged, table: Table, sources: Tensor, references: Tensor) -> Judged:
    """With what is known already of answers that are test pictures themselves."""
    if name not in LOOKED_UP:
        return judged
    numbers = references if name == "reference" else sources[:, None].expand_as(references)
    return judged._replace(
        features=[table.rows(network, numbers) for network in range(len(table.features))],
        oracle=None if table.logits is None else table.logits[numbers],
    )
