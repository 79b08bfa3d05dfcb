"""From factors to pixels: the palettes, the coat's patterns, the light, and what hides a face."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.core.errors import UserError
from cluit.data.animals import ANIMALS, EYES, LINE, Head, glasses
from cluit.data.drawing import Sketch, circle, ellipse, lens, smooth_max, smooth_min
from cluit.data.factors import SPECIES, Structure, Style

SIZES = (32, 64, 128, 256)
HEAD = 0.75  # half sides of the picture per unit of head coordinates, at scale 1
FINEST = 64  # smaller pictures are means of ones drawn at this size, so that thin lines stay true
CHUNK = 32 * 64 * 64  # pixels drawn at once: few enough that all layers stay in the cache
EACH = (slice(None), None, None)  # a number per picture, to meet its pixels


def _rgb(*colours: str) -> Tensor:
    return torch.tensor([[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in colours])


#                    ginger    charcoal  cream     brown     slate     golden
BASE = _rgb("e8924a", "5a5a64", "f2e6d0", "966a4a", "8ea4bc", "ecc272")
LIGHT = _rgb("fdeedb", "d4d4dc", "fffaf0", "ecd6ba", "eaf1f7", "fff4d8")
MARK = _rgb("a8521e", "2c2a34", "c49a6c", "54341f", "4d627e", "b5782c")
OUTLINE = _rgb("6e3412", "1c1a22", "7c5a3a", "361f10", "2f3d52", "74480f")
IRIS = _rgb("f2b632", "7cbf5a", "58a6e6", "8a4f28")
BACKDROP = _rgb("b4cdb0", "aed4ea", "f6cbb2", "cdbfe6", "6fa3a8")
SHADE = _rgb("1c1a22")
FRONT = _rgb("000000", "5f9a4c", "d8574f", "c9a26b")


def _markings(x: Tensor, y: Tensor, pattern: Tensor, sketch: Sketch) -> Tensor:
    """Coverage of the coat's pattern. Lattices: many marks cost no more than one."""
    chevrons = ((y + 0.55 * x.abs() + 0.1) * 2.6).remainder(1).sub(0.5).abs().sub(0.27).div(2.6)
    row = (y * 2.2 + 0.2).floor()
    u = (x * 2.2 + 0.5 * row.remainder(2)).remainder(1).sub(0.5) / 2.2
    v = (y * 2.2 + 0.2).remainder(1).sub(0.5) / 2.2
    spots = circle(u, v, 0.13)
    patch = ellipse(x - 0.62, y + 0.3, 0.58, 0.8)
    distance = torch.where(pattern == 1, chevrons, torch.where(pattern == 2, spots, patch))
    return sketch.cover(distance).mul_((pattern > 0).float())


