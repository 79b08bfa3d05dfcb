import dataclasses
from contextlib import nullcontext

import pytest

from cluit.methods.swapae.config import SwapAEConfig
from cluit.methods.swapae.recipes import RECIPES

NONSENSE = {
    "image_size": 100,
    "width": 0,
    "structure_side": 4,
    "structure_channels": 0,
    "crops": 0,
    "crop_min": 0.0,
    "crop_max": 1.5,
    "reconstruction_weight": -1.0,
    "realism_weight": float("nan"),
    "patch_weight": -1.0,
    "r1_gamma": -1.0,
    "patch_r1_gamma": -1.0,
    "r1_interval": 0,
    "learning_rate": 0.0,
    "beta1": 1.0,
    "beta2": -0.1,
}


@pytest.mark.parametrize(("name", "value"), NONSENSE.items())
def test_nonsense_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(SwapAEConfig(), **{name: value})  # type: ignore[arg-type]


def test_every_setting_with_a_range_is_among_the_tried() -> None:
    assert {field.name for field in dataclasses.fields(SwapAEConfig)} - NONSENSE.keys() == {"flip"}


@pytest.mark.parametrize(("size", "sides"), [(32, {8, 16}), (64, {8, 16, 32}), (128, {8, 16, 32, 64})])
def test_a_structure_code_is_at_least_8_and_at_most_half_the_picture(size: int, sides: set[int]) -> None:
    for side in range(1, 2 * size):
        with nullcontext() if side in sides else pytest.raises(ValueError, match="structure_side"):
            SwapAEConfig(image_size=size, structure_side=side)


def test_the_paper_recipe_is_the_defaults() -> None:
    recipe = RECIPES["paper"]()
    assert recipe.pop("batch_size") == 32
    assert recipe.pop("steps") == 781_250
    assert SwapAEConfig(**recipe) == SwapAEConfig()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_configuration(name: str) -> None:
    recipe = RECIPES[name]()
    training = {"batch_size", "steps"}
    SwapAEConfig(**{key: value for key, value in recipe.items() if key not in training})
