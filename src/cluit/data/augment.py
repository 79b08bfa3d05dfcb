"""Random views of pictures: batched, on the device, and differentiable in the pixels.

Every view is one resampling by a random affine map of each picture's frame, so cropping, flipping, rotating
and shearing cost one pass together. Colour is one affine map of each picture's RGB values.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_ROTATION = math.radians(20)
MAX_SHEAR = math.radians(10)
MAX_SHIFT = 0.1  # of a side
JITTER = (0.4, 0.4, 0.4, 0.1)  # brightness, contrast, saturation, hue (SimCLR's, at TUNIT's strength)
JITTER_SHARE = 0.8  # of pictures that are jittered
BEND = 0.06  # deviation of a warp's nodes, in half sides
WARP_ZOOM = (0.85, 1.2)  # of a warp's frame
TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
FROM_YIQ = torch.linalg.inv(TO_YIQ)


@dataclass(frozen=True, kw_only=True)
class Views:
    """Which random changes a view may make: a row of the paper's Table 2."""

    crop: tuple[float, float]  # smallest and largest side of the crop, as a fraction of the picture's
    flip: bool = False
    affine: bool = False
    color: bool = False
    by_area: bool = False  # the fraction is drawn evenly in area rather than in side

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> the same shape, one random view of each picture."""
        with torch.autocast(
            images.device.type, enabled=False
        ):  # half precision would move the frame by pixels
            frame = crop_frame(images, self.crop, self.by_area)
            if self.flip:
                frame = frame @ flip_frame(images)
            if self.affine:
                frame = affine_frame(images) @ frame
            views = resample(images.float(), frame)
            return jitter(views) if self.color else views


def warp(images: Tensor) -> Callable[[Tensor], Tensor]:
    """A smooth random deformation of each picture: its frame flipped, zoomed, turned, shifted and bent.

    images: (N, 3, H, W). The result deforms (N, 3, H, W) in [-1, 1], the same way at every call, so that a
    picture and what was made of it can be moved alike; it is differentiable in the pixels.
    """
    with torch.autocast(images.device.type, enabled=False):
        frame = affine_frame(images) @ flip_frame(images) @ crop_frame(images, WARP_ZOOM)
        nodes = BEND * torch.randn(len(images), 2, 4, 4, device=images.device)
        bends = F.interpolate(nodes, images.shape[2:], mode="bicubic", align_corners=True)
        grid = frame_grid(images, frame) + bends.permute(0, 2, 3, 1)

    def moved(pictures: Tensor) -> Tensor:
        with torch.autocast(pictures.device.type, enabled=False):
            return look_up(pictures.float(), grid)

    return moved


def uniform(images: Tensor, low: float, high: float) -> Tensor:
    """(N,) numbers evenly between ``low`` and ``high``, on the pictures' device."""
    return torch.empty(len(images), device=images.device).uniform_(low, high)


def matrices(rows: list[list[Tensor]]) -> Tensor:
    """A square of (N,) entries -> (N, R, R)."""
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def crop_frame(images: Tensor, fraction: tuple[float, float], by_area: bool = False) -> Tensor:
    """(N, 3, 3): a random square of each picture, where the picture is [-1, 1]²; beyond 1 it sticks out."""
    low, high = fraction
    side = uniform(images, low**2, high**2).sqrt() if by_area else uniform(images, low, high)
    x, y = (uniform(images, -1, 1) * (1 - side) for _ in range(2))
    zero, one = torch.zeros_like(side), torch.ones_like(side)
    return matrices([[side, zero, x], [zero, side, y], [zero, zero, one]])


def flip_frame(images: Tensor) -> Tensor:
    """(N, 3, 3): left and right exchanged in half of the pictures."""
    sign = uniform(images, -1, 1).sign()
    zero, one = torch.zeros_like(sign), torch.ones_like(sign)
    return matrices([[sign, zero, zero], [zero, one, zero], [zero, zero, one]])


def affine_frame(images: Tensor) -> Tensor:
    """(N, 3, 3): a random rotation, shear and shift."""
    angle, shear = uniform(images, -MAX_ROTATION, MAX_ROTATION), uniform(images, -MAX_SHEAR, MAX_SHEAR).tan()
    x, y = (uniform(images, -2 * MAX_SHIFT, 2 * MAX_SHIFT) for _ in range(2))
    cos, sin = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return matrices([[cos, shear * cos - sin, x], [sin, shear * sin + cos, y], [zero, zero, one]])


def resample(images: Tensor, frame: Tensor) -> Tensor:
    """What each ``frame`` (N, 3, 3) sees of its picture, bilinearly; beyond the edge lies its reflection."""
    return look_up(images, frame_grid(images, frame))


def frame_grid(images: Tensor, frame: Tensor) -> Tensor:
    """(N, H, W, 2): where in its picture, [-1, 1]², each pixel of a view lies; the view sees ``frame``."""
    return F.affine_grid(frame[:, :2], list(images.shape), align_corners=False)


def look_up(images: Tensor, grid: Tensor) -> Tensor:
    """(N, 3, H, W) at the places (N, H, W, 2), bilinearly; beyond the edge lies the picture's reflection."""
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def jitter(images: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of four pictures in five, by an affine map of RGB."""
    brightness, contrast, saturation, hue = JITTER
    chosen = (uniform(images, 0, 1) < JITTER_SHARE).float()
    bright = 1 + chosen * uniform(images, -brightness, brightness)
    contrasty = 1 + chosen * uniform(images, -contrast, contrast)
    colored = 1 + chosen * uniform(images, -saturation, saturation)
    turn = chosen * uniform(images, -hue, hue) * 2 * math.pi
    rgb = images + 1  # black is 0
    color = hue_matrix(turn, colored) * (contrasty * bright)[:, None, None]
    grey = grey_of(rgb).mean(dim=(1, 2, 3)) * bright * (1 - contrasty)
    mixed = torch.baddbmm(grey[:, None, None] - 1, color, rgb.flatten(2))
    return mixed.clamp(-1, 1).view_as(images)


def grey_of(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 1, H, W), by the luma weights of Rec. 601."""
    to_yiq, _ = yiq_on(rgb.device)
    return torch.einsum("c,nchw->nhw", to_yiq[0].to(rgb.dtype), rgb)[:, None]


def hue_matrix(turn: Tensor, saturation: Tensor) -> Tensor:
    """(N, 3, 3): rotate chroma by ``turn`` (radians) and scale it by ``saturation``, luma unchanged (YIQ)."""
    cos, sin = turn.cos() * saturation, turn.sin() * saturation
    zero, one = torch.zeros_like(turn), torch.ones_like(turn)
    rotate = matrices([[one, zero, zero], [zero, cos, -sin], [zero, sin, cos]])
    to_yiq, from_yiq = yiq_on(turn.device)
    return from_yiq @ rotate @ to_yiq


@cache
def yiq_on(device: torch.device) -> tuple[Tensor, Tensor]:
    """`TO_YIQ` and `FROM_YIQ`, copied to a device once, as every copy would wait for a GPU."""
    with torch.inference_mode(False):  # whoever asks first: others will differentiate
        return TO_YIQ.to(device), FROM_YIQ.to(device)
