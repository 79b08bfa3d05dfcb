"""Where weights move: the step says what descends, this says how."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from cluit.core import distributed


class Descent:
    """``descend(loss, "critic")``: the weights of the named optimizers take one step down ``loss``.

    Nobody else's weights receive a gradient, so a step needs no freezing. Gradients are averaged over ranks,
    which must all descend alike. A weight that the loss does not reach is not moved, and no gradient outlives
    the call.

    parts: of a batch that is too large to be taken at once. Each is a step of its own that descends alike;
    its gradients are kept until the last part, in which each descent goes down the mean loss of all of them.
    So all parts but the last are taken with the weights that the whole step began with.
    """

    def __init__(self, optimizers: Mapping[str, Optimizer], parts: int = 1) -> None:
        self.optimizers = dict(optimizers)
        self.weights = {
            name: [weight for group in optimizer.param_groups for weight in group["params"]]
            for name, optimizer in self.optimizers.items()
        }
        self.parts, self.part, self.calls = parts, 0, 0
        self.kept: dict[int, list[Tensor | None]] = {}
        """What earlier parts have gathered, by the number of the call within the step."""

    def begin(self, part: int) -> None:
        """What comes is of this ``part``, from 0."""
        self.part, self.calls = part, 0

    def __call__(self, loss: Tensor, *names: str) -> bool:
        """Whether the weights have moved: they do so in the last part."""
        weights = [weight for name in names for weight in self.weights[name]]
        last = self.part == self.parts - 1
        with torch.autocast(loss.device.type, enabled=False):
            set_gradients(weights, self.kept.pop(self.calls, [None] * len(weights)))
            (loss if self.parts == 1 else loss / self.parts).backward(inputs=weights)
            if last:
                distributed.average([weight.grad for weight in weights if weight.grad is not None])
                for name in names:
                    self.optimizers[name].step()
            else:
                self.kept[self.calls] = [weight.grad for weight in weights]
        self.calls += 1
        set_gradients(weights, [None] * len(weights))
        torch.clear_autocast_cache()  # its half-precision copies are of the weights before the step
        return last


def set_gradients(weights: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """An optimizer passes over a weight whose gradient is None."""
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
