"""Settings of StarGAN v2 that belong together: one function per recipe, and what it promises."""

from collections.abc import Callable, Mapping
from typing import Any


def paper_afhq() -> dict[str, Any]:
    """AFHQ as published, at the 128 px of CLUIT's Table 1 (there mFID 14.6, accuracy 97.0%).

    Published are 256 px and 8 sources with 8 references: `--image-size 256` is that. 16 pictures here are
    those 8 and 8; a reference's neighbour is the second of its domain, so no third set is drawn.
    """
    return {
        "image_size": 128,
        "width": 64,
        "batch_size": 16,
        "steps": 100_000,
        "latent_dim": 16,
        "style_dim": 64,
        "style_weight": 1.0,
        "cycle_weight": 1.0,
        "diversity_weight": 2.0,
        "diversity_steps": 100_000,
        "r1_gamma": 1.0,
        "crop_share": 0.5,
        "learning_rate": 1e-4,
        "mapping_learning_rate": 1e-6,
        "beta1": 0.0,
        "beta2": 0.99,
        "weight_decay": 1e-4,
        "average_decay": 0.999,
    }


def paper_celeba() -> dict[str, Any]:
    """CelebA-HQ as published, but at 128 px and without the mask of landmarks: a diversity weight of 1."""
    return {**paper_afhq(), "diversity_weight": 1.0}


def paper() -> dict[str, Any]:
    """The published setting, which is that of AFHQ."""
    return paper_afhq()


def small() -> dict[str, Any]:
    """Drawn portraits, or pictures as simple, at 32 px on a CPU: about 2,500 steps.

    After 465 of them outputs had their reference's colours and species (83%) and their source's place, but
    hardly its scale, tilt and turn yet (docs/comparison.md). Departures from the published setting, and why;
    values are inferred where no run is named:

    - 32 px, width 16: those of the other methods' small recipes, for steps of about a second on two cores.
    - 32 pictures a step: with the published 16, of 6 species each comes less than twice among the references.
    - Learning rate 5e-4 and β₁ 0.5, and 5e-6 for the mapping network, which keeps the published hundredth:
      2,500 steps must do for 100,000, and at 1e-4 and 0 CLUIT's networks of this size learned too slowly.
    - The diversity weight falls over 2,500 steps, the whole of the run, as it does over the published one.
    - It starts at 1, the lower of the two published: at 2,500 steps fewer of them are spent at low weights.
    - The cycle weighs 10: a mean over pixels has a faint gradient beside the critic's at 32 px (CLUIT's small
      recipe has figures).
    - γ 2, that of CLUIT's small recipe, whose runs told for it: with 0.1 the critic was far ahead after 40
      steps (0.74 nats, the generator's half 4.3).
    - No crops: at 32 px they are blurred pictures, and faces of another size. Mirrors remain.
    - The average's decay is 0.995: 0.999 would look back over nearly half of the run.

    Entry check of a comparison (`apps/compare_entry.py`): finite to the end, nearer to the reference's
    colours than source and average are, outputs that differ by source and by reference.
    """
    return {
        **paper(),
        "image_size": 32,
        "width": 16,
        "batch_size": 32,
        "steps": 2_500,
        "learning_rate": 5e-4,
        "mapping_learning_rate": 5e-6,
        "beta1": 0.5,
        "diversity_weight": 1.0,
        "diversity_steps": 2_500,
        "cycle_weight": 10.0,
        "r1_gamma": 2.0,
        "crop_share": 0.0,
        "average_decay": 0.995,
    }


RECIPES: Mapping[str, Callable[[], dict[str, Any]]] = {
    "paper": paper,
    "paper-afhq": paper_afhq,
    "paper-celeba": paper_celeba,
    "small": small,
}
