"""`cluit translate`: one picture or one sheet of them here, whole folders in `cluit.apps.bulk`."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from cluit.apps.api import Painter, load
from cluit.apps.bulk.job import Job
from cluit.apps.bulk.pairing import Rule
from cluit.apps.bulk.progress import Skipped, progress
from cluit.apps.bulk.sources import Tell, batched
from cluit.apps.bulk.styles import Styles, encoded, find, made_up, read
from cluit.apps.squares import as_square, paste_back
from cluit.apps.targets import check_form, check_sheet, check_side, check_target, is_picture_name, part_names
from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors
from cluit.core.images import as_picture
from cluit.core.images import grid as lay_out
from cluit.data.decode import open_picture
from cluit.data.shards import is_shards


def translate(
    model: str,
    source: Path,
    reference: Path | None = None,
    *,
    out: Path,
    each: int | None = None,
    nearest: int | None = None,
    farthest: int | None = None,
    pairs: Path | None = None,
    latent: int | None = None,
    domain: str | None = None,
    seed: int = 0,
    grid: bool = False,
    full_size: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    manifest: Path | None = None,
    format: str | None = None,
    quality: int = 95,
    shards: int | None = None,
    workers: int = 4,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int = 16,
) -> None:
    """Repaint sources in the style of references, or in styles that the model makes up.

    model: a run, a saved model, or portraits, the one that is shipped.
    source, reference: a picture or a folder of them, of any size; the central square counts. Sources may be
        tar shards, see `is_shards`.
    out: a picture's name where there is one source and one reference or with grid, else a folder.
    each, nearest, farthest, pairs: who meets whom, see `Rule`; without any of them everyone meets all.
    latent: instead of a reference, how many styles to make up, by ``seed``; each source gets all of them.
    domain: see `Painter.styles` and `Painter.sample_styles`.
    grid: one sheet, the references in its first row, the sources in its first column.
    full_size: the whole source, its central square repainted; else squares of the model's size.
    resume, overwrite, manifest, format, quality, shards, workers: see `Job`.
    """
    rule = Rule(each=each, nearest=nearest, farthest=farthest, pairs=pairs, latent=latent)
    rule.check(reference)
    source, out = source.expanduser(), out.expanduser()
    worn = None if reference is None else reference.expanduser()
    for place in (source, *([] if worn is None else [worn])):
        if not place.exists() and not is_shards(place):
            raise UserError(f"there is no picture or folder at {place}")
    one_style = latent == 1 if worn is None else worn.is_file() and pairs is None
    single = grid or (source.is_file() and one_style and is_picture_name(out))
    check_form(out, single=single, grid=grid, full_size=full_size)

    def ready() -> Painter:
        return load(model, device=device, precision=precision, batch_size=batch_size)

    if not single:
        Job(
            source, worn, out, rule, domain=domain, seed=seed, full_size=full_size, resume=resume,
            overwrite=overwrite, manifest=manifest, format=format or "png", quality=quality, shards=shards,
            workers=workers,
        ).run(ready)  # fmt: skip
        return
    if rule.chooses or resume or manifest or format or shards:
        raise UserError(f"{out} is one picture: leave out what is for folders, or name a folder")
    skipped = Skipped()
    sources = find(source, skipped)
    references = [] if worn is None else find(worn, skipped)
    check_target(out, {*sources, *references}, overwrite)
    if full_size:
        check_side(out, *open_picture(source).size)
    painter = ready()
    if latent is None:
        assert worn is not None
        names = [*part_names(references, worn).values()]
        styles = encoded(painter, references, names, domain, skipped, workers)
    else:
        styles = made_up(painter, latent, domain, seed)
    if grid:
        check_sheet(out, len(sources), len(styles), painter.image_size)
    with progress() as bar:
        pictures = bar.track(
            translations(painter, sources, styles, skipped),
            total=len(sources) * len(styles),
            description="translating",
        )
        if grid:
            header = [] if worn is None else styles.places
            count = write_grid(out, pictures, header, painter.image_size)
        else:
            count = write_one(out, pictures, full_size)
    if not count:
        raise UserError(f"nothing could be translated ({skipped}); give other pictures")
    print(f"{count} translation{'s' * (count > 1)} in {out}")


def translations(
    painter: Painter, sources: Sequence[Path], styles: Styles, tell: Tell
) -> Iterator[tuple[Path, Tensor]]:
    """Source and uint8 (3, S, S) of every pair, source by source, each structure computed once."""
    for part in batched(sources, painter.batch_size):
        squares = read(part, painter.image_size, tell)
        if not squares:
            continue
        readable, structures = list(squares), painter.structures(list(squares.values()))
        pairs = torch.cartesian_prod(torch.arange(len(readable)), torch.arange(len(styles)))
        for chosen in pairs.split(painter.batch_size):
            i, j = chosen.to(styles.codes.device).unbind(1)
            painted = painter.paint(structures[i], styles.codes[j])
            yield from (
                (readable[row], pixels) for row, pixels in zip(chosen[:, 0].tolist(), painted, strict=True)
            )


def write_one(out: Path, pictures: Iterable[tuple[Path, Tensor]], full_size: bool) -> int:
    """The only translation; 0 where there is none."""
    count = 0
    for source, pixels in pictures:
        picture = as_picture(pixels)
        write_picture(out, paste_back(open_picture(source), picture) if full_size else picture)
        count += 1
    return count


def write_grid(
    out: Path, pictures: Iterable[tuple[Path, Tensor]], references: Sequence[Path], size: int
) -> int:
    """One sheet, sources in its first column; how many translations it shows.

    references: for its first row, which a sheet without any has not.
    """
    rows: dict[Path, list[Tensor]] = {}
    for source, pixels in pictures:
        rows.setdefault(source, [as_square(source, size)]).append(pixels)
    if rows:
        corner = torch.full((3, size, size), 255, dtype=torch.uint8)
        header = [corner, *(as_square(reference, size) for reference in references)]
        write_picture(out, as_picture(lay_out([*([header] if references else []), *rows.values()])))
    return sum(len(row) - 1 for row in rows.values())


def write_picture(path: Path, picture: Image.Image) -> None:
    """The file is whole or not there; its format is that of its suffix."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        picture.save(file, Image.registered_extensions()[path.suffix.lower()], quality=95)
