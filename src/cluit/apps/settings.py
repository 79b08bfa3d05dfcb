"""The settings of a run: one flat set of names for flags, YAML keys and Python's keywords.

Nothing here imports torch, so that a help page and a refusal come at once.
"""

import ast
import difflib
import inspect
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from cluit.core.errors import UserError
from cluit.methods import CONFIGS, RECIPES

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a run is trained. What is trained is the method's own configuration."""

    recipe: str | None = None
    """Settings to begin with: paper, small or another that the method has (an unknown name lists them); by
    default one that this machine can train."""
    method: str = "cluit"
    """What to train; `cluit methods` lists them."""
    data: str | None = None
    """The folder of pictures, or the word portraits."""
    batch_size: int = 32
    """Pictures per step: the first half are sources, the second half references. Over all processes."""
    accumulate: int = 1
    """Parts that a batch is taken in, one after the other, so that a small memory holds it."""
    steps: int = 100_000
    """Steps in all, those before --resume included."""
    seed: int = 0
    """Of the first weights, the order of pictures and all chance."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the arithmetic; auto is bfloat16 where the hardware has it. A resumed run keeps its own."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto is CUDA, else MPS, else the CPU."""
    minutes: float | None = None
    """Stop after so many minutes, if the steps are not done before; --resume goes on."""
    init_from: str | None = None
    """A run or a saved model whose weights to start from, for fine-tuning."""

    fit: Literal["crop", "resize"] = "crop"
    """How a picture that is not square becomes so: by its centre, or by squeezing all of it."""
    held_out: str | None = None
    """A folder of pictures for grids and scores; by default a twentieth of the data, 4 to 256."""
    count: int = 20_000
    """How many portraits to draw, where the data are portraits."""
    cache: int = 1024
    """MiB of memory for decoded pictures; what does not fit is decoded anew in each epoch."""
    workers: int = 2
    """Threads that read and decode pictures."""

    log_every: int = 100
    """Steps between lines of the log."""
    grid_every: int = 1000
    """Steps between sample grids."""
    score_every: int = 1000
    """Steps between scores on held-out pictures."""
    save_every: int = 1000
    """Steps between checkpoints."""
    tensorboard: bool = False
    """Write curves for TensorBoard into RUN/tensorboard as well."""

    def __post_init__(self) -> None:
        known_recipe(self.recipe, known_method(self.method))
        if self.batch_size < 2 or self.batch_size % 2:
            raise ValueError(f"batch_size must be even and at least 2, got {self.batch_size}")
        counts = "accumulate", "steps", "workers", "log_every", "grid_every", "score_every", "save_every"
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "cache"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise ValueError(f"minutes must be positive and finite, got {self.minutes}")
        if self.count < 2:
            raise ValueError(f"count must be at least 2, got {self.count}")


@dataclass(frozen=True)
class Settings:
    """A run's settings and its method's configuration, both checked."""

    run: TrainSettings
    config: Any
    """Of the class that ``CONFIGS`` has for the method."""

    def flat(self) -> dict[str, Any]:
        """All of it under one set of names, as in a YAML file."""
        return {**asdict(self.run), **asdict(self.config)}


CHANGEABLE = (
    "steps", "minutes", "device", "precision", "data", "held_out", "cache", "workers", "tensorboard",
    "accumulate", "log_every", "grid_every", "score_every", "save_every",
)  # fmt: skip
"""What may differ when a run is resumed. ``data`` may have moved, its pictures are compared; so may
``held_out``, but where there was none, or would be none, other pictures would be trained on."""


def layered(named: Mapping[str, Any], recipe: str | None = None) -> Settings:
    """What is ``named`` (flags before the file's keys) before the recipe's, the recipe's before the defaults.

    A recipe is one of the method's. recipe: the one to take where ``named`` has none.
    """
    method = known_method(named.get("method", TrainSettings.method))
    name = known_recipe(recipe if named.get("recipe") is None else named["recipe"], method)
    return checked({**(RECIPES[method][name]() if name else {}), **named, "recipe": name})


def checked(values: Mapping[str, Any]) -> Settings:
    """Settings from flat values. UserError for an unknown name, a wrong type or a value out of range."""
    method = known_method(values.get("method", TrainSettings.method))
    config = CONFIGS[method]
    kinds = get_type_hints(TrainSettings) | get_type_hints(config)
    for name in values:
        if name not in kinds:
            raise UserError(f"unknown setting {name!r} of the method {method}; {advice(name, kinds)}")
    fitting = {name: fitted(name, value, kinds[name]) for name, value in values.items()}
    try:
        return Settings(built(TrainSettings, fitting), built(config, fitting))
    except ValueError as error:
        raise UserError(str(error)) from error


