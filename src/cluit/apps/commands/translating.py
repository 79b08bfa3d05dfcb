"""Repaint pictures with a model."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from cluit.apps.commands.types import Device, Model, Out, Precision


def translate(
    model: Model,
    source: Annotated[Path, Positional, arg(metavar="SOURCE")],
    reference: Annotated[Path | None, Positional, arg(metavar="REFERENCE")] = None,
    *,
    out: Out,
    each: Annotated[int | None, arg(metavar="K")] = None,
    nearest: Annotated[int | None, arg(metavar="K")] = None,
    farthest: Annotated[int | None, arg(metavar="K")] = None,
    pairs: Annotated[Path | None, arg(metavar="FILE")] = None,
    latent: Annotated[int | None, arg(metavar="K")] = None,
    domain: Annotated[str | None, arg(metavar="NAME")] = None,
    seed: int = 0,
    grid: bool = False,
    full_size: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    manifest: Annotated[Path | None, arg(metavar="FILE")] = None,
    format: Annotated[Literal["png", "jpg", "webp"] | None, arg(metavar="NAME")] = None,
    quality: int = 95,
    shards: Annotated[int | None, arg(metavar="N")] = None,
    workers: int = 4,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: int = 16,
) -> None:
    """Repaint pictures in the style of others: a folder in every style of another, or as a rule says.

    Args:
        model: A run, a saved or an exported model's folder, hf://user/name, or the word portraits.
        source: A picture, a folder of them or tar shards: what is repainted.
        reference: A picture or a folder of them: whose style it takes on.
        out: A picture to write, or a folder for several.
        each: Give each source so many references by chance, not all.
        nearest: Give each source the references whose styles are most like its own.
        farthest: Give each source the references whose styles are least like its own.
        pairs: A CSV with the columns source and reference, and output where names are to be your own.
        latent: Make up so many styles for each source, instead of a REFERENCE, where the model can.
        domain: Of references or made-up styles, for a model that tells domains apart; else folders decide.
        seed: Of chance: who meets whom, and styles that are made up.
        grid: Write one picture of all sources by all references.
        full_size: Put the result back at the source's size.
        resume: Go on with the job in OUT: what is finished is not done again.
        overwrite: Replace what is there.
        manifest: A .csv or .parquet that tells who made which picture; the usual one is manifest.csv in OUT.
        format: Of the pictures in a folder: png, jpg or webp.
        quality: Of JPEG and WebP, from 1 to 100.
        shards: Write tars of so many pictures each instead of files.
        workers: Threads that read, and as many that write.
        device: Where to work.
        precision: Of the arithmetic.
        batch_size: Pictures worked on at once.
    """
    from cluit.apps.translate import translate

    translate(
        model, source, reference, out=out, each=each, nearest=nearest, farthest=farthest, pairs=pairs,
        latent=latent, domain=domain, seed=seed, grid=grid, full_size=full_size, resume=resume,
        overwrite=overwrite, manifest=manifest, format=format, quality=quality, shards=shards,
        workers=workers, device=device, precision=precision, batch_size=batch_size,
    )  # fmt: skip
