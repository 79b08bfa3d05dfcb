"""What each method consists of: its networks, their size and their cost."""

import json
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from cluit.core.errors import UserError
from cluit.core.types import Batch, Method
from cluit.methods import CONFIGS

Networks = dict[str, dict[str, int]]


def print_methods(image_size: int, width: int, *, as_json: bool = False) -> None:
    """A table, or JSON, of every method's networks with ``parameters`` and ``macs`` of one picture."""
    described = {name: networks_of(config, image_size, width) for name, config in CONFIGS.items()}
    if as_json:
        print(json.dumps({"image_size": image_size, "width": width, "methods": described}, indent=2))
        return
    print(f"{image_size} px, width {width}; multiply-accumulates are of one picture, forwards")
    for method, networks in described.items():
        print(method)
        for network, cost in networks.items():
            print(f"  {network:<16}{cost['parameters']:>14,} parameters{cost['macs'] / 1e9:>10.3f} GMACs")


def networks_of(config: type[Any], image_size: int, width: int) -> Networks:
    """The networks that a method trains. No step is computed: fake tensors have only shapes."""
    try:
        settings = replace(config(), image_size=image_size, width=width)
    except ValueError as error:
        raise UserError(str(error)) from error
    method: Method = settings.build()
    with FakeTensorMode(allow_non_fake_inputs=True):
        macs = macs_of_layers(method, Batch(torch.empty(2, 3, image_size, image_size)))
    parts = [*method.translator.named_children(), *method.named_children()]
    groups = [group for optimizer in method.optimizers().values() for group in optimizer.param_groups]
    trained = {id(weight) for group in groups for weight in group["params"]}
    return {
        name: {
            "parameters": sum(weight.numel() for weight in part.parameters()),
            "macs": sum(macs.get(id(layer), 0) for layer in part.modules()),
        }
        for name, part in parts
        if part is not method.translator and {id(weight) for weight in part.parameters()} & trained
    }


def macs_of_layers(method: Method, batch: Batch) -> dict[int, int]:
    """Multiply-accumulates of one picture through each convolution and linear layer, by the layer's id.

    They are read off a step in which nothing descends, since a step calls every layer that is trained.
    """
    macs: dict[int, int] = {}

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        outputs = output[0].numel() // len(layer.weight)  # places at which the weights are used
        macs[id(layer)] = outputs * layer.weight.numel()

    for layer in method.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    method.step(batch, lambda loss, *names: None, 0)
    return macs
