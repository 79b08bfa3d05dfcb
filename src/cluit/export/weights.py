"""A model as two files: ``model.safetensors`` (the weights) and ``model.json`` (its method and config)."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cluit.core.errors import UserError
from cluit.core.types import Translator
from cluit.core.weights import Format

MODEL = Format("model", version=1)
WEIGHTS, CARD = MODEL.weights, MODEL.card
KINDS = {
    bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", tuple: "a list"
}  # fmt: skip
"""What JSON calls a value's type."""


def save(folder: Path, translator: Translator, card: Mapping[str, Any], *, half: bool = False) -> None:
    """Write ``translator`` into ``folder``, made if need be; each file there is replaced whole or not at all.

    card: JSON values; at least ``method``, its name, and ``config``, the arguments of its config class.
    half: store float16, which halves the file. UserError for weights that are not finite, with nothing
    written, and where the disk refuses.
    """
    MODEL.save(folder, translator.state_dict(), card, half=half)


def load(folder: Path, configs: Mapping[str, type[Any]]) -> tuple[Translator, dict[str, Any]]:
    """Read a model, in float32 on the CPU and ready for use, and its card.

    configs: each method's config class by name, e.g. ``cluit.methods.CONFIGS``. UserError for whatever is not
    a model that this version can use.
    """
    card = MODEL.read_card(folder)
    config = read_config(card, configs, folder)
    try:
        with torch.random.fork_rng(devices=[]), Uninitialised():
            translator: Translator = config.build_translator()
    except (TypeError, ValueError, RuntimeError, ArithmeticError, MemoryError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"the config in {folder / CARD} describes no network: {reason}") from error
    translator.load_state_dict(MODEL.read_weights(folder, translator.state_dict()))
    return translator.eval().requires_grad_(False), card


class Uninitialised(TorchFunctionMode):
    """Within this context networks are built without drawing their first weights, which takes longest.

    Nor is their memory touched, so that a wild config costs none before it is found not to fit its file.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


def read_config(card: Mapping[str, Any], configs: Mapping[str, type[Any]], folder: Path) -> Any:
    """The config that the card names, checked by its own class."""
    method, arguments = card.get("method"), card.get("config")
    if not isinstance(method, str) or method not in configs:
        raise UserError(
            f"{folder / CARD} names an unknown method {method!r}; known are: {', '.join(configs)}"
        )
    if not isinstance(arguments, dict):
        raise UserError(f"{folder / CARD} has no config; save the model again")
    defaults = {field.name: field.default for field in dataclasses.fields(configs[method])}
    if unknown := sorted(arguments.keys() - defaults.keys()):
        raise UserError(
            f"the config in {folder / CARD} has unknown keys: {', '.join(unknown)}; upgrade cluit"
        )
    for name, value in arguments.items():
        if (wanted := KINDS.get(type(defaults[name]))) and KINDS.get(type(value)) != wanted:
            raise UserError(f"the config in {folder / CARD} is refused: {name} is {value!r}, not {wanted}")
    try:
        return configs[method](**{k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()})
    except (TypeError, ValueError, UserError) as error:
        raise UserError(f"the config in {folder / CARD} is refused: {error}") from error
