"""Look into the styles that a model tells apart."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from cluit.apps.commands.types import Device, From, Model, Out, Precision


def search(
    model: Model,
    *,
    data: From,
    query: Annotated[tuple[Path, ...], arg(metavar="PIC ...")] = (),
    out: Out,
    k: int = 10,
    index: Annotated[Path | None, arg(metavar="FILE")] = None,
    approximate: bool = False,
    features: str | None = None,
    count: int = 1000,
    domain: Annotated[str | None, arg(metavar="NAME")] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: int = 16,
) -> None:
    """Find the pictures whose style is most like that of others.

    Args:
        model: A run, a saved or an exported model's folder, hf://user/name, or the word portraits.
        data: A folder of pictures, or the word portraits: drawn animals that no training saw.
        query: Pictures whose like is looked for; by default the first picture of each class.
        out: A folder for the page, its JSON and the sheet.
        k: How many to find for each.
        index: A *.safetensors that keeps the codes for as long as model and pictures are the same.
        approximate: Search in a graph, for a million pictures; needs the extra search.
        features: The baseline's network: efficientnet-lite0 where it is installed, else random.
        count: Portraits to draw.
        domain: Of all pictures, for a model that tells domains apart; without it their folders decide.
        device: Where to work.
        precision: Of the arithmetic.
        batch_size: Pictures worked on at once.
    """
    from cluit.apps.search import search

    search(
        model, data, query, out=out, k=k, index=index, approximate=approximate, features=features,
        count=count, domain=domain, device=device, precision=precision, batch_size=batch_size,
    )  # fmt: skip


def interpolate(
    model: Model,
    source: Annotated[Path, Positional, arg(metavar="SOURCE")],
    references: Annotated[tuple[Path, ...], Positional, arg(metavar="REFERENCE ...")],
    *,
    out: Out,
    frames: int = 9,
    animation: Annotated[Path | None, arg(metavar="FILE")] = None,
    seconds: float = 2.0,
    portraits: bool = False,
    features: str | None = None,
    domain: Annotated[str | None, arg(metavar="NAME")] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: int = 16,
) -> None:
    """Lead a picture's style from its own to those of others.

    Args:
        model: A run, a saved or an exported model's folder, hf://user/name, or the word portraits.
        source: The picture whose structure stays.
        references: The pictures whose styles are reached, one after the other.
        out: A folder for the page, its JSON and the strip.
        frames: From one style to the next, with both.
        animation: Also write a .webp, .gif or .mp4.
        seconds: The animation's, from one style to the next.
        portraits: The pictures are portraits: read the pose along the way, and over held-out ones.
        features: The network of the distance: efficientnet-lite0 where it is installed, else random.
        domain: Of all pictures, for a model that tells domains apart; without it their folders decide.
        device: Where to work.
        precision: Of the arithmetic.
        batch_size: Pictures worked on at once.
    """
    from cluit.apps.interpolate import interpolate

    interpolate(
        model, source, references, out=out, frames=frames, animation=animation, seconds=seconds,
        portraits=portraits, features=features, domain=domain, device=device, precision=precision,
        batch_size=batch_size,
    )  # fmt: skip


def style_map(
    model: Model,
    *,
    data: From,
    out: Out,
    by: Literal["tsne", "umap"] = "tsne",
    count: int = 1000,
    seed: int = 0,
    domain: Annotated[str | None, arg(metavar="NAME")] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: int = 16,
) -> None:
    """Lay out the styles of a folder as a map.

    Args:
        model: A run, a saved or an exported model's folder, hf://user/name, or the word portraits.
        data: A folder of pictures, or the word portraits: drawn animals that no training saw.
        out: A folder for the page, its JSON and the picture.
        by: Way to lay out; needs the extra analysis, or umap.
        count: Pictures to show, at most.
        seed: Of the layout.
        domain: Of all pictures, for a model that tells domains apart; without it their folders decide.
        device: Where to work.
        precision: Of the arithmetic.
        batch_size: Pictures worked on at once.
    """
    from cluit.apps.stylemap import style_map

    style_map(
        model, data, out=out, by=by, count=count, seed=seed, domain=domain, device=device,
        precision=precision, batch_size=batch_size,
    )  # fmt: skip


def clusters(
    model: Model,
    *,
    data: From,
    out: Out,
    each: int = 24,
    count: int = 1000,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: int = 16,
) -> None:
    """List and show the clusters that a model has learned to sort pictures into.

    Only some models do, such as those of --method tunit. Subfolders, where there are any, are labels to
    compare the clusters with.

    Args:
        model: A run, a saved model's folder, or hf://user/name.
        data: A folder of pictures, or the word portraits: drawn animals that no training saw.
        out: A folder for the page, its JSON, the sheet and a table of all files.
        each: Pictures shown of each cluster: those that the model is surest of.
        count: Portraits to draw.
        device: Where to work.
        precision: Of the arithmetic.
        batch_size: Pictures worked on at once.
    """
    from cluit.apps.clusters import clusters

    clusters(
        model, data, out=out, each=each, count=count, device=device, precision=precision,
        batch_size=batch_size,
    )  # fmt: skip
