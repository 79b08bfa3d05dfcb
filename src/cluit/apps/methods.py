"""What each method consists of: its networks, their size and their cost."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from cluit.apps.measure import CLASSES, UNDER_WAY, Operations, batch_of, with_stand_ins
from cluit.core.config import MethodConfig
from cluit.core.errors import UserError
from cluit.core.types import Batch, Method
from cluit.methods import CONFIGS
from cluit.nn.resample import written

Networks = dict[str, dict[str, int]]


def print_methods(image_size: int, width: int, *, as_json: bool = False) -> None:
    """A table, or JSON, of every method's networks with ``parameters`` and ``macs`` of one picture.

    A network of patches has the macs of one patch.
    """
    described = {name: networks_of(config, image_size, width) for name, config in CONFIGS.items()}
    record = {"image_size": image_size, "width": width, "methods": described}
    print(json.dumps(record, indent=2) if as_json else table(record))


def table(record: Mapping[str, Any]) -> str:
    """For people."""
    size, width = record["image_size"], record["width"]
    lines = [f"{size} px, width {width}; multiply-accumulates are of one picture, or one patch, forwards"]
    for method, networks in record["methods"].items():
        lines.append(method + (f", for {len(CLASSES)} classes" if CONFIGS[method]().labelled_share else ""))
        lines += [
            f"  {network:<16}{cost['parameters']:>14,} parameters{cost['macs'] / 1e9:>10.3f} GMACs"
            for network, cost in networks.items()
        ]
    return "\n".join(lines)


def networks_of(config: type[MethodConfig], image_size: int, width: int) -> Networks:
    """The networks that a method trains. No step is computed: fake tensors have only shapes."""
    try:
        settings = with_stand_ins(config(image_size=image_size, width=width))
    except ValueError as error:
        raise UserError(str(error)) from error
    method = settings.build()
    with FakeTensorMode(allow_non_fake_inputs=True), written():
        macs = macs_of_layers(method, batch_of(settings, torch.empty(8, 3, image_size, image_size)))
    parts = [*method.translator.named_children(), *method.named_children()]
    groups = [group for optimizer in method.optimizers().values() for group in optimizer.param_groups]
    trained = {id(weight) for group in groups for weight in group["params"]}
    return {
        name: {
            "parameters": sum(weight.numel() for weight in part.parameters()),
            "macs": sum(macs.get(layer, 0) for layer in part.modules()),
        }
        for name, part in parts
        if part is not method.translator and {id(weight) for weight in part.parameters()} & trained
    }


def macs_of_layers(method: Method, batch: Batch) -> dict[nn.Module, int]:
    """Multiply-accumulates of one picture, patch or vector through each module, those inside it left out.

    They are read off two steps in which nothing descends: between them all players have a turn, and these
    call every layer that is trained.
    """
    macs: dict[nn.Module, int] = {}
    entered: list[int] = []  # the count when each module was called, and since then within those inside it
    operations = Operations()

    def enter(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        entered.append(operations.count)

    def leave(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        spent = operations.count - entered.pop()
        entered[:] = [began + spent for began in entered]
        if spent:
            macs[layer] = spent // (2 * rows(output))

    for layer in method.modules():
        layer.register_forward_pre_hook(enter)
        layer.register_forward_hook(leave)
    with operations:
        for t in (UNDER_WAY, UNDER_WAY + 1):
            method.step(batch, lambda loss, *names: True, t)
    return macs


def rows(output: Tensor) -> int:
    """Of how many pictures (N, C, H, W), or vectors (..., C), there is an answer."""
    return len(output) if output.ndim == 4 else output.numel() // output.shape[-1]
