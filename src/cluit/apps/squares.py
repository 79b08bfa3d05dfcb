"""From a picture of any kind and size to the square that a model sees, and back into the picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cluit.core.errors import UserError
from cluit.core.images import to_bytes
from cluit.data.dataset import as_image
from cluit.data.decode import fit_square, open_picture

Picture = str | Path | Image.Image | np.ndarray | Tensor
"""A file's path; a PIL image of any mode; uint8, as an array (H, W, 3) or a tensor (3, H, W); or a tensor of
floats in [-1, 1], (3, H, W). Of any size: the central square counts."""


def is_one(picture: object) -> bool:
    """Whether this is one picture rather than several."""
    if isinstance(picture, np.ndarray | Tensor):
        return picture.ndim < 4
    return isinstance(picture, str | Path | Image.Image)


def as_list(pictures: Picture | Sequence[Picture]) -> list[Picture]:
    if is_one(pictures):
        return [pictures]  # type: ignore[list-item]
    try:
        return list(pictures)  # type: ignore[arg-type]
    except TypeError:
        kind = type(pictures).__name__
        raise UserError(f"a picture is a path, a PIL image, an array or a tensor, not {kind}") from None


def whole(picture: Picture) -> Image.Image:
    """All of the picture, RGB, as the eye sees it."""
    if isinstance(picture, str | Path):
        return open_picture(picture)
    if isinstance(picture, Tensor) and picture.is_floating_point() and picture.shape[:-2] == (3,):
        picture = to_bytes(picture)
    try:
        image = as_image(picture)
        image.load()
        return image
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a closed or damaged PIL image raises almost anything
        raise UserError(f"this {type(picture).__name__} cannot be read: {error}") from error


def as_square(picture: Picture, size: int) -> Tensor:
    """The picture's central square, uint8 (3, size, size)."""
    if isinstance(picture, str | Path):
        return fit_square(open_picture(picture, side=size), size)
    if isinstance(picture, Tensor) and picture.dtype == torch.uint8 and picture.shape == (3, size, size):
        return picture.cpu()  # a square already
    return fit_square(whole(picture), size)


def paste_back(picture: Image.Image, square: Image.Image) -> Image.Image:
    """``picture`` with its central square, all that the model saw of it, replaced by ``square``."""
    side = min(picture.size)
    corner = ((picture.width - side) // 2, (picture.height - side) // 2)
    result = picture.copy()
    result.paste(square.resize((side, side), Image.Resampling.LANCZOS), corner)
    return result
