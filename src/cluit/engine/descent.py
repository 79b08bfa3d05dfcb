"""Where weights move: the step says what descends, this says how."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from cluit.core import distributed


class Descent:
    """``descend(loss, "critic")``: the weights of the named optimizers take one step down ``loss``.

    Nobody else's weights receive a gradient, so a step needs no freezing. Gradients are averaged over ranks,
    which must all descend alike. A weight that the loss does not reach is not moved, and no gradient outlives
    the call.
    """

    def __init__(self, optimizers: Mapping[str, Optimizer]) -> None:
        self.optimizers = dict(optimizers)
        self.weights = {
            name: [weight for group in optimizer.param_groups for weight in group["params"]]
            for name, optimizer in self.optimizers.items()
        }

    def __call__(self, loss: Tensor, *names: str) -> None:
        weights = [weight for name in names for weight in self.weights[name]]
        with torch.autocast(loss.device.type, enabled=False):
            forget_gradients(weights)
            loss.backward(inputs=weights)
            distributed.average([weight.grad for weight in weights if weight.grad is not None])
            for name in names:
                self.optimizers[name].step()
        forget_gradients(weights)
        torch.clear_autocast_cache()  # its half-precision copies are of the weights before the step


def forget_gradients(weights: list[Tensor]) -> None:
    """Free every gradient; an optimizer passes over a weight that has none."""
    for weight in weights:
        weight.grad = None
