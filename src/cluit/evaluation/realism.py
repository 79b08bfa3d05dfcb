"""How far translated pictures are, as a crowd, from real ones: a score without labels and downloads."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.evaluation.frechet import Gaussian, frechet_distance

WIDTHS = (3, 24, 32, 40, 48)
SEED = 20


class RandomFeatures(nn.Module):
    """An untrained network, the same everywhere: four 3×3 convolutions with weights from a fixed seed.

    Random filters still tell textures, edges and colours apart, and belong to no data set. Its features are
    the means of every channel after each convolution, so they say what there is but not where.
    """

    name = "random"

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(SEED)
        self.dim = sum(WIDTHS[1:])
        for i, (inputs, outputs) in enumerate(pairwise(WIDTHS)):
            weight = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
            self.register_buffer(f"weight{i}", weight)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1], at least 16 pixels a side -> (N, 144)."""
        x, means = images.float().clamp(-1, 1), []
        for i, weight in enumerate(self.buffers()):
            x = F.relu(F.conv2d(x, weight, stride=2 if i else 1))
            means.append(x.mean(dim=(2, 3)))
        return torch.cat(means, dim=1)


class Realism:
    """The Fréchet distance, under `RandomFeatures`, of translated pictures to given real ones; 0 is best."""

    def __init__(self, device: torch.device) -> None:
        self.features = RandomFeatures().to(device)
        self.real = self.crowd()

    def crowd(self) -> Gaussian:
        """An empty one."""
        return Gaussian(self.features.dim)

    @torch.no_grad()
    def look(self, crowd: Gaussian, images: Tensor) -> None:
        """Add ``images`` (N, 3, H, W), in [-1, 1], to a crowd."""
        crowd.add(self.features(images))

    def distance(self, crowd: Gaussian) -> float:
        """From the real pictures."""
        return frechet_distance(crowd, self.real)
