"""Reading and writing overlapped with the network, in an order and in batches that hang on names alone.

A picture is the same, byte for byte, whoever else is finished already: networks round by who else is in a
batch, so batches are formed as if nothing was, and those of which nothing is missing are left out.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import NamedTuple

from torch import Tensor

from cluit.apps.api import Painter
from cluit.apps.bulk.flow import in_order, ready, results
from cluit.apps.bulk.manifest import Row
from cluit.apps.bulk.outputs import Output, Painted
from cluit.apps.bulk.pairing import Known, Pairing
from cluit.apps.bulk.share import Share
from cluit.apps.bulk.sources import Source, Tell, batched
from cluit.apps.bulk.styles import Styles
from cluit.apps.domains import domains_of
from cluit.apps.squares import paste_back
from cluit.core.images import as_picture
from cluit.data.decode import BadPictureError

WRITTEN_AHEAD = 4  # batches of pictures that wait for their writing


class Group(NamedTuple):
    """Sources whose structures are computed together."""

    block: str
    sources: Sequence[Source] | None
    """None where the whole block was finished before."""


class Read(NamedTuple):
    """A group with those of its sources that can be read."""

    block: str
    sources: Sequence[Source] | None
    squares: Sequence[Tensor] | None
    """uint8 (3, S, S) each; None where every translation was finished before."""


def groups(
    sections: Iterable[tuple[str, Iterable[Source]]],
    output: Output,
    *,
    per_block: int,
    at_once: int,
    share: Share,
) -> Iterator[Group]:
    """The blocks of each section that are this process's, in groups of up to ``at_once`` sources.

    Neither a block nor a group depends on how many processes there are.
    """
    for label, sources in sections:
        for number, block in enumerate(batched(sources, per_block)):
            if share.has(number):
                name = output.block(label, number)
                if output.whole(name):
                    yield Group(name, None)
                else:
                    yield from (Group(name, part) for part in batched(block, at_once))


class Pipeline:
    """From sources to pictures that are on the disk, or encoded for it, with what the network took."""

    def __init__(
        self,
        painter: Painter,
        styles: Styles,
        pairing: Pairing,
        output: Output,
        tell: Tell,
        *,
        domain: str | None,
        full_size: bool,
        workers: int,
    ) -> None:
        """domain: of the sources' own styles, where pairing needs them. workers: threads that read, and as
        many that write."""
        self.painter, self.styles, self.pairing, self.output = painter, styles, pairing, output
        self.tell, self.domain, self.full_size, self.workers = tell, domain, full_size, workers
        self.made = 0
        """Pictures that were painted, not finished before."""
        self.network = 0.0
        """Seconds in the network, with the way to it and back."""

    def pictures(self, groups: Iterable[Group]) -> Iterator[Painted]:
        """Every translation of ``groups``, in order."""
        with ThreadPoolExecutor(self.workers) as readers, ThreadPoolExecutor(self.workers) as writers:
            read = in_order(self._read, groups, readers, self.workers)
            futures = (future for one in read for future in self._translate(one, writers))
            with closing(read), closing(futures):
                yield from results(futures, WRITTEN_AHEAD * self.painter.batch_size)

    def require_free(self, groups: Iterable[Group]) -> None:
        """UserError where a file that has to stay is in the way, as far as names are known beforehand."""
        if isinstance(self.pairing, Known):
            for group in groups:
                for source in group.sources or ():
                    for _, name in self._named(group.block, source, self.pairing.rows(source)):
                        self.output.finished(name)

    def _read(self, group: Group) -> Read:
        """In a thread: the squares that the network wants, if it has anything to do with them."""
        if group.sources is None:
            return Read(group.block, None, None)
        if isinstance(self.pairing, Known) and all(
            self.output.finished(name)
            for source in group.sources
            for _, name in self._named(group.block, source, self.pairing.rows(source))
        ):
            return Read(group.block, group.sources, None)
        sources, squares = list[Source](), list[Tensor]()
        for source in group.sources:
            try:
                squares.append(source.square(self.painter.image_size))
                sources.append(source)
            except BadPictureError as bad:
                self.tell(source.place, bad.reason)
        return Read(group.block, sources, squares)

    def _named(self, block: str, source: Source, rows: Sequence[int]) -> Iterator[tuple[int, str]]:
        """The rows of a source's references, each with the name of their translation."""
        for row in rows:
            yield (
                row,
                source.output or self.output.name(block, f"{source.name}--{self.styles.names[row]}"),
            )

    def _translate(self, read: Read, writers: Executor) -> Iterator[Future[Painted]]:
        """A group's translations, being written."""
        if read.sources is None:
            yield ready(Painted(read.block, "", None))
            return
        chosen, structures = self._chosen(read.sources, read.squares), None
        pairs = (
            (place, row, name)
            for place, (source, rows) in enumerate(zip(read.sources, chosen, strict=True))
            for row, name in self._named(read.block, source, rows)
        )
        for part in batched(pairs, self.painter.batch_size):
            missing = [read.squares is not None and not self.output.finished(name) for *_, name in part]
            pixels: Sequence[Tensor | None] = [None] * len(part)
            if read.squares is not None and any(missing):
                places, rows, _ = zip(*part, strict=True)
                with self._in_network():
                    if structures is None:
                        structures = self.painter.structures(read.squares)
                    painted = self.painter.paint(structures[[*places]], self.styles.codes[[*rows]])
                pixels = [one if lacks else None for one, lacks in zip(painted, missing, strict=True)]
            for (place, row, name), square in zip(part, pixels, strict=True):
                source = read.sources[place]
                picture = Painted(read.block, name, self._row(source, row))
                yield (
                    ready(picture) if square is None else writers.submit(self._write, picture, source, square)
                )
                self.made += square is not None

    def _chosen(self, sources: Sequence[Source], squares: Sequence[Tensor] | None) -> Sequence[Sequence[int]]:
        """The rows of each source's references."""
        if isinstance(self.pairing, Known):
            return [self.pairing.rows(source) for source in sources]
        if not squares:
            return []
        told = domains_of(self.painter.translator, [source.place for source in sources], self.domain)
        with self._in_network():
            return self.pairing.rows(sources, self.painter.styles(squares, told))

    def _row(self, source: Source, row: int) -> Row:
        domains = self.styles.domains
        return Row(
            str(source.place), str(self.styles.places[row]), domain="" if domains is None else domains[row]
        )

    def _write(self, picture: Painted, source: Source, square: Tensor) -> Painted:
        """In a thread: from pixels to a file, or to its bytes."""
        result = as_picture(square)
        if self.full_size:
            result = paste_back(source.open(), result)
        return picture._replace(data=self.output.store(picture.name, result))

    @contextmanager
    def _in_network(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.network += time.perf_counter() - began
