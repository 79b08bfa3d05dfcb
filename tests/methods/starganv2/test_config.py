import dataclasses
import inspect

import pytest

from cluit.apps.settings import TrainSettings
from cluit.methods.starganv2.config import StarGANv2Config
from cluit.methods.starganv2.recipes import RECIPES

NONSENSE = {
    "image_size": 100,
    "width": 0,
    "domains": ("cat", "cat"),
    "latent_dim": 0,
    "style_dim": 0,
    "style_weight": -1.0,
    "cycle_weight": float("nan"),
    "diversity_weight": -1.0,
    "diversity_steps": 0,
    "r1_gamma": 0.0,
    "crop_share": 1.5,
    "learning_rate": 0.0,
    "mapping_learning_rate": 0.0,
    "beta1": 1.0,
    "beta2": -0.1,
    "weight_decay": -1.0,
    "average_decay": 1.0,
}


@pytest.mark.parametrize(
    ("name", "value"), [*NONSENSE.items(), ("domains", ("cat",)), ("domains", ("cat", ""))]
)
def test_nonsense_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(StarGANv2Config(), **{name: value})  # type: ignore[arg-type]


def test_every_setting_is_among_the_tried() -> None:
    assert {field.name for field in dataclasses.fields(StarGANv2Config)} == NONSENSE.keys()


def test_the_defaults_are_the_papers() -> None:
    config = StarGANv2Config()
    assert (config.latent_dim, config.style_dim) == (16, 64)
    assert (config.style_weight, config.cycle_weight, config.r1_gamma) == (1, 1, 1)
    assert (config.diversity_weight, config.diversity_steps) == (2, 100_000)
    assert (config.learning_rate, config.mapping_learning_rate) == (1e-4, 1e-6)
    assert (config.beta1, config.beta2, config.weight_decay) == (0, 0.99, 1e-4)
    assert config.average_decay == pytest.approx(0.999)


def test_every_class_is_told_and_comes_equally_often() -> None:
    assert StarGANv2Config().labelled_share == 1
    assert StarGANv2Config().balanced


def test_domains_are_the_classes_of_the_data_in_their_order() -> None:
    assert StarGANv2Config().with_classes(["wild", "cat"]).domains == ("wild", "cat")


def test_named_domains_stay_and_may_be_more_than_the_data_have() -> None:
    config = StarGANv2Config(domains=("cat", "dog", "wild"))
    assert config.with_classes(["wild", "cat"]) is config


@pytest.mark.parametrize("classes", [["cat"], [], ["cat", "fox"]])
def test_too_few_and_strange_classes_are_refused(classes: list[str]) -> None:
    with pytest.raises(ValueError, match="class"):
        StarGANv2Config(domains=("cat", "dog")).with_classes(classes)


def test_nothing_is_built_without_domains() -> None:
    config = StarGANv2Config(image_size=32, width=4)
    for build in (config.build, config.build_translator):
        with pytest.raises(ValueError, match="no domains"):
            build()


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_name_settings_that_there_are_and_say_what_they_are(name: str) -> None:
    settings = RECIPES[name]()
    ours = {field.name for field in dataclasses.fields(StarGANv2Config)}
    training = {field.name for field in dataclasses.fields(TrainSettings)}
    assert settings.keys() <= ours | training
    StarGANv2Config(**{key: value for key, value in settings.items() if key in ours})
    assert settings["batch_size"] % 4 == 0  # halves of pairs
    assert settings["diversity_steps"] == settings["steps"]  # as published: it falls over the whole run
    assert inspect.getdoc(RECIPES[name])


def test_the_papers_recipes_are_the_defaults_but_for_what_differs_between_data_sets() -> None:
    defaults = dataclasses.asdict(StarGANv2Config())
    assert {
        key for key, value in RECIPES["paper-afhq"]().items() if defaults.get(key, value) != value
    } == set()
    assert RECIPES["paper-celeba"]() == {**RECIPES["paper-afhq"](), "diversity_weight": 1.0}
