"""Settings of CLUIT that belong together: one function per recipe, and what it promises."""

from collections.abc import Callable, Mapping
from typing import Any


def paper_afhq() -> dict[str, Any]:
    """AFHQ as in the paper's Table 1 (mFID 17.8, accuracy 96.1%): 128 px, 100,000 steps of 32 pictures.

    Every weight is 1, as λ is not stated there; γ = 10 is inferred from the code that the paper builds on.
    """
    return {
        "image_size": 128,
        "width": 64,
        "batch_size": 32,
        "steps": 100_000,
        "learning_rate": 1e-4,
        "beta1": 0.0,
        "beta2": 0.99,
        "average_decay": 0.999,
        "r1_gamma": 10.0,
        "contrast_weight": 1.0,
        "style_weight": 1.0,
        "cycle_weight": 1.0,
    }


def paper_celeba() -> dict[str, Any]:
    """CelebA-HQ as in the paper's Table 1: the setting of AFHQ with γ = 1, inferred likewise."""
    return {**paper_afhq(), "r1_gamma": 1.0}


def paper() -> dict[str, Any]:
    """The paper's setting, which is that of AFHQ."""
    return paper_afhq()


def small() -> dict[str, Any]:
    """Drawn portraits, or pictures as simple, at 32 px on a CPU: every pose follows within 500 steps.

    Departures from the paper, and why. Figures are of portraits; docs/portraits.md has their runs.

    - 32 px, width 16, a 64-d style: a step takes a fraction of a second on two cores.
    - The critic is twice as wide as the rest: at equal time its faces were visibly cleaner.
    - Learning rate 7e-4 and β₁ 0.5: at the paper's 1e-4 and 0 a network this small is still a poor
      autoencoder after thousands of steps, and then ignores its source.
    - The cycle weighs 35 where the style match weighs 3. A mean over pixels pulls weakly: at 32 px, per
      unit of weight, the gradient that reaches the fake has norm 1.6 from the adversarial loss (with γ 0.05),
      0.8 from the style match, and 0.013 from the cycle. With a cycle of 5 pictures were grain; with 25
      turn fell to 0.64 as species rose to 65%.
    - The cycle begins at 100, and a self-reconstruction at 100, which give way over 1,000 steps: the
      generator learns to keep its source before it learns to repaint it.
    - γ 2: with 0.05 the generator found patterns that the critic took for the reference's style more readily
      than the true translation (style match 2.2 against 2.5 nats), and left species alone.
    - Crops of at least 0.6 of a side: an eighth of 32 px is 4 pixels.
    - 2 patches, not 4: so large, two see nearly all, and a step is a fifth cheaper.
    - The style encoder sees views, of source and reference alike, half to one and a half times as wide,
      flipped and turned. Without, a code told the reference's scale (correlation 0.9), and outputs took it.
    - Noise of 0.1 on the way back of the cycle, so that faint dots cannot carry the source's pose. (What it
      does by itself was not measured.)

    Entry check of a comparison (`apps/compare_entry.py`): finite to the end, nearer to the reference's
    colours than source and average are, outputs that differ by source and by reference.
    """
    return {
        "image_size": 32,
        "width": 16,
        "critic_width": 32,
        "style_dim": 64,
        "batch_size": 32,
        "steps": 100_000,
        "crop_min": 0.6,
        "patches": 2,
        "learning_rate": 7e-4,
        "beta1": 0.5,
        "r1_gamma": 2.0,
        "style_weight": 3.0,
        "cycle_weight": 35.0,
        "cycle_weight_start": 100.0,
        "cycle_noise": 0.1,
        "reconstruction_weight_start": 100.0,
        "settle_steps": 1000,
        "view_reference": True,
        "average_decay": 0.999,
    }


def small_64() -> dict[str, Any]:
    """Photographs of faces, or pictures as varied, at 64 px on a CPU, in hours; docs/faces64.md has a run.

    As `small`, with these differences: 64 px; width 24, as photographs hold more than drawings; 16 pictures
    a step, which makes twice as many steps an hour; the paper's 128-d style; crops from half a side, as half
    of 64 px still shows a feature; a cycle of 25; learning rate 4e-4 and γ 0.3, as with 1e-3 and 0.05 the
    losses exploded between steps 200 and 300.
    """
    return {
        **small(),
        "image_size": 64,
        "width": 24,
        "batch_size": 16,
        "style_dim": 128,
        "crop_min": 0.5,
        "learning_rate": 4e-4,
        "cycle_weight": 25.0,
        "r1_gamma": 0.3,
        "settle_steps": 2000,
    }


def ablation() -> dict[str, Any]:
    """The paper's method on drawn portraits in minutes a run: the base of `cluit ablate`.

    Augmentations, 4 patches and what the style encoder sees are the paper's, as these are what is compared.
    Departures, so that a few hundred steps on a CPU tell rows apart; `small` says more of each:

    - 32 px, width 16, a 64-d style, a critic of width 32, batches of 16: a run takes minutes on two cores.
    - Learning rate 1e-3, β₁ 0.5 and an average of decay 0.995: 400 steps must do for 100,000.
    - A style match of 3, a cycle of 8 and γ 0.5: at 32 px the gradient of a mean over pixels is small beside
      that of the critic.

    From nothing, 400 steps teach too little: one run much like the base kept the source's species (7% read
    as the reference's after 800 steps). docs/ablations.md starts all rows from one run that begins to change
    it (`init_from`).
    """
    return {
        "image_size": 32,
        "width": 16,
        "critic_width": 32,
        "style_dim": 64,
        "batch_size": 16,
        "steps": 400,
        "learning_rate": 1e-3,
        "beta1": 0.5,
        "average_decay": 0.995,
        "style_weight": 3.0,
        "cycle_weight": 8.0,
        "r1_gamma": 0.5,
        "log_every": 50,
        "score_every": 200,
        "save_every": 200,
        "grid_every": 200,
    }


RECIPES: Mapping[str, Callable[[], dict[str, Any]]] = {
    "paper": paper,
    "paper-afhq": paper_afhq,
    "paper-celeba": paper_celeba,
    "small": small,
    "small-64": small_64,
    "ablation": ablation,
}
