"""The main job: pictures in, a run out. It introduces settings, data and engine to each other and trains."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from cluit.apps.api import SHIPPED, model_folder
from cluit.apps.job import Job
from cluit.apps.pictures import PORTRAITS, Data, open_data
from cluit.apps.settings import Settings, as_yaml, checked, layered, read_settings, resumed
from cluit.apps.truths import portraits_judge
from cluit.core.errors import UserError
from cluit.core.files import atomic_file
from cluit.core.machine import has_fast_bfloat16, pick_device, pick_precision
from cluit.data.dataset import MapStyle
from cluit.data.labels import UNTOLD, Labelled, listed
from cluit.data.loader import require_divisible
from cluit.engine.checkpoint import latest_checkpoint, load_checkpoint
from cluit.engine.console import run_console
from cluit.engine.run import SETTINGS, claim_run
from cluit.export import weights
from cluit.methods import CONFIGS


def train(
    data: str | Path | MapStyle | None = None,
    *,
    out: str | Path,
    resume: bool = False,
    config: str | Path | None = None,
    **given: Any,
) -> Path:
    """Train on ``data`` into the folder ``out`` and return it.

    data: a folder of pictures, the word ``portraits``, or any map-style data set (items are PIL images, uint8
        arrays (H, W, C) or tensors (C, H, W), or tuples that begin with one). A resumed run knows its own.
        Only a method that has to be told classes looks at them: the first-level subfolders, the species, or
        the second element of items (picture, label), a whole number or a name.
    resume: go on where the run in ``out`` stopped, bit for bit. ``steps``, ``minutes``, ``device``,
        ``precision``, the intervals and what concerns loading may be given anew, nothing else.
    config: a YAML file of settings. given: settings, see `TrainSettings` and the method's configuration; they
        win over the file, the file over the recipe.

    UserError for whatever the user can mend, with nothing overwritten; Diverged (a UserError) where numbers
    are no longer finite. KeyboardInterrupt (Ctrl-C) and SystemExit(143) (SIGTERM) come after saving.
    """
    run = Path(out).expanduser()
    console = run_console()
    if isinstance(data, str | Path):
        given["data"] = str(data)
    named = absolute({**(read_settings(Path(config)) if config else {}), **given})
    require_apart(run, named)
    with claim_run(run, resume=resume):
        stored = run / SETTINGS
        goes_on = resume and stored.exists()
        if goes_on:
            settings = resumed(read_settings(stored), named)
        else:
            settings = layered(named, machine_recipe(named.get("device", "auto")))
        device = pick_device(settings.run.device)
        settings = with_precision(settings, device, goes_on and named.get("precision", "auto") == "auto")
        require_divisible(settings.run.batch_size, balanced=settings.config.balanced)
        with memory_errors(device):
            pictures = open_data(settings.run.data if data is None else data, settings)
            settings = replace(settings, config=pictures.config)
            drawn = settings.run.data == PORTRAITS
            judge = portraits_judge(settings.config.image_size, device) if drawn else None
            job = Job(run, settings, pictures, device, console)
            start = job.restore()
            if start == 0 and settings.run.init_from is not None:
                begin_with(job, settings.run.init_from)
            with atomic_file(stored) as file:
                file.write(as_yaml(settings).encode())
            job.list_skipped()
            announce(console, run, settings, pictures, device, start, chosen=goes_on or "recipe" in named)
            job.train(start, judge)
    return run


@contextmanager
def memory_errors(device: torch.device) -> Iterator[None]:
    """Turn a full memory into a UserError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # on a CPU torch has no exception of its own for it
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "CPUAllocator" not in str(error):
            raise
        raise UserError(
            f"the memory of {device} is full; begin another run with a smaller --batch-size, --width, "
            "--image-size or --cache"
        ) from error


