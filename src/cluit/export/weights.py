"""A model as two files: ``model.safetensors`` (the weights) and ``model.json`` (what they are weights of).

Reading either executes nothing.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors
from cluit.core.release import release
from cluit.core.types import Translator

FORMAT = 1
WEIGHTS, CARD = "model.safetensors", "model.json"
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
    dtype = torch.float16 if half else torch.float32
    weights = {name: stored(tensor, dtype) for name, tensor in translator.state_dict().items()}
    if broken := [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]:
        raise UserError(f"a model with weights that are not finite is not saved: {', '.join(broken[:3])}")
    card = {**card, "format_version": FORMAT, "cluit_version": release(), "dtype": str(dtype)[6:]}
    text = json.dumps(card, indent=2, allow_nan=False) + "\n"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # The card comes last: where it is, the weights are.
    for name, data in (
        (WEIGHTS, to_bytes(weights)),
        (CARD, text.encode()),
    ):
        with atomic_file(folder / name) as file:
            file.write(data)


def stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """As safetensors wants it: on the CPU, contiguous, sharing memory with nothing."""
    tensor = tensor.detach().cpu()
    return tensor.to(dtype if tensor.is_floating_point() else tensor.dtype).contiguous().clone()


def load(folder: Path, configs: Mapping[str, type[Any]]) -> tuple[Translator, dict[str, Any]]:
    """Read a model, in float32 on the CPU and ready for use, and its card.

    configs: each method's config class by name, e.g. ``cluit.methods.CONFIGS``. UserError for whatever is not
    a model that this version can use.
    """
    card = read_card(folder)
    config = read_config(card, configs, folder)
    try:
        with torch.random.fork_rng(devices=[]), Uninitialised():
            translator: Translator = config.build_translator()
    except (TypeError, ValueError, RuntimeError, ArithmeticError, MemoryError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"the config in {folder / CARD} describes no network: {reason}") from error
    translator.load_state_dict(read_weights(folder / WEIGHTS, translator.state_dict()))
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


def read_card(folder: Path) -> dict[str, Any]:
    """``model.json`` of a format that this version knows."""
    if not (folder / CARD).is_file() or not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} is not a model: it must be a folder with {WEIGHTS} and {CARD}")
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {folder / CARD}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{folder / CARD} is not readable as JSON; save the model again") from error
    number = card.get("format_version") if isinstance(card, dict) else None
    if not isinstance(number, int):
        raise UserError(f"{folder / CARD} does not describe a model of cluit: it has no format_version")
    if number > FORMAT:
        raise UserError(
            f"{folder} has format version {number}, newer than this cluit knows ({FORMAT}); upgrade cluit"
        )
    return card


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


def read_weights(path: Path, network: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, if names, shapes and kinds are those of ``network``, all finite."""
    shapes = {name: tensor.shape for name, tensor in network.items()}
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: torch.Size(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        if found == shapes:
            weights = load_file(path)
            refuse_unusable(path, weights, network)
            return weights
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}); download it again") from error
    wrong = [f"{name} is missing" for name in shapes if name not in found]
    wrong += [f"{name} is not of this network" for name in found if name not in shapes]
    wrong += [
        f"{name} is {tuple(found[name])} instead of {tuple(shape)}"
        for name, shape in shapes.items()
        if name in found and found[name] != shape
    ]
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    raise UserError(f"{path} does not fit its {CARD}: {', '.join(wrong[:3])}{more}; save the model again")


def refuse_unusable(path: Path, weights: Mapping[str, Tensor], network: Mapping[str, Tensor]) -> None:
    """UserError for whole numbers where others belong, and for what is not finite."""
    for name, tensor in weights.items():
        if tensor.is_floating_point() != network[name].is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(f"{name} in {path} is of type {kind}; save the model again")
        if not torch.isfinite(tensor.float()).all():
            raise UserError(f"{name} in {path} is not finite; take an earlier model")
