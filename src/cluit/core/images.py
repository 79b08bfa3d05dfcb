"""The one pixel convention: bytes 0..255 on disk, [-1, 1] in networks, channels first."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (..., 3, H, W) -> float32 in [-1, 1]."""
    return pixels.float().div_(127.5).sub_(1)


def to_bytes(images: Tensor) -> Tensor:
    """float (..., 3, H, W) in [-1, 1] -> uint8: clamped to the range and rounded."""
    return images.detach().float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def as_picture(pixels: Tensor) -> Image.Image:
    """uint8 (3, H, W) -> an RGB picture."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().cpu().numpy())


def grid(rows: Sequence[Sequence[Tensor]], gap: int = 2, background: int = 255) -> Tensor:
    """Lay equal uint8 (3, H, W) pictures out in rows -> uint8 (3, H', W'), ``gap`` pixels between them."""
    height, width = rows[0][0].shape[-2:]
    columns = max(len(row) for row in rows)
    sheet = torch.full(
        (3, len(rows) * (height + gap) - gap, columns * (width + gap) - gap), background, dtype=torch.uint8
    )
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            sheet[:, top : top + height, left : left + width] = picture.cpu()
    return sheet
