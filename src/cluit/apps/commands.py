"""What can be asked for: a table of plain functions, whose parameters are the flags.

torch is imported only once a command runs, so that help and refusals come at once.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from cluit.apps.flags import Command, Group, Settings

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]
Model = Annotated[str, Positional, arg(metavar="MODEL")]
Out = Annotated[Path, arg(metavar="OUT")]
From = Annotated[str, arg(metavar="DATA")]


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
    1 when it diverged, 2 for a mistake in the command.

    Args:
        data: A folder of pictures, nested or flat, or the word portraits: drawn animals. --resume knows it.
            Subfolders are the classes of a method that has to be told some, such as starganv2.
        out: A new or empty folder for settings, log, grids, checkpoints and models; a run's, with --resume.
        resume: Go on where the run stopped, bit for bit.
        config: YAML lines such as style_weight: 3.
    """
    from cluit.apps.train import train
    from cluit.engine.divergence import Diverged

    try:
        train(data, out=out, resume=resume, config=config, **settings)
    except Diverged as error:
        print(f"cluit: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def methods(*, image_size: int = 128, width: int = 64, json: bool = False) -> None:
    """List each method with its networks' parameters and multiply-accumulates per picture.

    Args:
        image_size: Side of the pictures.
        width: Channels of the first layer.
        json: Print JSON instead of a table.
    """
    from cluit.apps.methods import print_methods

    print_methods(image_size, width, as_json=json)


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
        model: A run, a saved model's folder, or the word portraits: the shipped one.
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
        model: A run, a saved model's folder, or the word portraits: the shipped one.
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
        model: A run, a saved model's folder, or the word portraits: the shipped one.
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
        model: A run, a saved model's folder, or the word portraits: the shipped one.
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
        model: A run or a saved model's folder.
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


def bench_step(
    *,
    method: tuple[str, ...] = ("cluit",),
    image_size: int = 64,
    width: int = 32,
    batch_size: int = 32,
    rounds: int = 8,
    device: Device = "auto",
    slow: bool = False,
    json: bool = False,
) -> None:
    """Time a training step in each precision and memory format.

    Args:
        method: Which, one or several; they take turns round by round.
        image_size: Side of the pictures.
        width: Channels of the first layer.
        batch_size: Pictures per step.
        rounds: Timed of each, two steps a round.
        device: Where.
        slow: Time bfloat16 even where this machine only imitates it.
        json: Print JSON instead of a table.
    """
    from cluit.apps.bench import bench_step

    bench_step(
        method=method, image_size=image_size, width=width, batch_size=batch_size, rounds=rounds,
        device=device, slow=slow, json=json,
    )  # fmt: skip


def bench_translate(
    *,
    method: tuple[str, ...] = ("cluit",),
    image_size: int = 64,
    width: int = 32,
    rounds: int = 8,
    device: Device = "auto",
    slow: bool = False,
    json: bool = False,
) -> None:
    """Time a translation in each precision and memory format.

    Args:
        method: Which, one or several; they take turns round by round.
        image_size: Side of the pictures.
        width: Channels of the first layer.
        rounds: Translations timed of each.
        device: Where.
        slow: Time bfloat16 even where this machine only imitates it.
        json: Print JSON instead of a table.
    """
    from cluit.apps.bench import bench_translate

    bench_translate(
        method=method, image_size=image_size, width=width, rounds=rounds, device=device, slow=slow, json=json
    )


def bench_data(
    *,
    image_size: int = 64,
    batch_size: int = 32,
    pictures: int = 512,
    device: Device = "auto",
    json: bool = False,
) -> None:
    """Time the loading of pictures beside the step that waits for them.

    Args:
        image_size: Side of the pictures.
        batch_size: Pictures per step.
        pictures: How many to load.
        device: Where the step runs.
        json: Print JSON instead of a table.
    """
    from cluit.apps.bench import bench_data

    bench_data(image_size=image_size, batch_size=batch_size, pictures=pictures, device=device, json=json)


def bench_search(*, codes: int = 1_000_000, dim: int = 128, queries: int = 1000, json: bool = False) -> None:
    """Time an approximate index of style codes beside exact search; needs the extra search.

    Args:
        codes: How many, made up.
        dim: Numbers in each.
        queries: To time.
        json: Print JSON instead of lines.
    """
    from cluit.apps.bench_search import bench_search

    bench_search(codes=codes, dim=dim, queries=queries, json=json)


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


def data_portraits(
    out: Annotated[Path, Positional, arg(metavar="OUT")],
    *,
    count: int = 1000,
    size: int = 64,
    seed: int = 0,
    split: str = "train",
    rare_poses: float = 0.0,
    hidden: float = 0.0,
    species_weights: dict[str, float] = {},  # noqa: B006 (never changed)
    coarse: dict[str, str] = {},  # noqa: B006
) -> None:
    """Draw portraits into an ordinary folder, with a table of their factors.

    Args:
        out: A new folder.
        count: How many.
        size: Side of the pictures: 32, 64, 128 or 256.
        seed: Of the factors.
        split: Two splits of one seed have no picture in common.
        rare_poses: Share of extreme poses.
        hidden: Share of partly hidden faces.
        species_weights: How often species come, e.g. cat 3 dog 1 and no other; by default all equally often.
        coarse: Other names for the subfolders of species, e.g. cat wild fox wild.
    """
    from cluit.apps.portraits import draw_folder

    draw_folder(
        out, count=count, size=size, seed=seed, split=split, rare_poses=rare_poses, hidden=hidden,
        species_weights=species_weights, coarse=coarse,
    )  # fmt: skip


def data_reader(
    out: Annotated[Path, Positional, arg(metavar="OUT")], *, steps: int = 1600, seed: int = 0
) -> None:
    """Train the judge of portraits anew: what reads species and pose from a picture.

    Args:
        out: A file to write, *.safetensors; the judge in use is cluit/assets/reader.safetensors.
        steps: Of training, each on freshly drawn portraits.
        seed: Of the training.
    """
    from cluit.apps.portraits import make_reader

    make_reader(out, steps, seed)


def save(model: Model, *, out: Out, half: bool = False, overwrite: bool = False) -> None:
    """Write a run's model by itself: two files, model.safetensors and model.json.

    Args:
        model: A run, a saved model's folder, or the word portraits.
        out: A folder.
        half: Store float16: half the size.
        overwrite: Replace a model that is there.
    """
    from cluit.apps.api import save

    save(model, out, half=half, overwrite=overwrite)
    print(f"model in {out}")


COMMANDS: Mapping[str, Command | Group] = {
    "train": train,
    "translate": translate,
    "evaluate": evaluate,
    "oracle": oracle,
    "search": search,
    "interpolate": interpolate,
    "map": style_map,
    "clusters": clusters,
    "ablate": ablate,
    "compare": compare,
    "methods": methods,
    "save": save,
    "data": {"portraits": data_portraits, "reader": data_reader},
    "bench": {
        "step": bench_step,
        "translate": bench_translate,
        "data": bench_data,
        "search": bench_search,
    },
    "demo": demo,
}
SUMMARIES = {
    "": "Repaint any picture in the style of any other, learned from a folder of unlabelled pictures: "
    "`cluit train FOLDER --out RUN`, then `cluit translate RUN SOURCE REFERENCE --out OUT`. "
    "`cluit --version` says which release this is.",
    "data": "Make data sets: portraits, and the judge that reads them.",
    "bench": "Measure speed and memory: step, translate, data, search.",
}
