"""A job: sources, styles, a rule who meets whom, and a folder that gets the translations."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import IO

from cluit.apps.api import Painter
from cluit.apps.bulk.manifest import Manifest, check_name, while_growing
from cluit.apps.bulk.outputs import (
    KINDS,
    Encoding,
    Folders,
    Place,
    Tars,
    depth_of,
    require_free,
)
from cluit.apps.bulk.pair_list import PairList
from cluit.apps.bulk.pairing import Rule
from cluit.apps.bulk.pipeline import Group, Pipeline, groups
from cluit.apps.bulk.progress import Skipped, progress
from cluit.apps.bulk.record import RECORD, Settings, claim
from cluit.apps.bulk.share import Share, own_share
from cluit.apps.bulk.sources import Listing, Source, Tell, members_of, nameless_file
from cluit.apps.bulk.styles import Styles, encoded, find, made_up
from cluit.apps.sigterm import ended_by_sigterm
from cluit.apps.targets import part_names
from cluit.core.errors import UserError
from cluit.core.extras import needs
from cluit.core.files import STRAYS
from cluit.core.weights import fingerprint
from cluit.data.shards import is_shards, shard_files

MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Job:
    """What is asked for; `run` does it, or what is left of it."""

    sources: Path
    """A folder of pictures, one picture, or tar shards, see `is_shards`."""
    references: Path | None
    """A folder of pictures or one; None where styles are made up."""
    out: Path
    rule: Rule
    _: KW_ONLY
    domain: str | None
    seed: int
    full_size: bool
    resume: bool
    """Go on with the job that ``out`` holds; begin where it holds none."""
    overwrite: bool
    """Replace what is there; a source or a reference never is."""
    manifest: Path | None
    """Where the manifest goes, if not to `MANIFEST` in ``out``."""
    format: str
    quality: int
    """Of JPEG and WebP, from 1 to 100."""
    shards: int | None
    """Write tars of as many pictures instead of files."""
    workers: int
    """Threads that read, and as many that write."""

    @property
    def table(self) -> Path:
        """The manifest."""
        return (self.manifest or self.out / MANIFEST).expanduser()

    @property
    def pairs(self) -> Path | None:
        """The list of pairs, if there is one."""
        return None if self.rule.pairs is None else self.rule.pairs.expanduser()

    def run(self, load: Callable[[], Painter]) -> None:
        """load: gives the model, once all that can be refused without it has been."""
        share = own_share()
        self._refuse(share)
        scratch = next(one for one in (self.out, *self.out.absolute().parents) if one.is_dir())
        skipped = Skipped()
        with nameless_file(scratch) as file:
            sources = self._listed(file, scratch, skipped)
            self._run(load(), sources, share, skipped)

    def _run(
        self, painter: Painter, sources: Listing | PairList | None, share: Share, skipped: Skipped
    ) -> None:
        styles = self._styles(painter, sources, skipped)
        pairing = self.rule.pairing(styles, self.seed, self._own(styles))
        count = None if sources is None else len(sources) * pairing.each
        if self.shards is not None and self.shards < pairing.each:
            raise UserError(
                f"a source has {pairing.each} translations, which stay together; "
                f"add --shards {pairing.each} or more"
            )
        if sources is not None and share.rank == 0:
            announce(len(sources), len(styles), pairing.each, made_up=self.references is None)

        inputs = tuple(one.resolve() for one in (self.sources, self.references) if one is not None)
        if not (self.out / RECORD).exists():
            for table in {self.table, while_growing(self.table)}:
                require_free(table, self.overwrite, inputs)
        depth = depth_of(count or 0)
        fresh = not self.out.exists() or not any(self.out.iterdir())
        began = claim(
            self.out,
            self._settings(painter, sources, styles, depth),
            resume=self.resume or share.world > 1,
            overwrite=self.overwrite,
        )
        since = (self.out / RECORD).stat().st_mtime_ns
        place = Place(self.out, since, fresh, self.overwrite, inputs)
        encode = Encoding(self.format, self.quality)
        output = Folders(place, encode, depth) if self.shards is None else Tars(place, encode)
        pipeline = Pipeline(
            painter, styles, pairing, output, skipped,
            domain=self.domain, full_size=self.full_size, workers=self.workers,
        )  # fmt: skip
        try:
            there, seconds = self._work(pipeline, sources, share, count)
            if not there and share.world == 1:
                raise UserError(f"nothing could be translated ({skipped}); give other pictures")
        finally:
            if not began and not pipeline.made and share.world == 1:
                self._forget()
        self._conclude(pipeline, there, seconds, share)

    def _refuse(self, share: Share) -> None:
        """UserError for what no model is needed to see."""
        for folder in (self.sources, self.references):
            if folder is not None and folder.is_dir() and self.out.resolve().is_relative_to(folder.resolve()):
                raise UserError(
                    f"{self.out} is inside {folder}, whose pictures it would add to; choose another --out"
                )
        if self.format not in KINDS:
            raise UserError(f"unknown format {self.format!r}; choose {', '.join(KINDS)}")
        if not 1 <= self.quality <= 100:
            raise UserError(f"the quality is from 1 to 100, not {self.quality}")
        if self.workers < 1 or (self.shards is not None and self.shards < 1):
            raise UserError(
                "there must be at least one worker and one picture in a shard; give a larger number"
            )
        check_name(self.table)
        if self.overwrite and share.world > 1:
            raise UserError(
                "several processes cannot tell what to replace; delete the folder, or choose another --out"
            )
        if self.references is not None and is_shards(self.references):
            raise UserError(f"{self.references} is tar shards: references are pictures or a folder of them")
        if self.pairs is not None and self.pairs.resolve() in {
            table.resolve() for table in (self.table, while_growing(self.table))
        }:
            raise UserError(f"the manifest would replace the list of pairs, {self.pairs}; name another one")
        if is_shards(self.sources) and self.pairs is not None:
            raise UserError("a list of pairs names files in folders; unpack the tars, or choose another rule")
        if self.shards is not None:
            needs("webdataset", "writing tar shards", "shards")

    def _listed(self, file: IO[str], scratch: Path, skipped: Skipped) -> Listing | PairList | None:
        """The sources; None where they are in tars, which to count is to read."""
        if self.pairs is not None:
            assert self.references is not None  # `Rule.check` has seen to that
            return PairList(self.pairs, self.sources, self.references, f".{self.format}", scratch)
        if is_shards(self.sources):
            return None
        return Listing(self.sources, file, scratch, skipped)

    def _styles(self, painter: Painter, sources: Listing | PairList | None, skipped: Skipped) -> Styles:
        if self.references is None:
            assert self.rule.latent is not None
            return made_up(painter, self.rule.latent, self.domain, self.seed)
        if isinstance(sources, PairList):
            named = {Path(place): name for place, name in sorted(sources.references.items())}
        else:
            named = part_names(find(self.references, skipped), self.references)
        return encoded(painter, [*named], [*named.values()], self.domain, skipped, self.workers)

    def _own(self, styles: Styles) -> dict[str, int]:
        """The rows of references that are sources, by the source's key; none but where the folder is one."""
        if self.references is None or self.references.resolve() != self.sources.resolve():
            return {}
        root = self.references if self.references.is_dir() else self.references.parent
        return {place.relative_to(root).as_posix(): row for row, place in enumerate(styles.places)}

    def _settings(
        self, painter: Painter, sources: Listing | PairList | None, styles: Styles, depth: int
    ) -> Settings:
        """What the pictures hang on: the job goes on only where all of it is as it was."""
        card = None if any(True for _ in painter.translator.parameters()) else painter.card  # exported graphs
        names = "\n".join(f"{place}" for place in styles.places).encode(errors="surrogateescape")
        numbered = sources.fingerprint if isinstance(sources, Listing) and self.shards else None
        return {
            "model": digest((fingerprint(painter.translator) + json.dumps(card)).encode()),
            "precision": str(painter.dtype).removeprefix("torch."),
            "sources": str(self.sources.resolve()),
            "references": None if self.references is None else str(self.references.resolve()),
            "list of references": digest(names),
            "list of sources": numbered,  # a tar is known by what it begins with, a picture by its own name
            "rule": str(self.rule),
            "list of pairs": None if self.pairs is None else digest_of_file(self.pairs),
            "seed": self.seed,
            "domain": self.domain,
            "full size": self.full_size,
            "format": self.format,
            "quality": self.quality,
            "pictures in a shard": self.shards,
            "depth of subfolders": depth,
            "manifest": None if self.manifest is None else str(self.table.resolve()),
        }

    def _work(
        self, pipeline: Pipeline, sources: Listing | PairList | None, share: Share, count: int | None
    ) -> tuple[int, float]:
        """All of this process's share: how many pictures are there, and the seconds that it took."""
        output, pairing = pipeline.output, pipeline.pairing
        per_block = pipeline.painter.batch_size if self.shards is None else self.shards // pairing.each

        def plan() -> Iterator[Group]:
            sections, own = self._sections(sources, share, pipeline.tell)
            at_once = pipeline.painter.batch_size
            return groups(sections, output, per_block=per_block, at_once=at_once, share=own)

        if not output.place.fresh and not self.resume:
            pipeline.require_free(plan())
        manifest = Manifest(
            self.table,
            domains=pipeline.styles.domains is not None,
            rank=share.rank,
            world=share.world,
        )
        with ended_by_sigterm(), manifest, progress(share.rank) as bar:
            task = bar.add_task("translating", total=count and count / share.world)
            there, began = 0, time.perf_counter()
            for row in output.rows(pipeline.pictures(plan())):
                manifest.add(row)
                bar.advance(task)
                there += 1
            seconds = time.perf_counter() - began
            if manifest.finish() and self.resume:
                for stray in self.out.rglob(STRAYS):  # of a killed process: nobody else is writing any more
                    stray.unlink(missing_ok=True)
        return there, seconds

    def _sections(
        self, sources: Listing | PairList | None, share: Share, tell: Tell
    ) -> tuple[Iterable[tuple[str, Iterable[Source]]], Share]:
        """Names and sources of tars, or all in one, and how to share what is in each."""
        if sources is not None:
            return [("", sources)], share
        shards = part_names(shard_files(self.sources), self.sources)
        own = (one for number, one in enumerate(shards.items()) if share.has(number))
        return ((name, members_of(shard, tell)) for shard, name in own), Share()

    def _forget(self) -> None:
        """Leave nothing of a job that made nothing."""
        for path in (self.out / RECORD, self.table):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.out.rmdir()

    def _conclude(self, pipeline: Pipeline, there: int, seconds: float, share: Share) -> None:
        """Say what was done, and at what rate."""
        made, kept = pipeline.made, there - pipeline.made
        whose = f"process {share.rank + 1} of {share.world}: " if share.world > 1 else ""
        before = f", {kept:,} of them from before" if kept else ""
        print(f"{whose}{there:,} translation{'s' * (there != 1)} in {self.out}{before}")
        if made:
            print(
                f"{whose}{made / seconds:,.1f} pictures per second; the network alone makes "
                f"{made / pipeline.network:,.1f} and was busy {pipeline.network / seconds:.0%} of the time"
            )


def digest(data: bytes) -> str:
    """Of what is too long to be shown."""
    return blake2b(data, digest_size=16).hexdigest()


def digest_of_file(path: Path) -> str:
    """The same of what a file holds, a part at a time."""
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()


def announce(sources: int, styles: int, each: int, *, made_up: bool) -> None:
    """How many pictures this will be, where they may be more than was thought of."""
    if min(sources, each) > 1:
        chosen = f"{each:,}" if each == styles else f"{each:,} of {styles:,}"
        wearing = f"{chosen} made-up styles" if made_up else f"the style of {chosen} references"
        count = f"{sources:,} sources in {wearing} each: {sources * each:,} pictures"
        print(count, file=sys.stderr, flush=True)
