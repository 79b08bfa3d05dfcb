"""``portraits``, the embedded data set: animal faces whose every factor is known.

So the true translation of a source to a reference can be drawn: the source's structure in the reference's style.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from cluit.core.errors import UserError
from cluit.data.animals import ANIMALS, LINE, Head, glasses
from cluit.data.animals import EYES as EYE_PLACES
from cluit.data.drawing import Sketch, circle, ellipse, lens, smooth_max, smooth_min
from cluit.data.factors import SPECIES, Structure, Style, sample_structure, sample_style

SIZES = (32, 64, 128, 256)
BLOCK = 64                             # pictures drawn together when one of them is asked for
HEAD = 0.75                            # half sides of the picture per unit of head coordinates, at scale 1
FINEST = 64                            # smaller pictures are means of ones drawn at this size: lines stay true
CHUNK = 32 * 64 * 64                   # pixels drawn at once: few enough that all layers stay in the cache


def _rgb(*colours: str) -> Tensor:
    return torch.tensor([[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in colours])


#                    ginger    charcoal  cream     brown     slate     golden
BASE = _rgb("e8924a", "5a5a64", "f2e6d0", "966a4a", "8ea4bc", "ecc272")
LIGHT = _rgb("fdeedb", "d4d4dc", "fffaf0", "ecd6ba", "eaf1f7", "fff4d8")
MARK = _rgb("a8521e", "2c2a34", "c49a6c", "54341f", "4d627e", "b5782c")
OUTLINE = _rgb("6e3412", "1c1a22", "7c5a3a", "361f10", "2f3d52", "74480f")
IRIS = _rgb("f2b632", "7cbf5a", "58a6e6", "8a4f28")
BACKDROP = _rgb("b4cdb0", "aed4ea", "f6cbb2", "cdbfe6", "6fa3a8")
FRONT = _rgb("000000", "5f9a4c", "d8574f", "c9a26b")


def _markings(x: Tensor, y: Tensor, pattern: Tensor, sketch: Sketch) -> Tensor:
    """Coverage of the coat's pattern. Lattices, so that a pattern costs the same however many marks it has."""
    chevrons = ((y + 0.55 * x.abs() + 0.1) * 2.6).remainder(1).sub(0.5).abs().sub(0.27).div(2.6)
    row = (y * 2.2 + 0.2).floor()
    u = (x * 2.2 + 0.5 * row.remainder(2)).remainder(1).sub(0.5) / 2.2
    v = (y * 2.2 + 0.2).remainder(1).sub(0.5) / 2.2
    spots = circle(u, v, 0.13)
    patch = ellipse(x - 0.62, y + 0.3, 0.58, 0.8)
    distance = torch.where(pattern == 1, chevrons, torch.where(pattern == 2, spots, patch))
    return sketch.cover(distance).mul_((pattern > 0).float())


