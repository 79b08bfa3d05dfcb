"""Settings of TUNIT that belong together: one function per recipe, and what it promises."""

from collections.abc import Callable, Mapping
from typing import Any


def paper() -> dict[str, Any]:
    """The paper's unsupervised setting: 128 px, K = 10, 200,000 steps of 32 pictures, the first 65,000 alone.

    CLUIT's Table 1 gives it with K = 3, 10 and 30 (AFHQ: mFID 82.1, 39.5 and 48.9): add `--clusters`.
    """
    return {
        "method": "tunit",
        "image_size": 128,
        "width": 64,
        "batch_size": 32,
        "steps": 200_000,
        "clusters": 10,
        "warmup_steps": 65_000,
        "queue_size": 1024,
        "learning_rate": 1e-4,
        "guide_learning_rate": 1e-4,
        "average_decay": 0.999,
        "r1_gamma": 20.0,
    }


def paper_semi() -> dict[str, Any]:
    """The paper's semi-supervised schedule: unlabelled pictures from 20,000 on, the generator from 35,000.

    The share of labels is a choice, here one in ten: set `--labelled`.
    """
    return {**paper(), "labelled": 0.1, "information_from": 20_000, "warmup_steps": 35_000}


def paper_supervised() -> dict[str, Any]:
    """The paper's supervised setting: every label told, the generator from the first step.

    Set `--clusters` to the number of classes.
    """
    return {**paper(), "labelled": 1.0, "warmup_steps": 0}


def small() -> dict[str, Any]:
    """Drawn portraits, or pictures as simple, at 32 px on a CPU, in about 2,500 steps.

    Departures from the paper, and why. All values are inferred, none is tuned:

    - 32 px, width 16: a step takes a fraction of a second on two cores.
    - 500 steps of the guide alone and 2,000 jointly, where the paper has 65,000 and 135,000.
    - Learning rates of 1e-3 for the guide and 5e-4 for the rest, ten and five times the paper's: there are
      a hundredth of its steps, and networks a quarter as wide bear larger ones.
    - γ 2, a tenth of the paper's: per unit of contrast the gradient of a picture of 32 px is four times as
      long as at 128 px, and R1 its square.
    - A self-reconstruction of 5, not 0.1: a mean over pixels pulls weakly, and the generator has only 2,000
      steps in which to learn to keep its source.
    - An average of decay 0.99: with 0.999 it would be of half the run.
    - 512 keys, which 16 batches fill.
    """
    return {
        "method": "tunit",
        "image_size": 32,
        "width": 16,
        "batch_size": 32,
        "steps": 2_500,
        "clusters": 10,
        "warmup_steps": 500,
        "queue_size": 512,
        "learning_rate": 5e-4,
        "guide_learning_rate": 1e-3,
        "average_decay": 0.99,
        "r1_gamma": 2.0,
        "reconstruction_weight": 5.0,
    }


RECIPES: Mapping[str, Callable[[], dict[str, Any]]] = {
    "paper": paper,
    "paper-semi": paper_semi,
    "paper-supervised": paper_supervised,
    "small": small,
}
