"""Repaint pictures with a model."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from cluit.apps.commands.types import Device, Model, Out, Precision


def translate(
    model: Model,
    source: Annotated[Path, Positional, arg(metavar="SOURCE")],
    reference: Annotated[Path | None, Positional, arg(metavar="REFERENCE")] = None,
    *,
    out: Out,
    latent: Annotated[int | None, arg(metavar="N")] = None,
    domain: Annotated[str | None, arg(metavar="NAME")] = None,
    seed: int = 0,
    grid: bool = False,
    full_size: bool = False,
    overwrite: bool = False,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: int = 16,
) -> None:
    """Repaint pictures in the style of others.

    Args:
        model: A run, a saved model's folder, or the word portraits: the shipped one.
        source: A picture or a folder of them: what is repainted.
        reference: A picture or a folder of them: whose style it takes on.
        out: A picture to write, or a folder for several.
        latent: Make up so many styles for each source, instead of a REFERENCE, where the model can.
        domain: Of references or made-up styles, for a model that tells domains apart; else folders decide.
        seed: Of the styles that are made up.
        grid: Write one picture of all sources by all references.
        full_size: Put the result back at the source's size.
        overwrite: Replace what is there.
        device: Where to work.
        precision: Of the arithmetic.
        batch_size: Pictures worked on at once.
    """
    from cluit.apps.translate import translate

    translate(
        model, source, reference, out=out, latent=latent, domain=domain, seed=seed, grid=grid,
        full_size=full_size, overwrite=overwrite, device=device, precision=precision, batch_size=batch_size,
    )  # fmt: skip
