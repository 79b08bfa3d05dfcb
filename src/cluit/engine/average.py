"""The averaged translator: it draws every picture and gives every score."""

import copy

from torch import Tensor

from cluit.core.types import Translator
from cluit.nn.follow import follow, warm_decay


class Average:
    """Exponential moving average of a translator's weights over steps.

    The decay is a function of ``t`` alone, so the weights are all that there is to remember.
    """

    def __init__(self, model: Translator, decay: float = 0.999) -> None:
        self.decay = decay
        self.translator = copy.deepcopy(model).eval().requires_grad_(False)

    def follow(self, model: Translator, t: int) -> None:
        """Move towards ``model`` as it is after step ``t``, counted from 0."""
        follow(self.translator, model, warm_decay(self.decay, t))

    def state_dict(self) -> dict[str, Tensor]:
        return self.translator.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.translator.load_state_dict(state)
