"""The face reader: the portraits' own judge. It reads species and pose from pixels, drawn or generated.

It is a small network, trained on drawings alone, blurred and noisy ones among them, because what it has to
judge are a generator's pictures. Its weights come with the package; ``train_and_save`` makes them anew.
"""

import math
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save_file
from torch import Tensor, nn

from cluit.core.errors import UserError
from cluit.core.images import to_unit
from cluit.data.factors import SPECIES, Structure
from cluit.data.portraits import Portraits

SIZE = 32  # pixels a side that it looks at
POSE = ("x", "y", "scale", "tilt", "turn")
POSE_MEAN = (0.0, 0.0, 0.875, 0.0, 0.0)
POSE_SPREAD = (0.15, 0.15, 0.101, 0.289, 0.577)  # of the uniform distributions drawn from


def true_pose(structure: Structure) -> Tensor:
    """(N, 5): x, y, scale, tilt and turn, in the units of ``Structure``."""
    return torch.stack([getattr(structure, name) for name in POSE], dim=1)


class Reading(NamedTuple):
    """What the reader sees in N pictures."""

    species: Tensor  # (N,) long, index into SPECIES
    pose: Tensor  # (N, 5): x, y, scale, tilt, turn, in the units of ``Structure``


class FaceReader(nn.Module):
    """270 thousand weights: six convolutions from 32×32 down to 4×4, two linear layers."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        widths = [(3, 24, 1), (24, 48, 2), (48, 48, 1), (48, 80, 2), (80, 80, 1), (80, 64, 2)]
        self.trunk = nn.Sequential(*[_conv(*width) for width in widths])
        self.hidden = nn.Linear(64 * 4 * 4, 96)
        self.head = nn.Linear(96, len(SPECIES) + len(POSE))
        self.register_buffer("mean", torch.tensor(POSE_MEAN), persistent=False)
        self.register_buffer("spread", torch.tensor(POSE_SPREAD), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) in [-1, 1], S at least 32 -> species logits (N, 6), standardised pose (N, 5)."""
        if images.shape[-1] != SIZE:
            images = F.interpolate(images, size=(SIZE, SIZE), mode="area")
        h = self.hidden(F.relu(self.trunk(images)).flatten(1))
        logits, pose = self.head(F.relu(h)).split([len(SPECIES), len(POSE)], dim=1)
        return logits, pose

    @torch.no_grad()
    def read(self, images: Tensor) -> Reading:
        """images: (N, 3, H, W) in [-1, 1], on the reader's device."""
        logits, pose = self(images)
        return Reading(logits.argmax(dim=1), pose * self.spread + self.mean)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The reader in the package, or the one saved at ``path``. UserError if that is not one."""
        asset = resources.files("cluit") / "assets" / "reader.safetensors" if path is None else path
        reader = cls()
        try:
            reader.load_state_dict({k: v.float() for k, v in load_bytes(asset.read_bytes()).items()})
        except OSError as error:
            raise UserError(f"cannot read the face reader's weights at {asset}: {error.strerror}") from error
        except (SafetensorError, RuntimeError) as error:
            raise UserError(f"{asset} holds no face reader; train one with: cluit data reader") from error
        return reader.eval().requires_grad_(False)

    def save(self, path: Path) -> None:
        """Weights in half precision."""
        save_file({k: v.half().contiguous() for k, v in self.state_dict().items()}, path)


def _conv(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.GroupNorm(8, outputs), nn.ReLU()
    )


def train_reader(
    steps: int, seed: int = 0, pictures: int = 32_768, progress: Callable[[int, float], None] | None = None
) -> FaceReader:
    """Train on ``pictures`` drawings, mirrored half of the time, for ``steps`` batches of 128.

    progress: called with the step and its loss. The same seed gives the same reader on the same machine.
    """
    portraits = Portraits(pictures, SIZE, seed, "reader", hidden=0.1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = FaceReader()
        targets = (true_pose(portraits.structure) - reader.mean) / reader.spread
        labels = portraits.style.species
        optimizer = torch.optim.AdamW(reader.parameters(), lr=1.0, weight_decay=1e-3)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 3e-3 * _schedule((step + 1) / steps)
            index = torch.randint(pictures, (128,))
            images, pose = _mirror(to_unit(portraits.batch(index)), targets[index])
            logits, read = reader(_spoil(images))
            loss = F.cross_entropy(logits, labels[index], label_smoothing=0.02) + F.smooth_l1_loss(read, pose)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if progress is not None:
                progress(step, loss.item())
    return reader.eval().requires_grad_(False)


def _schedule(done: float) -> float:
    """Up over the first tenth of the training, and down along a cosine."""
    return min(1.0, 10 * done) * (0.5 + 0.5 * math.cos(math.pi * done))


def _mirror(images: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
    """Half of the pictures mirrored, and with them x, tilt and turn."""
    swap = torch.rand(len(images)) < 0.5
    sign = torch.tensor([-1.0, 1.0, 1.0, -1.0, -1.0])  # what changes has mean 0: it flips standardised too
    mirrored = torch.where(swap[:, None, None, None], images.flip(-1), images)
    return mirrored, torch.where(swap[:, None], pose * sign, pose)


def _spoil(images: Tensor) -> Tensor:
    """Colours off a little, blur and noise of random strength: as if a generator had drawn them."""
    n = len(images)
    gain = 1 + 0.2 * (2 * torch.rand(n, 3, 1, 1) - 1)
    bias = 0.15 * (2 * torch.rand(n, 3, 1, 1) - 1)
    blurred = F.avg_pool2d(F.pad(images, (2, 2, 2, 2), mode="replicate"), 3, 1)
    blurred = F.avg_pool2d(blurred, 3, 1)
    images = torch.lerp(images, blurred, (1.6 * torch.rand(n, 1, 1, 1) - 0.6).clamp(min=0))
    noise = 0.15 * (2 * torch.rand(n, 1, 1, 1) - 1).clamp(min=0)
    return (images * gain + bias + noise * torch.randn_like(images)).clamp(-1, 1)


def examine(reader: FaceReader, count: int = 2000, seed: int = 0) -> dict[str, float]:
    """Held-out portraits: share of species read right, and mean absolute error of each part of the pose."""
    portraits = Portraits(count, SIZE, seed, "reader-test")
    reading = reader.read(to_unit(portraits.batch(range(count))))
    errors = (reading.pose - true_pose(portraits.structure)).abs().mean(dim=0).tolist()
    right = (reading.species == portraits.style.species).float().mean().item()
    return {"species": right, **dict(zip(POSE, errors, strict=True))}


def train_and_save(
    path: Path, steps: int = 1600, seed: int = 0, progress: Callable[[int, float], None] | None = None
) -> dict[str, float]:
    """Train a reader, save it at ``path`` and return its examination."""
    reader = train_reader(steps, seed, progress=progress)
    reader.save(path)
    return examine(FaceReader.load(path))
