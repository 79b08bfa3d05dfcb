"""The one place that makes pages: self-contained HTML, without network, for phone and desk, dark and light.

What returns `Html` is markup that another function takes; whatever is a plain ``str`` is escaped.
"""

import base64
import html
import io
import json
import math
import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, NewType

from PIL import Image

from cluit.core.files import atomic_file, disk_errors

Html = NewType("Html", str)
"""Text that is markup already."""

LONG = 18  # letters: a cell with more may break anywhere, others stay on one line

STYLE = files("cluit.apps").joinpath("report.css").read_text("utf-8")
POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)
"""What a browser lets a page do: nothing from a network, whatever stands in it."""


def escape(text: object) -> Html:
    """Any text as markup that shows it."""
    return Html(html.escape(str(text)))


def place(path: object) -> str:
    """How a page names a file or a folder: as the user did, without what only this machine has.

    An absolute path is told from the working folder on, or by its last part; the JSON has it whole.
    """
    given = Path(str(path))
    if not given.is_absolute():
        return str(path)
    here = Path.cwd()
    return str(given.relative_to(here)) if given.is_relative_to(here) else f"…/{given.name}"


def paragraph(text: str) -> Html:
    return Html(f"<p>{escape(text)}</p>")


def link(text: str, page: str) -> Html:
    """page: another of the same folder."""
    return Html(f'<p><a href="{escape(page)}">{escape(text)}</a></p>')


def placed(text: str) -> str:
    """A sentence or a command line whose paths are told as `place` does."""
    words = re.findall(r"'[^']*'|[^\s']+|\s+|'", text)  # quotes stay where they are
    return "".join(
        word.replace(inner, place(inner)) if (inner := word.strip("'")) else word for word in words
    )


def command(line: str) -> Html:
    """A line for the reader's own terminal."""
    return Html(f"<pre><code>{escape(placed(line))}</code></pre>")


def command_line(words: Sequence[object], flags: Mapping[str, object]) -> str:
    """A line for a shell: ``cluit``, the words and the flags.

    None and empty lists are left out, True and False are --flag and --no-flag, a list is one flag.
    """
    line = ["cluit", *map(str, words)]
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            line.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, list | tuple):
            line += [f"--{flag}", *map(str, value)] if value else []
        elif value is not None:
            line += [f"--{flag}", str(value)]
    return shlex.join(line)


def row(*parts: Html) -> Html:
    """Side by side where the screen is wide enough, else one below the other."""
    return Html(f'<div class="row">{"".join(parts)}</div>')


def section(heading: str, *parts: Html) -> Html:
    return Html(f"<section><h2>{escape(heading)}</h2>{''.join(parts)}</section>")


def figure(picture: Image.Image, caption: str, zoom: int = 1) -> Html:
    """A picture within the page itself, shown ``zoom`` times as large, never wider than the screen."""
    size = f'width="{picture.width * zoom}" height="{picture.height * zoom}"'
    return Html(
        f'<figure><img {size} alt="{escape(caption)}" src="{data_uri(picture)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def data_uri(picture: Image.Image, kind: str = "PNG") -> str:
    """The picture itself as an address."""
    file = io.BytesIO()
    picture.save(file, kind, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]], note: str = "", strong: int = 0) -> Html:
    """Numbers in columns, floats to three digits, and a note below; the first ``strong`` rows stand out."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(
        f"<tr{' class=strong' if i < strong else ''}>{''.join(map(cell, cells))}</tr>"
        for i, cells in enumerate(rows)
    )
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    return Html(
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"</div>{below}"
    )


def cell(value: object) -> str:
    text = number(value, "#") if isinstance(value, float) else str(value)
    return f"<td{' class=long' if len(text) > LONG else ''}>{escape(text)}</td>"


def number(value: float, form: str = "") -> str:
    """Three significant digits, without an exponent where a reader needs none; – for what is not a number.

    form: ``#`` keeps zeros at the end, so that columns line up.
    """
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:{form}.3g}".removesuffix(".")


def page(title: str, lead: str, *sections: Html) -> str:
    """The whole document."""
    made_by = ", ".join(f"{name} {escape(which)}" for name, which in versions().items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{paragraph(lead)}{''.join(sections)}<footer>{made_by}</footer></body></html>\n"
    )


def versions() -> dict[str, str]:
    """What the figures depend on beside the settings."""
    import torch

    from cluit.core.release import release

    return {"cluit": release(), "torch": torch.__version__, "python": platform.python_version()}


def write(path: Path, document: str, record: Mapping[str, Any]) -> None:
    """The page at ``path`` and beside it its twin for programs, with suffix ``.json``.

    record: settings, seeds, results and timings, as JSON values; versions and the time are added here.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    twin = json.dumps(finite({"written": now, "versions": versions(), **record}), indent=2, allow_nan=False)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    for target, text in ((path, document), (path.with_suffix(".json"), twin + "\n")):
        with atomic_file(target) as file:
            file.write(text.encode(errors="replace"))  # the name of a file may be no text


def finite(value: Any) -> Any:
    """Nested values with null for NaN and infinity, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
