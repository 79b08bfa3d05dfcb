"""The commands: a table of plain functions, whose parameters are the flags.

torch is imported only once a command runs, so that help and refusals come at once.
"""

import functools
import os
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from tyro.conf import Positional, arg

from cluit.apps import flags
from cluit.apps.flags import Command, Group, Settings
from cluit.core.errors import UserError
from cluit.core.files import FULL
from cluit.core.release import release

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]
Model = Annotated[str, Positional, arg(metavar="MODEL")]
Out = Annotated[Path, arg(metavar="OUT")]


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
    reference: Annotated[Path, Positional, arg(metavar="REFERENCE")],
    *,
    out: Out,
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
        grid: Write one picture of all sources by all references.
        full_size: Put the result back at the source's size.
        overwrite: Replace what is there.
        device: Where to work.
        precision: Of the arithmetic.
        batch_size: Pictures worked on at once.
    """
    from cluit.apps.translate import translate

    translate(
        model, source, reference, out=out, grid=grid, full_size=full_size, overwrite=overwrite,
        device=device, precision=precision, batch_size=batch_size,
    )  # fmt: skip


def bench_step(
    *,
    method: str = "cluit",
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
        method: Which.
        image_size: Side of the pictures.
        width: Channels of the first layer.
        batch_size: Pictures per step.
        rounds: Steps timed of each.
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
    method: str = "cluit",
    image_size: int = 64,
    width: int = 32,
    rounds: int = 8,
    device: Device = "auto",
    slow: bool = False,
    json: bool = False,
) -> None:
    """Time a translation in each precision and memory format.

    Args:
        method: Which.
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
    "methods": methods,
    "save": save,
    "data": {"portraits": data_portraits, "reader": data_reader},
    "bench": {"step": bench_step, "translate": bench_translate, "data": bench_data},
    "demo": demo,
}
SUMMARIES = {
    "": "Repaint any picture in the style of any other, learned from a folder of unlabelled pictures: "
    "`cluit train FOLDER --out RUN`, then `cluit translate RUN SOURCE REFERENCE --out OUT`. "
    "`cluit --version` says which release this is.",
    "data": "Make data sets: portraits, and the judge that reads them.",
    "bench": "Measure speed and memory: step, translate, data.",
}


def parse(argv: list[str]) -> functools.partial[None]:
    """The command that ``argv`` asks for, not yet run; see `flags.parse`."""
    return flags.parse(argv, COMMANDS, SUMMARIES)


def main(argv: list[str] | None = None) -> None:
    """Run a command and leave with its exit code; a user's mistake is one sentence and code 2.

    A reader that closes the pipe early, such as ``head``, ends the command without a word and with code 141,
    as SIGPIPE would.
    """
    argv = sys.argv[1:] if argv is None else argv
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell's >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for as long as the process lives)
    warnings.showwarning = lambda message, *_: say(f"warning: {message}")
    try:
        try:
            if argv == ["--version"]:
                print(f"cluit {release()}")
            else:
                parse(argv)()
        finally:
            sys.stdout.flush()
    except UserError as error:
        leave(2, str(error))
    except KeyboardInterrupt:
        leave(130, "interrupted")
    except BrokenPipeError:
        leave(141)
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        where = "the output" if error.filename is None else os.fsdecode(error.filename)
        leave(2, f"cannot use {where}: {error.strerror}; choose another place")


def say(text: str) -> None:
    """One line on standard error, or nothing where that is closed or full."""
    with suppress(OSError):
        print(f"cluit: {text}", file=sys.stderr)


def leave(code: int, text: str = "") -> NoReturn:
    """End with this exit code, whatever has become of the outputs."""
    if text:
        say(text)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # what is left unwritten would be tried again, and complained of, at the very end
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    raise SystemExit(code) from None
