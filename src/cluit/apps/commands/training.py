"""Train methods, and compare what comes of them."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from cluit.apps.commands.types import Device, Out, Precision
from cluit.apps.flags import Settings


def train(
    data: Annotated[str | None, Positional, arg(metavar="DATA")] = None,
    *,
    out: Annotated[Path, arg(metavar="RUN")],
    resume: bool = False,
    config: Annotated[Path | None, arg(metavar="FILE")] = None,
    settings: Settings,
) -> None:
    """Learn from a folder of pictures.

    Flags win over the file of --config, the file over the recipe, the recipe over the defaults. Exit codes: 0
    when the training is done, 130 or 143 when Ctrl-C or SIGTERM stopped it (it has saved, --resume goes on),
    1 when it diverged or another of its processes failed, 2 for a mistake in the command.

    On several GPUs: torchrun --nproc-per-node GPUS -m cluit train ...; --batch-size is that of all.

    Args:
        data: A folder of pictures, nested or flat; tar shards, their folder or 'shard-{000..009}.tar'; or the
            word portraits: drawn animals. --resume knows it.
            Subfolders are the classes of a method that has to be told some, such as starganv2.
        out: A new or empty folder for settings, log, grids, checkpoints and models; a run's, with --resume.
        resume: Go on where the run stopped, bit for bit.
        config: YAML lines such as style_weight: 3.
    """
    from cluit.apps.train import train
    from cluit.core.distributed import LostRank
    from cluit.engine.divergence import Diverged

    try:
        train(data, out=out, resume=resume, config=config, **settings)
    except (Diverged, LostRank) as error:
        print(f"cluit: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def ablate(
    name: Annotated[Literal["augmentation", "match", "weights"], Positional, arg(metavar="NAME")],
    data: Annotated[str, Positional, arg(metavar="DATA")],
    *,
    out: Out,
    seeds: int | None = None,
    oracle: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    features: Annotated[str | None, arg(metavar="NETWORK")] = None,
    config: Annotated[Path | None, arg(metavar="FILE")] = None,
    settings: Settings,
) -> None:
    """Train runs that differ in one thing and compare what comes of them.

    Interrupted, the same command goes on; runs that are finished are not repeated, and two ablations with one
    OUT share those that they have in common. Exit code 1 where a row failed, the others being done.

    Args:
        name: augmentation (the paper's Table 2), match (Table 3 and Figure 8) or weights (cycle and R1).
        data: The word portraits, or a folder of pictures; a folder needs --held-out with others to score on.
        out: A folder for the runs, the page, its JSON and a table in Markdown.
        seeds: Runs of each row; 3, of weights 1. They count from --seed.
        oracle: A classifier of cluit oracle: adds accuracy, and distances are under its features.
        features: Another network for distances, as cluit evaluate takes it.
        config: YAML lines such as style_weight: 3.
    """
    from cluit.apps.ablate import ablate

    record = ablate(
        name, data, out=out, seeds=seeds, oracle=oracle, features=features, config=config, **settings
    )
    if any(run["failure"] for row in record["rows"] for run in row["runs"]):
        raise SystemExit(1)


def compare(
    data: Annotated[str, Positional, arg(metavar="DATA")],
    *,
    methods: Annotated[tuple[str, ...], arg(metavar="SPEC ...")],
    out: Out,
    pictures: int | None = None,
    test: Annotated[str | None, arg(metavar="DATA")] = None,
    oracle: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    features: Annotated[tuple[str, ...], arg(metavar="NETWORK ...")] = (),
    seeds: int = 1,
    each: int = 10,
    limit: int | None = None,
    settings: Settings,
) -> None:
    """Train methods under one budget and score them alike.

    The budget is --pictures or --minutes. OUT gets the runs, a page (index.html), its JSON, the tables
    (table.md) and a picture (figure.png). Interrupted, the same command goes on; what is finished is not
    repeated. Exit code 1 where a row failed, the others being done.

    Args:
        data: The word portraits, or a folder of pictures.
        methods: A row each: METHOD or METHOD:name=value,name=value, e.g. tunit:clusters=10.
        out: A folder for the runs and the results.
        pictures: That each row sees in training, counted as often as they are seen.
        test: Pictures to score on, a folder or the word portraits; by default those of --held-out.
        oracle: A classifier of cluit oracle: adds accuracy.
        features: Networks for distances, as cluit evaluate takes them.
        seeds: Runs of each row. They count from --seed.
        each: References for each test picture.
        limit: Only so many sources, drawn at random.
    """
    from cluit.apps.compare import compare

    record = compare(
        data, methods=methods, out=out, pictures=pictures, test=test, oracle=oracle, features=features,
        seeds=seeds, each=each, limit=limit, **settings,
    )  # fmt: skip
    if any(run["failed"] for row in record["rows"] for run in row["runs"]):
        raise SystemExit(1)


def methods(*, image_size: int = 128, width: int = 64, json: bool = False) -> None:
    """List each method with its networks' parameters and multiply-accumulates per picture.

    Args:
        image_size: Side of the pictures.
        width: Channels of the first layer.
        json: Print JSON instead of a table.
    """
    from cluit.apps.methods import print_methods

    print_methods(image_size, width, as_json=json)


def demo(
    *,
    out: Out = Path("demo"),
    minutes: float = 8.0,
    seed: int = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    browser: bool = True,
) -> None:
    """Draw portraits, train on them for some minutes, translate, and write a page that shows it.

    Args:
        out: A folder for the run and the page.
        minutes: Of training.
        seed: Of the training.
        device: Where to train.
        precision: Of the arithmetic.
        browser: Open the page.
    """
    from cluit.apps.demo import demo

    demo(out=out, minutes=minutes, seed=seed, device=device, precision=precision, browser=browser)