def _draw(structure: Structure, style: Style, size: int) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, S, S) in [0, 1] and silhouettes (N, S, S), coverage, of N heads of one species."""
    each = (slice(None), None, None)
    centre = (torch.arange(size) + 0.5) * (2 / size) - 1
    across, down = centre.expand(1, size, size), centre[:, None].expand(1, size, size)
    unit = HEAD * structure.scale[each]
    # Sines in double precision: their last bit in single depends on where in a batch a number stands.
    cosine, sine = (f(structure.tilt.double()).float()[each] / unit for f in (torch.cos, torch.sin))
    u, v = across - structure.x[each], down - structure.y[each]
    x, y = u * cosine + v * sine, v * cosine - u * sine
    sketch = Sketch((2 / size) / unit)

    tone = 1 + 0.06 * style.coat_tone[:, None]
    turn = 0.55 * structure.turn.double()
    turn_sine = turn.sin().float()[each]
    head = Head(
        sketch, x, y, turn_sine, turn.cos().float()[each],
        structure.mouth[each], structure.lids[each], structure.gaze[each],
        base=BASE[style.coat] * tone, light=LIGHT[style.coat], mark=MARK[style.coat] * tone, line=OUTLINE[style.coat],
        iris=IRIS[style.eyes], markings=_markings(x - 0.4 * turn_sine, y, style.pattern[each], sketch),
        silhouette=torch.zeros(1),
    )
    sketch.layer((1.2 - ellipse(x, y - 0.35, 1.0, 0.9)).clamp_(0, 1).square_().mul_(0.16), OUTLINE[1])
    species = SPECIES[int(style.species[0])]
    ANIMALS[species](head)
    if style.glasses.any():
        glasses(head, style.glasses[each], *EYE_PLACES[species])
    if structure.occluder.any():
        distance = _occluder(across, down, structure) / unit
        sketch.fill(distance, FRONT[structure.occluder] * 0.6)
        sketch.fill(distance + LINE, FRONT[structure.occluder])
        head.silhouette = head.silhouette * (1 - sketch.cover(distance))

    light = 1.03 - 0.07 * down - 0.06 * (across * across + down * down)
    backdrop = BACKDROP[style.background] * (1 + 0.05 * style.background_tone[:, None])
    return sketch.render(backdrop[:, :, None, None] * light[:, None]), head.silhouette


def _occluder(across: Tensor, down: Tensor, structure: Structure) -> Tensor:
    """Distance, in half sides, to the leaf, paddle or board that reaches in from the edge and hides part of the face."""
    each = (slice(None), None, None)
    angle = structure.occluder_angle.double()
    c, s = angle.cos().float()[each], angle.sin().float()[each]
    u, v = across * c + down * s, down * c - across * s                     # u grows towards the edge it comes from
    leaf = smooth_min(lens(v, u - 0.62, 0.36, 0.8), smooth_max(v.abs() - 0.05, 0.5 - u, 0.0), 0.05)
    paddle = smooth_min(circle(u - 0.38, v, 0.36), smooth_max(v.abs() - 0.08, 0.4 - u, 0.0), 0.1)
    board = 0.3 - u + 0.0 * v
    kind = structure.occluder[each]
    return torch.where(kind == 1, leaf, torch.where(kind == 2, paddle, board)) + 9.0 * (kind == 0)


def _chunks(species: Tensor, size: int) -> Iterator[Tensor]:
    """Indices of pictures of one species, few enough to be drawn at once."""
    most = max(1, CHUNK // (size * size))
    for value in range(len(SPECIES)):
        yield from (part for part in (species == value).nonzero()[:, 0].split(most) if len(part))


def draw(structure: Structure, style: Style, size: int) -> Tensor:
    """The portraits of these structures in these styles: uint8 (N, 3, size, size)."""
    pictures = torch.empty(len(style), 3, size, size, dtype=torch.uint8)
    for index in _chunks(style.species, max(size, FINEST)):
        colours, _ = _draw(structure[index], style[index], max(size, FINEST))
        colours = _reduce(colours, size)
        pictures[index] = colours.mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8)
    return pictures


def face_mask(structure: Structure, style: Style, size: int) -> Tensor:
    """Where the head with its ears is seen, whiskers and whatever hides it apart: bool (N, size, size)."""
    mask = torch.empty(len(style), size, size, dtype=torch.bool)
    for index in _chunks(style.species, max(size, FINEST)):
        _, silhouette = _draw(structure[index], style[index], max(size, FINEST))
        mask[index] = _reduce(silhouette, size) > 0.5
    return mask


def _reduce(fine: Tensor, size: int) -> Tensor:
    """The mean over each pixel of the smaller picture."""
    return fine if fine.shape[-1] == size else F.avg_pool2d(fine, fine.shape[-1] // size)


class Portraits(Dataset[Tensor]):
    """``count`` portraits as a map-style data set: ``[i]`` is uint8 (3, size, size), drawn when first asked for.

    Its labels, factors and true translations serve evaluation; training sees only the pictures.
    """

    def __init__(
        self,
        count: int,
        size: int,
        seed: int = 0,
        split: str = "train",
        *,
        rare_poses: float = 0.0,
        hidden: float = 0.0,
        species_weights: Mapping[str, float] | None = None,
        coarse: Mapping[str, str] | None = None,
        cache_bytes: int = 2**29,
    ) -> None:
        """
        size: a power of two from 32 to 256. split: pictures of two splits of one seed have nothing in common.
        rare_poses, hidden: shares of extreme poses and of partly hidden faces.
        species_weights: relative frequency by species, 0 where a species is not named; all equal without it.
        coarse: names that replace species in the labels, such as {"cat": "wildcat", "fox": "wildcat"}.
        cache_bytes: the first pictures, as many as fit, are kept once drawn; the others are drawn each time.

        Raises UserError where a value is out of range.
        """
        _check(count, size, rare_poses, hidden, species_weights or {}, coarse or {})
        self.size = size
        index = torch.arange(count)
        self.structure: Structure = sample_structure(seed, split, index, rare_poses, hidden)
        self.style: Style = sample_style(seed, split, index, species_weights)
        names = [(coarse or {}).get(name, name) for name in SPECIES]
        self.classes: list[str] = sorted(set(names))
        self.labels: list[int] = [self.classes.index(names[s]) for s in self.style.species.tolist()]
        kept = min(count, cache_bytes // (3 * size * size))
        self._kept = torch.empty(kept, 3, size, size, dtype=torch.uint8)
        self._drawn = torch.zeros(kept, dtype=torch.bool)

    def __len__(self) -> int:
        return len(self.style)

    def __getitem__(self, index: int) -> Tensor:
        if not -len(self) <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        index %= len(self)
        if index >= len(self._kept):
            return self.batch([index])[0]
        if not self._drawn[index]:                        # its neighbours will be wanted too, and many cost less than one
            first = index // BLOCK * BLOCK
            self.batch(range(first, min(first + BLOCK, len(self._kept))))
        return self._kept[index]

    def batch(self, indices: Sequence[int] | Tensor) -> Tensor:
        """These pictures, uint8 (N, 3, size, size), each drawn at most once if it is one of those that are kept."""
        wanted = torch.as_tensor(indices, dtype=torch.long)
        keep = wanted < len(self._kept)
        missing = wanted[keep][~self._drawn[wanted[keep]]].unique()
        if len(missing):
            self._kept[missing] = draw(self.structure[missing], self.style[missing], self.size)
            self._drawn[missing] = True
        pictures = torch.empty(len(wanted), 3, self.size, self.size, dtype=torch.uint8)
        pictures[keep] = self._kept[wanted[keep]]
        if not keep.all():
            rest = wanted[~keep]
            pictures[~keep] = draw(self.structure[rest], self.style[rest], self.size)
        return pictures


def _check(
    count: int, size: int, rare: float, hidden: float, weights: Mapping[str, float], coarse: Mapping[str, str]
) -> None:
    if count < 1:
        raise UserError(f"a data set needs at least one portrait, not {count}")
    if size not in SIZES:
        raise UserError(f"portraits are drawn at {', '.join(map(str, SIZES))} pixels, not at {size}")
    for name, share in (("rare poses", rare), ("hidden faces", hidden)):
        if not 0 <= share <= 1:
            raise UserError(f"the share of {name} lies between 0 and 1, not at {share}")
    for name in [*weights, *coarse]:
        if name not in SPECIES:
            raise UserError(f"portraits have no species {name!r}; choose among {', '.join(SPECIES)}")
    if weights and not (min(weights.values()) >= 0 and 0 < sum(weights.values()) < float("inf")):
        raise UserError("the weights of species must not be negative, and at least one must be positive")
