"""How much of a source's structure an output kept: where its edges run, whatever their colours."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.data.augment import grey_of

SCALE = 16  # the blur's sigma is this part of a picture's side: outlines count, hair does not


def structure_kept(outputs: Tensor, sources: Tensor) -> Tensor:
    """The correlation of two pictures' fields of edge directions: (N,), 1 for the source itself.

    outputs: (N, 3, H, W); sources: as many or, where several outputs in a row are of one source, (P, 3, H, W)
    with N a multiple of P; both uint8 or both float in one range. About 0 for pictures that have nothing to
    do with each other, -1 where all edges cross at right angles; 0 where either has no edge.

    Directions, not differences, are compared, so that no change of brightness or contrast matters, inversion
    included: normalised gradient fields (Haber and Modersitzki, "Intensity gradient based registration and
    fusion of multi-modal images", MICCAI 2006) of the blurred grey picture, in the double-angle form (Bigün
    and Granlund, ICCV 1987), which does not tell light-to-dark from dark-to-light. Their noise level epsilon
    is each picture's mean gradient.

    A style that changes shapes moves edges too, so the best translation does not reach 1: of portraits, true
    translations between species have 0.30 and unrelated pictures 0.17. Read it beside the trivial answers.
    """
    a = _directions(outputs)
    b = _directions(sources).repeat_interleave(len(outputs) // len(sources), dim=0)
    norm = (a.square().sum(dim=(1, 2, 3)) * b.square().sum(dim=(1, 2, 3))).sqrt()
    return (a * b).sum(dim=(1, 2, 3)) / norm.clamp(min=1e-12)


def _directions(images: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 2, H - 2, W - 2): (cos 2θ, sin 2θ) of the gradient, shorter where it is weak."""
    grey = _blur(grey_of(images.float()), max(images.shape[-2:]) / SCALE)
    across = grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2]
    down = grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]
    squared = across.square() + down.square()
    noise = squared.sqrt().mean(dim=(2, 3), keepdim=True).square()
    double_angle = torch.cat([across.square() - down.square(), 2 * across * down], dim=1)
    return double_angle / (squared + noise).clamp(min=1e-12)


def _blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian means of (N, 1, H, W), the border repeated."""
    reach = max(1, round(3 * sigma))
    offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    weights = weights / weights.sum()
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))
