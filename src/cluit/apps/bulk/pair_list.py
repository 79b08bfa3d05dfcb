"""A list of pairs in a file, read line by line."""

import csv
import difflib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cluit.apps.bulk.sources import Source, sorted_on_disk
from cluit.apps.targets import plain_name
from cluit.core.errors import UserError
from cluit.data.decode import SUFFIXES


class PairList:
    """A CSV of pairs: its columns are source and reference, and output where translations have names of their
    own. Paths are relative to the folders of sources and references. Iterating reads it line by line."""

    def __init__(self, path: Path, sources: Path, references: Path, suffix: str, scratch: Path) -> None:
        """suffix: of the translations, e.g. ``.png``. scratch: as of `sorted_on_disk`.

        UserError for a line that cannot be used, and for two of one output.
        """
        for folder in (sources, references):
            if not folder.is_dir():
                raise UserError(f"a list of pairs names pictures in folders; {folder} is none")
        self.path, self.suffix, self.count = path, suffix, 0
        self.sources, self.root = sources, references
        self.references = dict[str, str]()
        """All files that are named, with their parts of translations' names: as many styles are in memory."""
        before = ""
        for line in sorted_on_disk(self._outputs(), scratch):
            output, number = json.loads(line)
            if output == before:
                raise UserError(
                    f"line {number} of {path} is not the first to be written as {output}{suffix}; "
                    "leave it out, or name each in a column output"
                )
            before = output
        if not self.count:
            raise UserError(f"{path} names no pairs; it needs the columns source and reference, and lines")

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Source]:
        return (source for *_, source in self._read())

    def _outputs(self) -> Iterator[str]:
        for number, reference, source in self._read():
            self.count += 1
            name = self.references.setdefault(source.reference, plain_name(reference))
            named = source.output or f"{source.name}--{name}"
            yield json.dumps([named.casefold(), number]) + "\n"

    def _read(self) -> Iterator[tuple[int, str, Source]]:
        """The number of each line, the reference that it names, and what it asks for."""
        try:
            with self.path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
                lines = csv.DictReader(file)
                named = lines.fieldnames or ()
                if missing := {"source", "reference"} - set(named):
                    raise UserError(
                        f"{self.path} has no column {' nor '.join(sorted(missing))}; "
                        "its first line must name source and reference, and may name output"
                    )
                if "output" not in named and (meant := difflib.get_close_matches("output", named, 1)):
                    raise UserError(f"{self.path} has a column {meant[0]}; call it output if it names those")
                for line in lines:
                    number = lines.line_num
                    source, reference, output = (
                        line.get(name) or "" for name in ("source", "reference", "output")
                    )
                    if not source or not reference:
                        raise UserError(f"line {number} of {self.path} lacks a source or a reference")
                    yield number, reference, Source(
                        plain_name(source), self.sources / source, source,
                        reference=str(self.root / reference), output=self._output(output, number),
                    )  # fmt: skip
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror or error}") from error
        except csv.Error as error:
            raise UserError(f"{self.path} is not a CSV that can be read: {error}") from error

    def _output(self, output: str, number: int) -> str:
        """Without its suffix; UserError for one outside the folder or of another format."""
        name = PurePosixPath(output.removesuffix(self.suffix))
        if name.is_absolute() or any(part.startswith(".") for part in name.parts):
            raise UserError(
                f"line {number} of {self.path} names the output {output}, which is not inside --out"
            )
        if name.suffix.lower() in SUFFIXES:
            raise UserError(
                f"line {number} of {self.path} names {output}, while pictures are {self.suffix}; "
                "leave the suffix out, or name another --format"
            )
        return "" if output == "" else str(name)
