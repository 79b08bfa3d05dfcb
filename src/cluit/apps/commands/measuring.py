"""Score a model, and train what scores it."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from cluit.apps.commands.types import Device, From, Model, Out, Precision


def evaluate(
    model: Model,
    *,
    data: From,
    out: Out,
    oracle: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    features: Annotated[tuple[str, ...], arg(metavar="NETWORK")] = (),
    attributes: Annotated[Path | None, arg(metavar="FILE")] = None,
    pairs: Annotated[Path | None, arg(metavar="FILE")] = None,
    each: int = 10,
    seed: int = 0,
    limit: int | None = None,
    real: Annotated[str | None, arg(metavar="DATA")] = None,
    trivial: bool = True,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: int = 16,
    workers: int = 1,
) -> None:
    """Score translations of test pictures, beside what trivial answers score.

    Every test picture is a source and meets random references of the same set, never itself. OUT gets a page
    of scores (index.html), one of the worst outputs (worst.html), both as JSON too, and the pairs.

    Args:
        model: A run, a saved or an exported model's folder, hf://user/name, or the word portraits.
        data: A folder of test pictures, or the word portraits. Subfolders are classes, for scoring only.
        out: A new folder.
        oracle: A classifier of cluit oracle: adds translation accuracy.
        features: Networks for distances: random, efficientnet-lite0, oracle, inception:FILE,
            inception:URL#SHA256 or TorchScript files. By default efficientnet-lite0 and the oracle given.
        attributes: A table of the test pictures' attributes, for an oracle of attributes and a folder.
        pairs: A file of pairs that an earlier evaluation wrote, in place of --each and --limit.
        each: References for each source.
        seed: Of the pairs.
        limit: Only so many sources, drawn at random.
        real: Real pictures that distances are to; by default the test pictures.
        trivial: Score the trivial answers too.
        device: Where to work.
        precision: Of the translator's arithmetic.
        batch_size: Pictures translated at once.
        workers: Processes that divide the work.
    """
    from cluit.apps.evaluate import evaluate

    evaluate(
        model, data, out=out, pairs=pairs, each=each, seed=seed, limit=limit, real=real, features=features,
        oracle=oracle, attributes=attributes, trivial=trivial, device=device, precision=precision,
        batch_size=batch_size, workers=workers,
    )  # fmt: skip


def oracle(
    data: Annotated[str, Positional, arg(metavar="DATA")],
    *,
    out: Out,
    test: Annotated[Path | None, arg(metavar="DIR")] = None,
    attributes: Annotated[Path | None, arg(metavar="CSV")] = None,
    only: Annotated[str, arg(metavar="A,B,C")] = "",
    depth: int = 50,
    width: int = 64,
    image_size: int = 64,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    grey: float = 0.2,
    seed: int = 0,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Train a classifier of real pictures, by which translations are scored, and examine it.

    It learns classes (subfolders) or binary attributes (a table). Small machines take --depth 18 --width 16.

    Args:
        data: A folder with a subfolder per class, or the word portraits: drawn animals by species.
        out: A new folder for the oracle and the page that says how often it is right.
        test: A folder of other pictures like it, required with a folder; portraits draw their own.
        attributes: A table of files and 0/1 or -1/1 columns; the test folder's own of that name wins.
        only: Some attributes, celeba for the twelve that no pose changes, or all; of portraits, their own.
        depth: Of the residual network: 18, 34 or 50, the paper's.
        width: Channels of its first stage.
        image_size: Side of the pictures it looks at.
        steps: Of training; 2000 where no minutes are given.
        minutes: Of training.
        batch_size: Pictures per step.
        learning_rate: The highest; it rises at first and falls to zero.
        grey: Share of pictures that lose their colours in training.
        seed: Of everything that is drawn by chance.
        device: Where to train.
        precision: Of the arithmetic.
    """
    from cluit.apps.oracle import make_oracle

    names = [name.strip() for name in only.split(",") if name.strip()]
    make_oracle(
        data, out=out, test=test, attributes=attributes, only=names, depth=depth, width=width,
        image_size=image_size, steps=steps, minutes=minutes, batch_size=batch_size,
        learning_rate=learning_rate, grey=grey, seed=seed, device=device, precision=precision,
    )  # fmt: skip
