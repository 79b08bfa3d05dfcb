"""The averaged translator: it draws every picture and gives every score."""

import copy

from torch import Tensor

from cluit.core.types import Translator
from cluit.nn.follow import follow


class Average:
    """Exponential moving average of a translator's weights over steps.

    The decay is the method's, a function of the step alone, so the weights are all that there is to remember.
    """

    def __init__(self, model: Translator) -> None:
        self.translator = copy.deepcopy(model).eval().requires_grad_(False)

    def follow(self, model: Translator, decay: float) -> None:
        """Move towards ``model``: ``decay`` of what is there stays."""
        follow(self.translator, model, decay)

    def state_dict(self) -> dict[str, Tensor]:
        return self.translator.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.translator.load_state_dict(state)
