"""The main job: pictures in, a run out. It introduces settings, data and engine to each other and trains."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cluit.apps.api import SHIPPED, model_folder
from cluit.apps.job import Job, sharing
from cluit.apps.pictures import PORTRAITS, open_data
from cluit.apps.settings import Settings, checked, layered, read_settings, resumed
from cluit.core import distributed
from cluit.core.errors import UserError
from cluit.core.machine import has_fast_bfloat16, pick_device, pick_precision
from cluit.data.dataset import MapStyle
from cluit.data.labels import UNTOLD, Labelled, listed
from cluit.data.loader import require_divisible
from cluit.engine.checkpoint import latest_checkpoint, load_checkpoint
from cluit.engine.console import run_console
from cluit.engine.run import SETTINGS, claim_run, restarted
from cluit.export import weights
from cluit.export.hub import SCHEME
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

    Under torchrun each of its processes calls this alike; the first one writes and speaks for all.

    UserError for whatever the user can mend, with nothing overwritten; Diverged (a UserError) where numbers
    are no longer finite, LostRank (likewise) where another process has ended. KeyboardInterrupt (Ctrl-C) and
    SystemExit(143) (SIGTERM) come after saving; SystemExit(1) where another process has failed and says why.
    """
    run = Path(out).expanduser()
    if isinstance(data, str | Path):
        given["data"] = str(data)

    def opened() -> tuple[Settings, torch.device, bool]:
        """Settings, device, and whether a recipe was chosen, now or when the run began. RUN is claimed."""
        named = absolute({**(read_settings(Path(config)) if config else {}), **given})
        require_apart(run, named)
        again = resume or restarted(run)
        stack.enter_context(claim_run(run, resume=again))
        goes_on = again and (run / SETTINGS).exists()
        if goes_on:
            settings = resumed(read_settings(run / SETTINGS), named)
        else:
            settings = layered(named, machine_recipe(named.get("device", "auto")))
        device = pick_device(settings.run.device)
        settings = with_precision(settings, device, goes_on and named.get("precision", "auto") == "auto")
        return settings, device, goes_on or "recipe" in named

    with distributed.joined(), ExitStack() as stack:
        settings, device, chosen = distributed.from_first(opened)
        with distributed.agreed():
            device = distributed.own_device(pick_device(device.type))
        with memory_errors(device):
            job = prepared(run, settings, data, device)
            start = job.restore()
            if start == 0:
                begin(job)
            job.write_settings()
            announce(job, start, chosen=chosen)
            job.train(start)
    return run


def prepared(run: Path, settings: Settings, data: str | Path | MapStyle | None, device: torch.device) -> Job:
    """The job with its pictures. UserError where they, or the batches of them, cannot be had."""
    with distributed.agreed():
        require_divisible(
            settings.run.batch_size, distributed.world(), settings.config.balanced, settings.run.accumulate
        )
        pictures = open_data(settings.run.data if data is None else data, settings)
        job = Job(run, replace(settings, config=pictures.config), pictures, device, run_console())
    seen = distributed.everyone(pictures.fingerprint)
    with distributed.agreed():
        if pictures.fingerprint != seen[0]:
            raise UserError(
                f"process {distributed.rank()} sees other pictures ({pictures.fingerprint}) than the first "
                f"one ({seen[0]}); give all machines the same data"
            )
    return job


def begin(job: Job) -> None:
    """Give every rank the same first weights: those that were asked for, else those that rank 0 has drawn."""
    model = job.settings.run.init_from
    with distributed.agreed():
        if model is not None and distributed.rank() == 0:
            begin_with(job, model)
    distributed.copy_first([*job.method.state_dict().values(), *job.average.state_dict().values()])


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
            f"the memory of {device} is full; take a batch in parts with --accumulate, or begin another run "
            "with a smaller --batch-size, --width, --image-size or --cache"
        ) from error


def absolute(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings whose paths hold wherever the run is resumed."""
    result = dict(values)
    for name, word in (("data", PORTRAITS), ("held_out", None), ("init_from", SHIPPED)):
        value = result.get(name)
        if isinstance(value, str | Path) and str(value) != word and not str(value).startswith(SCHEME):
            result[name] = str(Path(value).expanduser().absolute())
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


def is_run(model: str) -> bool:
    """Whether it is a run, which has checkpoints of all its networks, rather than a saved model."""
    return (Path(model) / "checkpoints").is_dir()


def begin_with(job: Job, model: str) -> None:
    """Give ``job`` the weights of another run (of all its networks) or of a saved model (its translator)."""
    folder = Path(model)
    path = latest_checkpoint(folder) if is_run(model) else None
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


def announce(job: Job, start: int, *, chosen: bool) -> None:
    """The first line: what is trained, how and where; then what was skipped, and what to expect."""
    of, data, console = job.settings.run, job.data, job.console
    ranks = distributed.world()
    parts = [
        f"recipe {of.recipe}" + ("" if chosen else ", which this machine can train"),
        f"{of.method} at {job.settings.config.image_size} px",
        f"{job.device.type} in {of.precision}",
        *([f"batches of {of.batch_size} shared by {sharing(ranks, of.accumulate)}"] if ranks > 1 else []),
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
        parts.append(f"from {'all networks' if is_run(of.init_from) else 'the translator'} of {of.init_from}")
    console.print(" · ".join(parts))
    if count := len(data.skipped):
        console.print(f"{counted(count, 'file')} skipped, see {job.run / 'skipped.txt'}")
    if job.device.type == "cpu" and (of.recipe or "").startswith("paper"):
        console.print("the paper's setting takes weeks on a CPU; --recipe small takes hours")


def counted(number: float, thing: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number:g} {thing}" + ("" if number == 1 else "s")
