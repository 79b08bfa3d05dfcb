"""What a portrait is made of: its structure (pose, expression, cover) and its style (who, in which colours).

Every factor of picture ``i`` is a pure function of the seed, the split, ``i`` and the factor's name, so that
a picture is the same in whatever batch and order it is drawn, and on whatever machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self
from zlib import crc32

import numpy
import torch
from torch import Tensor

SPECIES = ("cat", "dog", "fox", "mouse", "pig", "rabbit")
COATS = ("ginger", "charcoal", "cream", "brown", "slate", "golden")
PATTERNS = ("plain", "stripes", "spots", "patch")
EYES = ("amber", "green", "blue", "brown")
BACKGROUNDS = ("sage", "sky", "peach", "lilac", "teal")
OCCLUDERS = ("none", "leaf", "paddle", "board")


@dataclass(frozen=True)
class Factors:
    """Tensors that all have one entry per picture; indexing selects pictures, as a tensor's would."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> Self:
        """index: a slice, a list or a tensor, never a single number: the result has a length again."""
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        return cls(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)})


@dataclass(frozen=True)
class Structure(Factors):
    """Where the head is and what it does, each (N,). Lengths are in half sides, angles in radians."""

    x: Tensor  # of the head's middle, to the right of the picture's
    y: Tensor  # downwards
    scale: Tensor
    tilt: Tensor  # clockwise
    turn: Tensor  # -1 to the left .. 1 to the right
    mouth: Tensor  # 0 closed .. 1 wide open
    lids: Tensor  # 0 eyes shut .. 1 open
    gaze: Tensor  # -1 to the left .. 1 to the right
    occluder: Tensor  # index into OCCLUDERS, what partly hides the face
    occluder_angle: Tensor  # from which side it comes


@dataclass(frozen=True)
class Style(Factors):
    """Who it is. Indices into the tuples above, (N,) long; tones and glasses are (N,) floats."""

    species: Tensor
    coat: Tensor
    pattern: Tensor
    eyes: Tensor
    background: Tensor
    coat_tone: Tensor  # -1, 0 or 1: a little darker or lighter
    background_tone: Tensor
    glasses: Tensor  # 0 or 1


def uniform(seed: int, split: str, index: Tensor, name: str) -> Tensor:
    """(N,) float64 in [0, 1): a mixed 64-bit hash (splitmix64's finaliser) of all four arguments."""
    key = (seed * 0x9E3779B97F4A7C15 + crc32(f"{split}/{name}".encode()) * 0xD1B54A32D192ED03) % 2**64
    z = index.numpy().astype(numpy.uint64) * numpy.uint64(0xBF58476D1CE4E5B9) + numpy.uint64(key)
    for _ in range(2):
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return torch.from_numpy((z >> numpy.uint64(11)).astype(numpy.float64) / 2.0**53)


def sample_structure(
    seed: int, split: str, index: Tensor, rare_poses: float = 0.0, hidden: float = 0.0
) -> Structure:
    """The structures of the pictures ``index``, (N,) long.

    rare_poses, hidden: the shares of extreme poses and of partly hidden faces.
    """

    def between(name: str, low: float, high: float) -> Tensor:
        return low + (high - low) * uniform(seed, split, index, name)

    rare = uniform(seed, split, index, "rare") < rare_poses
    covered = uniform(seed, split, index, "covered") < hidden
    occluder = 1 + (uniform(seed, split, index, "occluder") * (len(OCCLUDERS) - 1)).long()
    values = {
        "x": between("x", -0.26, 0.26),
        "y": between("y", -0.26, 0.26),
        "scale": torch.where(rare, between("scale", 0.45, 1.3), between("scale", 0.7, 1.05)),
        "tilt": torch.where(rare, between("tilt", -3.1, 3.1), between("tilt", -0.5, 0.5)),
        "turn": torch.where(rare, between("turn", -1.6, 1.6), between("turn", -1, 1)),
        "mouth": between("mouth", -0.5, 1).clamp(min=0),
        "lids": between("lids", 0.1, 1.6).clamp(max=1),
        "gaze": between("gaze", -1, 1),
        "occluder_angle": between("occluder_angle", -3.14159, 3.14159),
    }
    return Structure(occluder=torch.where(covered, occluder, 0), **{k: v.float() for k, v in values.items()})


def sample_style(
    seed: int, split: str, index: Tensor, species_weights: Mapping[str, float] | None = None
) -> Style:
    """The styles of the pictures ``index``, species as often as ``species_weights`` says, or all alike."""

    def choice(name: str, count: int) -> Tensor:
        return (uniform(seed, split, index, name) * count).long()

    weights = [1.0 if species_weights is None else species_weights.get(name, 0.0) for name in SPECIES]
    edges = torch.tensor(weights, dtype=torch.float64).cumsum(0) / sum(weights)
    species = torch.searchsorted(edges, uniform(seed, split, index, "species"), right=True)
    return Style(
        species=species.clamp(max=len(SPECIES) - 1),
        coat=choice("coat", len(COATS)),
        pattern=choice("pattern", len(PATTERNS)),
        eyes=choice("eyes", len(EYES)),
        background=choice("background", len(BACKGROUNDS)),
        coat_tone=choice("coat_tone", 3).float() - 1,
        background_tone=choice("background_tone", 3).float() - 1,
        glasses=(uniform(seed, split, index, "glasses") < 0.2).float(),
    )


def attributes(style: Style) -> dict[str, Tensor]:
    """A dozen binary attributes, (N,) bool each, that no pose changes."""

    def is_any(values: Tensor, names: Sequence[str], chosen: Sequence[str]) -> Tensor:
        return torch.isin(values, torch.tensor([names.index(name) for name in chosen]))

    return {
        "upright ears": is_any(style.species, SPECIES, ("cat", "fox", "rabbit")),
        "pointed ears": is_any(style.species, SPECIES, ("cat", "fox", "pig")),
        "whiskers": is_any(style.species, SPECIES, ("cat", "mouse")),
        "dark nose": is_any(style.species, SPECIES, ("dog", "fox")),
        "slit pupils": is_any(style.species, SPECIES, ("cat", "fox")),
        "warm coat": is_any(style.coat, COATS, ("ginger", "golden", "brown")),
        "pale coat": is_any(style.coat, COATS, ("cream", "golden")),
        "dark coat": is_any(style.coat, COATS, ("charcoal", "brown")),
        "patterned": style.pattern != PATTERNS.index("plain"),
        "striped": style.pattern == PATTERNS.index("stripes"),
        "spotted": style.pattern == PATTERNS.index("spots"),
        "blue eyes": style.eyes == EYES.index("blue"),
        "dark eyes": style.eyes == EYES.index("brown"),
        "glasses": style.glasses > 0,
        "warm background": style.background == BACKGROUNDS.index("peach"),
    }