def known_method(name: object) -> str:
    """``name``. UserError where no method has it."""
    if isinstance(name, str) and name in CONFIGS:
        return name
    raise UserError(f"unknown method {name!r}; choose {listed(CONFIGS)}")


def known_recipe(name: object, method: str) -> str | None:
    """``name``. UserError where it is none and no recipe of ``method`` has it."""
    if name is None or (isinstance(name, str) and name in RECIPES[method]):
        return name
    raise UserError(f"unknown recipe {name!r} of the method {method}; choose {listed(RECIPES[method])}")


def advice(name: str, known: Iterable[str]) -> str:
    """Which methods have a setting that is not among the ``known`` ones, else which of those is nearest."""
    if owners := [method for method, config in CONFIGS.items() if name in get_type_hints(config)]:
        return f"it is one of {', '.join(owners)}"
    return f"did you mean {difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]}?"


def built(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from those of ``values`` that it has fields for."""
    return kind(**{field.name: values[field.name] for field in fields(kind) if field.name in values})  # type: ignore[arg-type]


def resumed(stored: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    """A run's own settings with what may change. UserError that names the first that may not, both values."""
    before = checked(stored)
    kept = before.flat()

    def refuse_changed(values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            moved = name in CHANGEABLE and not (name == "held_out" and None in (value, kept[name]))
            if value != kept[name] and not moved:
                raise UserError(
                    f"the run was begun with {name} {kept[name]} and cannot go on with {name} {value}; "
                    "leave it out, or begin another run in another folder"
                )

    refuse_changed({"method": given.get("method", kept["method"])})  # first, as settings are a method's
    after = checked({**stored, "minutes": None, **given})
    refuse_changed(after.flat())
    if given.get("precision") == "auto":
        after = checked({**after.flat(), "precision": before.run.precision})
    return after


def model_card(settings: Settings, done: int) -> dict[str, Any]:
    """What a model saved after ``done`` steps says of itself."""
    return {"method": settings.run.method, "config": asdict(settings.config), "steps": done}


def read_settings(path: Path) -> dict[str, Any]:
    """The keys of a YAML file, with ``-`` taken for ``_``. UserError where it is not a flat mapping."""
    try:
        text = path.read_text(encoding="utf-8")
        node, values = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # beside YAMLError, yaml lets out whatever a mistyped date or number raises
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{path} must hold lines such as 'style_weight: 3'")
    assert isinstance(node, yaml.MappingNode)
    names = [str(key.value).replace("-", "_") for key, _ in node.value]
    if twice := [name for name in values if names.count(name.replace("-", "_")) > 1]:
        raise UserError(f"{path} names {twice[0]} more than once; keep one of the lines")
    return {key.replace("-", "_"): value for key, value in values.items()}


def as_yaml(settings: Settings) -> str:
    """What `read_settings` reads back, with a first line that says what it is."""
    text = yaml.safe_dump(settings.flat(), sort_keys=False, allow_unicode=True)
    return (
        f"# Settings of a run of cluit; `cluit train DATA --out RUN --config` takes them from here.\n{text}"
    )


def fitted(name: str, value: Any, kind: Any) -> Any:
    """``value`` as ``kind``, a type as settings have. UserError where it is something else.

    YAML 1.1 reads 1e-4 as text, so text that is a number counts as one; so does 3 where 3.0 is meant.
    """
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise UserError(f"{name} must be {listed(get_args(kind))}, got {value!r}")
    if get_origin(kind) is tuple:  # of texts
        if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise UserError(f"{name} must be a list of texts, got {value!r}")
    options = get_args(kind) or (kind,)
    if value is None and NoneType in options:
        return None
    if str in options and isinstance(value, str | Path):
        return str(value)
    if bool in options and isinstance(value, bool):
        return value
    number = as_number(value)
    if int in options and (isinstance(number, int) or number.is_integer()):
        return int(number)
    if float in options and math.isfinite(number):
        return float(number)
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "none"}
    raise UserError(f"{name} must be {' or '.join(words[option] for option in options)}, got {value!r}")


def as_number(value: Any) -> float:
    """An int where it is written as one, as floats hold only the smaller ones; NaN for what is no number."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    with suppress(ValueError):
        return int(value) if isinstance(value, int | str) and math.isfinite(number) else number
    return number


def listed(names: Iterable[str]) -> str:
    """``a, b or c``."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def documented(kind: type) -> dict[str, str]:
    """The text below each field of a dataclass and of those that it is made from, by the field's name."""
    owners = [owner for owner in reversed(kind.__mro__) if is_dataclass(owner)]
    bodies = [ast.parse(inspect.getsource(owner)).body[0] for owner in owners]
    names = {field.name for field in fields(kind)}
    texts = {}
    for body in bodies:
        assert isinstance(body, ast.ClassDef)
        for statement, below in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and statement.target.id in names
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                texts[statement.target.id] = str(below.value.value)
    return texts
