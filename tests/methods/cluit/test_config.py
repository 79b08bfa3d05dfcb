import dataclasses

import pytest

from cluit.methods.cluit.config import CluitConfig

NONSENSE = {
    "image_size": 100,
    "width": 0,
    "critic_width": 0,
    "style_dim": 0,
    "contrast_dim": 0,
    "temperature": 0.0,
    "queue_size": 0,
    "patches": -1,
    "crop_min": 0.0,
    "crop_max": 1.5,
    "crop_by": "length",
    "augmentation": "affine",
    "contrast_weight": -1.0,
    "style_weight": float("nan"),
    "cycle_weight": -1.0,
    "cycle_weight_start": -1.0,
    "cycle_noise": -1.0,
    "critic_noise": -1.0,
    "equivariance_weight": -1.0,
    "reconstruction_weight_start": -1.0,
    "settle_steps": 0,
    "r1_gamma": -1.0,
    "r1_interval": 0,
    "learning_rate": 0.0,
    "beta1": 1.0,
    "beta2": -0.1,
    "average_decay": 1.0,
}


@pytest.mark.parametrize(("name", "value"), NONSENSE.items())
def test_nonsense_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(CluitConfig(), **{name: value})  # type: ignore[arg-type]


def test_every_setting_with_a_range_is_among_the_tried() -> None:
    assert {field.name for field in dataclasses.fields(CluitConfig)} - NONSENSE.keys() == {"view_reference"}


def test_the_defaults_are_the_papers() -> None:
    config = CluitConfig()
    assert (config.temperature, config.queue_size, config.patches) == (0.07, 2048, 4)
    assert (config.crop_min, config.crop_max, config.augmentation) == (0.125, 1.0, "color+affine")
    assert (config.style_dim, config.contrast_dim) == (128, 256)
    assert config.reconstruction_weight_start == 0
    assert config.cycle_weight_start is None
    assert not config.view_reference