def _pose(structure: Structure, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The pixels' coordinates in the picture, then in the head: across, down, x, y, each (N or 1, S, S)."""
    centre = (torch.arange(size) + 0.5) * (2 / size) - 1
    across, down = centre.expand(1, size, size), centre[:, None].expand(1, size, size)
    # Sines in double precision: their last bit in single depends on where in a batch a number stands.
    cosine, sine = (f(structure.tilt.double()).float()[EACH] for f in (torch.cos, torch.sin))
    cosine, sine = cosine / _unit(structure), sine / _unit(structure)
    u, v = across - structure.x[EACH], down - structure.y[EACH]
    return across, down, u * cosine + v * sine, v * cosine - u * sine


def _unit(structure: Structure) -> Tensor:
    """(N, 1, 1), half sides of the picture per unit of head coordinates."""
    return HEAD * structure.scale[EACH]


def _head(sketch: Sketch, x: Tensor, y: Tensor, structure: Structure, style: Style) -> Head:
    """Everything that an animal is drawn from."""
    tone = 1 + 0.06 * style.coat_tone[:, None]
    turn = 0.55 * structure.turn.double()
    sine = turn.sin().float()[EACH]
    return Head(
        sketch=sketch,
        x=x,
        y=y,
        sine=sine,
        cosine=turn.cos().float()[EACH],
        mouth=structure.mouth[EACH],
        lids=structure.lids[EACH],
        gaze=structure.gaze[EACH],
        base=BASE[style.coat] * tone,
        light=LIGHT[style.coat],
        mark=MARK[style.coat] * tone,
        line=OUTLINE[style.coat],
        iris=IRIS[style.eyes],
        markings=_markings(x - 0.4 * sine, y, style.pattern[EACH], sketch),
        silhouette=torch.zeros(1),
    )


def _draw(structure: Structure, style: Style, size: int) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, S, S) in [0, 1] and silhouettes (N, S, S), coverage, of N heads of one species."""
    across, down, x, y = _pose(structure, size)
    sketch = Sketch((2 / size) / _unit(structure))
    sketch.layer((1.2 - ellipse(x, y - 0.35, 1.0, 0.9)).clamp_(0, 1).square_().mul_(0.16), SHADE)
    head = _head(sketch, x, y, structure, style)
    species = SPECIES[int(style.species[0])]
    ANIMALS[species](head)
    if style.glasses.any():
        glasses(head, style.glasses[EACH], *EYES[species])
    if structure.occluder.any():
        distance = _occluder(across, down, structure) / _unit(structure)
        sketch.fill(distance, FRONT[structure.occluder] * 0.6)
        sketch.fill(distance + LINE, FRONT[structure.occluder])
        head.silhouette = head.silhouette * (1 - sketch.cover(distance))
    # The backdrop is even: light that falls off towards the edges would tell a crop where it was cut, so that
    # the head's place and size could be learned as its style.
    backdrop = BACKDROP[style.background] * (1 + 0.05 * style.background_tone[:, None])
    return sketch.render(backdrop[:, :, None, None].expand(-1, -1, size, size)), head.silhouette


def _occluder(across: Tensor, down: Tensor, structure: Structure) -> Tensor:
    """Distance, in half sides, to the leaf, paddle or board that reaches in and hides part of the face."""
    angle = structure.occluder_angle.double()
    c, s = angle.cos().float()[EACH], angle.sin().float()[EACH]
    u, v = across * c + down * s, down * c - across * s  # u grows towards the edge it comes from
    leaf = smooth_min(lens(v, u - 0.62, 0.36, 0.8), smooth_max(v.abs() - 0.05, 0.5 - u, 0.0), 0.05)
    paddle = smooth_min(circle(u - 0.38, v, 0.36), smooth_max(v.abs() - 0.08, 0.4 - u, 0.0), 0.1)
    board = 0.3 - u + 0.0 * v
    kind = structure.occluder[EACH]
    return torch.where(kind == 1, leaf, torch.where(kind == 2, paddle, board)) + 9.0 * (kind == 0)


def check_size(size: int) -> None:
    """UserError for a size that portraits are not drawn at."""
    if size not in SIZES:
        raise UserError(f"portraits are drawn at {', '.join(map(str, SIZES))} pixels, not at {size}")


def draw(structure: Structure, style: Style, size: int) -> Tensor:
    """The portraits of these structures in these styles: uint8 (N, 3, size, size)."""
    pictures = torch.empty(len(style), 3, size, size, dtype=torch.uint8)
    for index, colours, _ in _parts(structure, style, size):
        pictures[index] = colours.mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8)
    return pictures


def face_mask(structure: Structure, style: Style, size: int) -> Tensor:
    """Where the head with its ears is seen, without whiskers and whatever hides it: bool (N, size, size)."""
    mask = torch.empty(len(style), size, size, dtype=torch.bool)
    for index, _, silhouette in _parts(structure, style, size):
        mask[index] = silhouette > 0.5
    return mask


def _parts(structure: Structure, style: Style, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Indices of pictures of one species, few enough to be drawn at once; their colours and silhouettes."""
    check_size(size)
    fine = max(size, FINEST)
    for species in range(len(SPECIES)):
        for index in (style.species == species).nonzero()[:, 0].split(max(1, CHUNK // fine**2)):
            if len(index):
                colours, silhouette = _draw(structure[index], style[index], fine)
                yield index, _reduce(colours, fine // size), _reduce(silhouette, fine // size)


def _reduce(fine: Tensor, factor: int) -> Tensor:
    """The mean over each pixel of a picture ``factor`` times smaller."""
    return fine if factor == 1 else F.avg_pool2d(fine, factor)
