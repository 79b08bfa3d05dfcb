"""What the Swapping Autoencoder's step does to pictures and codes; its games are those of `cluit.losses`."""

import torch
import torch.nn.functional as F
from torch import Tensor


def swapped(codes: Tensor) -> Tensor:
    """(N, ...) with N even -> the same, each exchanged with its neighbour: 0 with 1, 2 with 3."""
    return codes.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def random_patches(images: Tensor, count: int, side: int, fraction: tuple[float, float]) -> Tensor:
    """(N, 3, S, S) -> (N, count, 3, side, side): random rectangles of each picture, half of them mirrored.

    fraction: between which parts of the picture's side each of a rectangle's two is drawn, independently.
    They lie within the picture and are resampled bilinearly, in float32. Differentiable in the pixels.
    """
    low, high = fraction
    shape, device = (2, len(images), count, 1), images.device  # across and down
    half = low + (high - low) * torch.rand(shape, device=device)  # of a rectangle's side; a picture's is 1
    centre = (1 - half) * (2 * torch.rand(shape, device=device) - 1)
    mirrored = torch.rand(shape[1:], device=device) < 0.5
    pixels = (2 * torch.arange(side, device=device) + 1) / side - 1
    x = centre[0] + half[0] * torch.where(mirrored, -pixels, pixels)
    y = centre[1] + half[1] * pixels
    grid = torch.stack(
        [
            x[:, :, None, :].expand(-1, -1, side, -1),
            y[:, :, :, None].expand(-1, -1, -1, side),
        ],
        dim=-1,
    )
    # One above the other, so that a picture is sampled for all its patches without a copy for each.
    with torch.autocast(device.type, enabled=False):
        column = F.grid_sample(images.float(), grid.flatten(1, 2), padding_mode="border", align_corners=False)
    return column.unflatten(2, (count, side)).transpose(1, 2)