def absolute(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings whose paths hold wherever the run is resumed."""
    result = dict(values)
    for name, word in (("data", PORTRAITS), ("held_out", None), ("init_from", SHIPPED)):
        if isinstance(result.get(name), str | Path) and str(result[name]) != word:
            result[name] = str(Path(result[name]).expanduser().absolute())
    return result


def require_apart(run: Path, named: Mapping[str, Any]) -> None:
    """UserError where a run's own grids would become its pictures."""
    for name in ("data", "held_out"):
        if not isinstance(named.get(name), str) or named[name] == PORTRAITS:
            continue
        inner, outer = run.absolute().resolve(), Path(named[name]).resolve()
        if inner.is_relative_to(outer) or outer.is_relative_to(inner):
            raise UserError(
                f"the run {run} and its pictures in {named[name]} must not be inside each other, or its "
                "grids become pictures; choose another folder for the run"
            )


def machine_recipe(device: object) -> str:
    """The recipe that this machine can train: the paper's where there is CUDA, else the small one."""
    return "paper" if device in ("auto", "cuda") and torch.cuda.is_available() else "small"


def with_precision(settings: Settings, device: torch.device, kept: bool) -> Settings:
    """Settings whose ``auto`` is resolved. kept: it was resolved when the run began, elsewhere perhaps."""
    if kept and settings.run.precision == "bfloat16" and not has_fast_bfloat16(device):
        raise UserError(
            f"the run was begun in bfloat16, which this machine's {device.type} can only imitate, many times "
            "slower; go on with --precision float32, or with --precision bfloat16 nevertheless"
        )
    precision = str(pick_precision(settings.run.precision, device)).removeprefix("torch.")
    return checked({**settings.flat(), "precision": precision})


def begin_with(job: Job, model: str) -> None:
    """Give ``job`` the weights of another run (of all its networks) or of a saved model (its translator)."""
    folder = Path(model)
    path = latest_checkpoint(folder) if (folder / "checkpoints").is_dir() else None
    translator, card = weights.load(model_folder(model), CONFIGS)
    if card["method"] != job.settings.run.method:
        raise UserError(
            f"{model} is a model of the method {card['method']}, not {job.settings.run.method}; add --method "
            f"{card['method']}, or name another model"
        )
    try:
        if path is None:
            job.method.translator.load_state_dict(translator.state_dict())
            job.average.load_state_dict(translator.state_dict())
        else:
            state = load_checkpoint(path)
            job.method.load_state_dict(state["method"])
            job.average.load_state_dict(state["average"])
    except RuntimeError as error:
        differing = ", ".join(shape_settings(job.settings.config, card["config"]))
        raise UserError(f"the networks of {model} are of another shape; it has {differing}") from error


def shape_settings(own: Any, other: Mapping[str, Any]) -> Iterator[str]:
    """Of the settings in which ``other`` differs, those that give the networks another shape."""
    shapes = shapes_of(own)
    for name, value in other.items():
        value = tuple(value) if isinstance(value, list) else value  # JSON has no other
        if value != getattr(own, name, value) and shapes_of(replace(own, **{name: value})) != shapes:
            yield f"{name} {value} (here {getattr(own, name)})"


def shapes_of(config: Any) -> dict[str, torch.Size]:
    """Of everything that a method with this configuration remembers."""
    with torch.device("meta"):
        return {name: value.shape for name, value in config.build().state_dict().items()}


def announce(
    console: Console,
    run: Path,
    settings: Settings,
    data: Data,
    device: torch.device,
    start: int,
    *,
    chosen: bool,
) -> None:
    """The first line: what is trained, how and where; then what was skipped, and what to expect."""
    of = settings.run
    parts = [
        f"recipe {of.recipe}" + ("" if chosen else ", which this machine can train"),
        f"{of.method} at {settings.config.image_size} px",
        f"{device.type} in {of.precision}",
        f"{counted(len(data.train), 'picture')}, {len(data.held_out)} held out",
        f"steps {start} to {of.steps}"
        if of.minutes is None
        else f"{counted(of.minutes, 'minute')} from step {start}",
    ]
    if isinstance(data.train, Labelled):
        told = data.train.values[data.train.values != UNTOLD]
        names = [data.classes[label] for label in told.unique()]
        parts.append(f"told the class of {len(told)}: {listed(names)}")
    if start == 0 and of.init_from is not None:
        parts.append(f"from the weights of {of.init_from}")
    console.print(" · ".join(parts))
    if count := len(data.skipped):
        console.print(f"{counted(count, 'file')} skipped, see {run / 'skipped.txt'}")
    if device.type == "cpu" and (of.recipe or "").startswith("paper"):
        console.print("the paper's setting takes weeks on a CPU; --recipe small takes hours")


def counted(number: float, thing: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number:g} {thing}" + ("" if number == 1 else "s")
