"""The manifest: a line for each translation, which says who made it."""

import csv
import importlib
import io
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from cluit.core.errors import UserError
from cluit.core.extras import needs
from cluit.core.files import atomic_file, disk_errors

CSV, PARQUET = ".csv", ".parquet"


class Row(NamedTuple):
    """What made a translation."""

    source: str
    reference: str
    """Its file, or the name of a style that was made up."""
    output: str = ""
    """Where it is, below the job's folder."""
    domain: str = ""
    """The reference's, of a model that tells domains apart."""


def check_name(path: Path) -> None:
    """UserError for a manifest that is neither a .csv nor a .parquet, and for a .parquet without pyarrow."""
    if path.suffix not in (CSV, PARQUET):
        raise UserError(f"a manifest is a {CSV} or a {PARQUET}, not {path.name}; choose another --manifest")
    if path.suffix == PARQUET:
        needs("pyarrow", "a manifest in Parquet", "parquet")


def while_growing(path: Path) -> Path:
    """What a manifest is called until its job is through: itself, or the CSV that becomes the Parquet."""
    return path if path.suffix == CSV else path.with_name(path.name + CSV)


class Manifest:
    """A CSV that grows by whole lines: readable at every instant, also after a kill.

    Of several processes each writes a part of its own; the last to be through joins them.
    """

    def __init__(self, path: Path, *, domains: bool, rank: int, world: int) -> None:
        """path: what it is called in the end, see `check_name` and `while_growing`.

        domains: whether there is a column for them. UserError where the disk refuses.
        """
        self.path, self.columns = path, Row._fields if domains else Row._fields[:-1]
        self.table = while_growing(path)
        self.parts = [self.table.with_suffix(f".{one}of{world}.csv") for one in range(world)]
        """Of the processes that are through."""
        self.part = self.parts[rank]
        self.growing = self.table if world == 1 else self.part.with_suffix(".part")

    def __enter__(self) -> Self:
        with disk_errors(self.growing):
            self.growing.parent.mkdir(parents=True, exist_ok=True)
            self.part.unlink(missing_ok=True)
            self.file = self.growing.open("wb", buffering=0)  # a line is there or not, whenever we are killed
        self._add(self.columns)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def add(self, row: Row) -> None:
        """One line more."""
        self._add(row[: len(self.columns)])

    def _add(self, cells: tuple[str, ...]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        with disk_errors(self.growing):
            self.file.write(os.fsencode(line.getvalue()))

    def finish(self) -> bool:
        """Whether this was the last of the processes: the manifest is whole then, in its last form."""
        if self.growing != self.table:
            self.growing.replace(self.part)
            if not self._join():
                return False
        if self.path != self.table:
            to_parquet(self.table, self.path)
            self.table.unlink(missing_ok=True)
        return True

    def _join(self) -> bool:
        """All parts into one, if all are there; two that see that at once do the same."""
        with ExitStack() as opened:
            try:
                files = [opened.enter_context(part.open("rb")) for part in self.parts]
            except FileNotFoundError:
                return False
            with atomic_file(self.table) as whole:
                for number, file in enumerate(files):
                    header = file.readline()
                    whole.write(header if number == 0 else b"")
                    shutil.copyfileobj(file, whole)
        for part in self.parts:
            part.unlink(missing_ok=True)
        return True


def to_parquet(table: Path, out: Path) -> None:
    """The CSV ``table`` as the Parquet file ``out``, all columns text; a part at a time is in memory."""
    arrow, reader, writer = (
        importlib.import_module(name) for name in ("pyarrow", "pyarrow.csv", "pyarrow.parquet")
    )
    text = dict.fromkeys(Row._fields, arrow.string())
    options = reader.ConvertOptions(column_types=text, strings_can_be_null=False)
    with (
        reader.open_csv(table, convert_options=options) as parts,
        atomic_file(out) as file,
        writer.ParquetWriter(file, parts.schema) as whole,
    ):
        for part in parts:
            whole.write_batch(part)
