"""Small pictures with words below them: as one sheet, and as rows of a page that wrap on a phone."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from cluit.apps.report import Html, data_uri, escape
from cluit.core.images import as_picture

SIDE, SMALL = 96, 76  # pixels of a thumbnail on a sheet and on a page: four of these suit a phone
GAP, TEXT, LINE = 8, 13, 16  # pixels between pictures, of the letters, from line to line
INK, GROUND = "#1c1e21", "#ffffff"

Cell = tuple[Image.Image, Sequence[str]]
"""A picture of at most SIDE pixels and the lines below it."""


def thumbnail(pixels: Tensor, side: int = SIDE) -> Image.Image:
    """uint8 (3, S, S) -> at most ``side`` pixels a side; what is smaller grows a whole number of times."""
    picture = as_picture(pixels)
    if picture.width > side:
        return picture.resize((side, side), Image.Resampling.LANCZOS)
    zoom = side // picture.width
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def sheet(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """All rows as one picture; the first cell of a row stands a little apart, what follows belongs to it."""
    lines = max(len(words) for row in rows for _, words in row)
    step = SIDE + GAP
    height = step + lines * LINE
    columns = max(map(len, rows))
    page = Image.new("RGB", (columns * step + 3 * GAP, len(rows) * height + GAP), GROUND)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(TEXT)
    for i, row in enumerate(rows):
        for j, (picture, words) in enumerate(row):
            left, top = GAP + j * step + (2 * GAP if j else 0), GAP + i * height
            page.paste(picture, (left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2))
            for number, line in enumerate(words):
                place = left + SIDE / 2, top + SIDE + 2 + number * LINE
                draw.text(place, fitting(line, font), INK, font, anchor="ma")
    return page


def fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of ``text`` as is no wider than a thumbnail; what the font lacks becomes a question mark."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    if font.getlength(text) <= SIDE:
        return text
    while text and font.getlength(text + "...") > SIDE:
        text = text[:-1]
    return text + "..."


def wrapped(cells: Sequence[Cell]) -> Html:
    """The cells from left to right in as many lines as the screen needs, the first one framed."""
    parts = [
        f'<figure><img width="{SMALL}" height="{SMALL}" alt="{escape(", ".join(words))}" '
        f'src="{data_uri(picture)}"><figcaption>{"<br>".join(map(escape, words))}</figcaption></figure>'
        for picture, words in cells
    ]
    return Html(f'<div class="cells">{"".join(parts)}</div>')
