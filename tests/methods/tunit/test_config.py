import dataclasses

import pytest

from cluit.methods.tunit.config import TunitConfig
from cluit.methods.tunit.recipes import RECIPES

NONSENSE = {
    "image_size": 100,
    "width": 0,
    "clusters": 1,
    "labelled": 1.1,
    "style_dim": 0,
    "warmup_steps": -1,
    "information_from": -1,
    "joint_weight": -0.1,
    "temperature": 0.0,
    "queue_size": 0,
    "information_weight": -1.0,
    "label_weight": -1.0,
    "style_weight": float("nan"),
    "reconstruction_weight": -1.0,
    "r1_gamma": -1.0,
    "learning_rate": 0.0,
    "weight_decay": -1.0,
    "guide_learning_rate": 0.0,
    "guide_weight_decay": -1.0,
    "average_decay": 1.0,
}
TRAINING = {"method", "batch_size", "steps"}


@pytest.mark.parametrize(("name", "value"), NONSENSE.items())
def test_nonsense_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(TunitConfig(), **{name: value})  # type: ignore[arg-type]


def test_every_setting_is_among_the_tried() -> None:
    assert {field.name for field in dataclasses.fields(TunitConfig)} == NONSENSE.keys()


def test_the_defaults_are_the_papers() -> None:
    c = TunitConfig()
    assert (c.clusters, c.style_dim, c.queue_size, c.temperature) == (10, 128, 1024, 0.07)
    assert (c.information_weight, c.joint_weight, c.warmup_steps) == (5.0, 0.1, 65_000)
    assert (c.reconstruction_weight, c.style_weight, c.r1_gamma) == (0.1, 0.01, 20.0)
    assert (c.learning_rate, c.weight_decay) == (1e-4, 1e-4)
    assert (c.guide_learning_rate, c.guide_weight_decay) == (1e-4, 1e-3)
    assert c.average_decay == 0.999


def test_fewer_clusters_than_classes_are_refused_where_labels_are_told() -> None:
    four = ["cat", "dog", "fox", "wolf"]
    with pytest.raises(ValueError, match=r"clusters .* 4, got 3"):
        TunitConfig(clusters=3, labelled=0.5).with_classes(four)
    for config in (TunitConfig(clusters=4, labelled=1.0), TunitConfig(clusters=3)):
        assert config.with_classes(four) == config


def test_labels_are_asked_for_only_where_some_are_told() -> None:
    assert [TunitConfig(labelled=share).labelled_share for share in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]


def test_the_generator_joins_after_the_warm_up_and_at_once_where_every_label_is_told() -> None:
    assert [TunitConfig(labelled=share).joint_from for share in (0.0, 0.99, 1.0)] == [65_000, 65_000, 0]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_consists_of_settings_that_there_are(name: str) -> None:
    recipe = RECIPES[name]()
    settings = {key: value for key, value in recipe.items() if key not in TRAINING}
    assert TunitConfig(**settings).joint_from < recipe["steps"]


def test_the_papers_recipes_have_its_schedules() -> None:
    schedules = {
        name: (recipe.get("labelled", 0) > 0, recipe.get("information_from", 0), recipe["warmup_steps"])
        for name in ("paper", "paper-semi", "paper-supervised")
        if (recipe := RECIPES[name]())
    }
    assert schedules == {
        "paper": (False, 0, 65_000),
        "paper-semi": (True, 20_000, 35_000),
        "paper-supervised": (True, 0, 0),
    }
