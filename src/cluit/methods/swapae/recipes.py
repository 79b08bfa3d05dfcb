"""Settings of the Swapping Autoencoder that belong together: a function per recipe, and what it promises."""

from collections.abc import Callable, Mapping
from typing import Any


def paper() -> dict[str, Any]:
    """The published setting for AFHQ at the 128 px of CLUIT's Table 1: 25 million pictures, 32 a step.

    Both players' turns count, so each sees half of them.
    """
    return {
        "image_size": 128,
        "width": 64,
        "structure_side": 8,
        "batch_size": 32,
        "steps": 25_000_000 // 32,
        "crops": 8,
        "crop_min": 0.125,
        "crop_max": 0.25,
        "reconstruction_weight": 1.0,
        "r1_gamma": 10.0,
        "patch_r1_gamma": 1.0,
        "learning_rate": 2e-3,
        "beta1": 0.0,
        "beta2": 0.99,
    }


def paper_256() -> dict[str, Any]:
    """The published setting at its own 256 px, where a structure code has 16×16 places."""
    return {**paper(), "image_size": 256, "structure_side": 16}


def small() -> dict[str, Any]:
    """Drawn portraits, or pictures as simple, at 32 px on a CPU, in half an hour on two cores.

    Departures from the paper, and why; values are inferred where no run is named:

    - 32 px, width 16, 4,000 steps: 128,000 pictures in place of 25 million.
    - 2 numbers, not 8, in each place of a structure code, as all else is a quarter as wide. With 8 the code
      of a picture this small kept its colours: after 500 steps backgrounds were 33.5 levels off the true
      translation's (reconstruction 10) or 30.8 (reconstruction 2), with 2 they were 20.5. The source's own
      are 36.2 off.
    - Patches of a quarter to half of a side: of an eighth, four pixels would be left. They are four times as
      large, so 4 of a picture, not 8, show as much of it, and the patch critic costs half.
    - γ 0.16 and 0.06, an eighth of 256 px and a quarter of 128 px squared, of 10 and 1: a critic that answers
      to the same features of a picture has gradients as much larger where there are fewer pixels.
    - A reconstruction of 5: a mean over pixels pulls weakly beside two critics, and has to make up in so few
      steps what it has millions of pictures for in the paper.

    Entry check of a comparison (`apps/compare_entry.py`): finite to the end, nearer to the reference's
    colours than source and average are, outputs that differ by source and by reference.
    """
    return {
        **paper(),
        "image_size": 32,
        "width": 16,
        "structure_channels": 2,
        "steps": 4000,
        "crops": 4,
        "crop_min": 0.25,
        "crop_max": 0.5,
        "reconstruction_weight": 5.0,
        "r1_gamma": 0.16,
        "patch_r1_gamma": 0.06,
    }


RECIPES: Mapping[str, Callable[[], dict[str, Any]]] = {
    "paper": paper,
    "paper-256": paper_256,
    "small": small,
}
