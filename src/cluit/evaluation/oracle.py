"""The oracle: a classifier of real pictures, asked whether a translation shows what its reference shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.core.errors import UserError
from cluit.core.weights import Format
from cluit.nn.resnet import DEPTHS, ResNet, fitting_stride

ORACLE = Format("oracle", version=1)
LEAST_SIZE, GREATEST_SIZE, GREATEST_WIDTH = 16, 1024, 1024


class Oracle(nn.Module):
    """A residual network that names the class of a picture or, with ``multi``, which attributes it has.

    It takes pictures of any size and looks at them at its own; see `fitting_stride` for the stem.

    card: what its two files say of it: under ``test`` and ``grey`` its own accuracy on pictures that no
        training saw, as they are and without their colours (`Marks.record`). Empty before it is saved.
    """

    def __init__(
        self,
        classes: Sequence[str],
        *,
        multi: bool = False,
        depth: int = 50,
        width: int = 64,
        image_size: int = 64,
    ) -> None:
        """
        classes: names of the classes or, with ``multi``, of the attributes.
        depth, width: of the `ResNet`; the paper's oracle has 50 and 64. image_size: a side, in pixels.

        UserError for what describes no network.
        """
        super().__init__()
        refuse_unusable(classes, multi, depth, width, image_size)
        self.classes, self.multi, self.image_size = list(classes), multi, image_size
        self.depth, self.width = depth, width
        self.card: dict[str, Any] = {}
        self.network = ResNet(depth, width, fitting_stride(image_size), len(classes))

    @property
    def name(self) -> str:
        """E.g. ``resnet18``; with its width where that is not the published one."""
        return f"resnet{self.depth}" + (f"-width{self.width}" if self.width != 64 else "")

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that make such an oracle, as JSON values."""
        names = "classes", "multi", "depth", "width", "image_size"
        return {name: getattr(self, name) for name in names}

    def seen(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, S, S), at the oracle's own size."""
        if images.shape[2:] == (self.image_size, self.image_size):
            return images
        size = (self.image_size, self.image_size)
        return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)

    def logits(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, C) float32, for a softmax or, with ``multi``, for C sigmoids."""
        return self.network(self.seen(images)).float()

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N,) indices into ``classes`` or, with ``multi``, (N, C) bool."""
        return self.decide(self.logits(images))

    def decide(self, logits: Tensor) -> Tensor:
        """What the logits (N, C) say: the likeliest class, or the attributes likelier than not."""
        return logits > 0 if self.multi else logits.argmax(dim=1)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, D) float32, what the last layer is a linear function of."""
        return self.network.features(self.seen(images)).float()

    def logits_of(self, features: Tensor) -> Tensor:
        """What `logits` gives for pictures that have these `features` (N, D)."""
        return self.network.linear(features).float()

    def as_features(self) -> "OracleFeatures":
        """Itself as a network that turns pictures into vectors, for distances."""
        return OracleFeatures(self)


class OracleFeatures:
    """An oracle's features by the name that every result gives them, e.g. ``oracle:resnet18``."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.name, self.dim = oracle, f"oracle:{oracle.name}", oracle.network.dim

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1], any size -> (N, dim) float32."""
        return self.oracle.features(images)


def save_oracle(folder: Path, oracle: Oracle, card: Mapping[str, Any]) -> None:
    """Write ``oracle`` into ``folder`` as oracle.safetensors and oracle.json, each whole or not at all.

    card: JSON values; its ``config`` and the versions are added.
    """
    ORACLE.save(folder, oracle.state_dict(), {**card, "config": oracle.config})


def load_oracle(folder: str | Path) -> Oracle:
    """Read an oracle, in float32 on the CPU and ready for use, with its ``card``.

    UserError for whatever is not an oracle that this version can use. Nothing in the files is executed.
    """
    folder = Path(folder).expanduser()
    card = ORACLE.read_card(folder)
    config, path = card.get("config"), folder / ORACLE.card
    if not isinstance(config, dict):
        raise UserError(f"{path} has no config; save the oracle again")
    try:
        with torch.device("meta"):  # neither memory nor chance goes into first weights
            oracle = Oracle(**config)
    except (TypeError, UserError) as error:
        raise UserError(f"the config in {path} describes no oracle: {error}") from error
    weights = ORACLE.read_weights(folder, oracle.state_dict())
    oracle.load_state_dict(weights, assign=True)
    oracle.card = card
    return oracle.float().eval().requires_grad_(False)


def refuse_unusable(classes: Any, multi: Any, depth: Any, width: Any, image_size: Any) -> None:
    """UserError for arguments of an oracle, from a file perhaps, that cannot be."""
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise UserError(f"the classes must be a list of names, got {str(classes)[:60]}")
    if not isinstance(multi, bool):
        raise UserError(f"multi must be true or false, got {multi!r}")
    if len(set(classes)) != len(classes) or len(classes) < (1 if multi else 2):
        raise UserError(f"an oracle needs {'one attribute' if multi else 'two classes'} or more, each once")
    if type(depth) is not int or depth not in DEPTHS:
        raise UserError(f"the depth must be {', '.join(map(str, DEPTHS))}, got {depth!r}")
    if type(width) is not int or not 1 <= width <= GREATEST_WIDTH:
        raise UserError(f"the width must be a whole number from 1 to {GREATEST_WIDTH}, got {width!r}")
    if type(image_size) is not int or not LEAST_SIZE <= image_size <= GREATEST_SIZE:
        raise UserError(
            f"the image size must be a whole number from {LEAST_SIZE} to {GREATEST_SIZE}, got {image_size!r}"
        )
