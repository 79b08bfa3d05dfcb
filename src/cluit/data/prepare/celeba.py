"""CelebA, faces of celebrities with 40 attributes (arXiv 1411.7766): the aligned pictures, 178 × 218."""

import csv
import io
from collections.abc import Mapping
from pathlib import PurePosixPath

from cluit.core.errors import UserError
from cluit.data.attributes import parse_table
from cluit.data.prepare.archive import Files
from cluit.data.prepare.layout import Layout, Published, picture_names

ATTRIBUTES, PARTITION = "list_attr_celeba", "list_eval_partition"
SPLITS = {"0": "train", "1": "val", "2": "test"}
TABLE = "attributes.csv"
HOME = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


def celeba_layout(files: Files) -> Layout:
    """``{train,val,test}/<name>`` by the official partition, and ``attributes.csv``: 0 or 1 for each of 40.

    Pictures are known by having a row in the partition. Tables are found by name wherever they lie, as the
    official .txt or as CSV. UserError without a partition, or without pictures of it; a note where there are
    no attributes.
    """
    split = _partition(files)
    pictures = {
        f"{SPLITS[split[name.name]]}/{name.name}": str(name)
        for name in picture_names(files)
        if name.name in split
    }
    if not pictures:
        raise UserError(
            f"none of the {len(files)} files is a picture with a row in {PARTITION}; look for "
            f"img_align_celeba.zip at {HOME}"
        )
    table = _find(files, ATTRIBUTES)
    if table is None:
        note = f"no {TABLE} is written, as there is no {ATTRIBUTES}.txt beside the pictures"
        return Layout(pictures, notes=(note,))
    return Layout(pictures, {TABLE: _as_csv(*parse_table(_text(files, table), table))})


def _partition(files: Files) -> Mapping[str, str]:
    """Each picture's split, by number: ``000001.jpg 0``, or the same with a comma and a header."""
    found = _find(files, PARTITION)
    if found is None:
        raise UserError(
            f"there is no {PARTITION}.txt, which says who is trained on; put it and {ATTRIBUTES}.txt beside "
            f"the archive (they are at {HOME}) and give the same command again"
        )
    rows = [line.replace(",", " ").split() for line in _text(files, found).splitlines() if line.strip()]
    split = {row[0]: row[1] for row in rows if len(row) == 2 and row[1] in SPLITS}
    if len(split) < len(rows) - 1:  # one may be a header
        raise UserError(f"{found} is not CelebA's partition: a row is a file and 0, 1 or 2; fetch it again")
    return split


def _as_csv(header: list[str], rows: Mapping[str, list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *header[1:]])
    writer.writerows(
        [file, *("1" if cell.strip() == "1" else "0" for cell in row[1:])] for file, row in rows.items()
    )
    return text.getvalue()


def _find(files: Files, stem: str) -> str | None:
    names = (name for name in sorted(files) if PurePosixPath(name).stem == stem)
    return next((name for name in names if name.endswith((".txt", ".csv"))), None)


def _text(files: Files, name: str) -> str:
    try:
        return files[name]().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not a text in UTF-8 ({error}); fetch it again") from error


CELEBA = Published(
    layout=celeba_layout,
    counts={"train": 162770, "val": 19867, "test": 19962},
    square=178,
    home=HOME,
)
