"""Settings: one flat set of names, three layers, and refusals that say what to do."""

from pathlib import Path
from typing import Any

import pytest

from cluit.apps.settings import (
    CHANGEABLE,
    TrainSettings,
    as_yaml,
    checked,
    documented,
    layered,
    read_settings,
    resumed,
)
from cluit.core.errors import UserError
from cluit.methods import CONFIGS, RECIPES


def test_what_is_named_wins_over_the_recipe_and_the_recipe_over_the_defaults() -> None:
    settings = layered({"recipe": "small", "width": 24}, recipe="paper")
    assert settings.config.width == 24
    assert settings.config.style_dim == RECIPES["cluit"]["small"]()["style_dim"] != 128
    assert settings.config.contrast_dim == 256
    assert settings.run.recipe == "small"
    assert layered({}, recipe="small").config.width == 16


def test_the_paper_recipe_is_the_papers_setting_and_so_are_the_defaults() -> None:
    paper = layered({"recipe": "paper"})
    assert paper.config == CONFIGS["cluit"]()
    assert (paper.run.batch_size, paper.run.steps) == (32, 100_000)
    assert (paper.config.image_size, paper.config.width, paper.config.r1_gamma) == (128, 64, 10)
    assert layered({"recipe": "paper-afhq"}).config == paper.config
    assert layered({"recipe": "paper-celeba"}).config.r1_gamma == 1


@pytest.mark.parametrize(
    ("method", "name"), [(method, name) for method in CONFIGS for name in RECIPES[method]]
)
def test_every_recipe_is_valid_and_promises_something(method: str, name: str) -> None:
    settings = layered({"method": method, "recipe": name})
    assert (settings.run.method, settings.run.recipe) == (method, name)
    assert isinstance(settings.config, CONFIGS[method])
    assert RECIPES[method][name].__doc__


@pytest.mark.parametrize("method", CONFIGS)
def test_every_method_has_what_a_machine_may_choose(method: str) -> None:
    assert {"paper", "small"} <= RECIPES[method].keys()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"style_wieght": 3}, "did you mean style_weight?"),
        ({"batchsize": 8}, "did you mean batch_size?"),
        ({"batch_size": 7}, "batch_size must be even"),
        ({"batch_size": 0}, "batch_size must be even"),
        ({"batch_size": "many"}, "batch_size must be a whole number, got 'many'"),
        ({"batch_size": 8.5}, "batch_size must be a whole number"),
        ({"batch_size": True}, "batch_size must be a whole number"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"save_every": 0}, "save_every must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"count": 1}, "count must be at least 2"),
        ({"minutes": 0}, "minutes must be positive"),
        ({"minutes": float("nan")}, "minutes must be a number or none"),
        ({"precision": "float16"}, "precision must be auto, float32 or bfloat16"),
        ({"device": "tpu"}, "device must be auto, cpu, cuda or mps"),
        ({"fit": "stretch"}, "fit must be crop or resize"),
        ({"method": "cliut"}, "unknown method 'cliut'"),
        ({"recipe": "smal"}, "unknown recipe 'smal' of the method cluit; choose paper"),
        ({"image_size": 48}, "image_size must be one of 32"),
        ({"width": 0}, "width must be at least 1"),
        ({"learning_rate": 0}, "learning_rate must be positive"),
        ({"learning_rate": float("inf")}, "learning_rate must be a number"),
        ({"view_reference": 1}, "view_reference must be true or false"),
        ({"recipe": ["small"]}, "unknown recipe ['small']"),
        ({"recipe": {}}, "unknown recipe {}"),
        ({"recipe": False}, "unknown recipe False"),
        ({"method": ["cluit"]}, "unknown method ['cluit']"),
        ({"method": {"a": 1}}, "unknown method {'a': 1}"),
        ({"device": ["cpu"]}, "device must be auto"),
        ({"minutes": float("inf")}, "minutes must be"),
        ({"steps": 10**400}, "steps must be a whole number"),
        ({"held_out": 3}, "held_out must be text or none"),
        ({"crop_min": 0.9, "crop_max": 0.5}, "crop_min <= crop_max"),
        ({"clusters": 3}, "unknown setting 'clusters' of the method cluit; it is one of tunit"),
        ({"method": "tunit", "recipe": "ablation"}, "unknown recipe 'ablation' of the method tunit; choose"),
        ({"method": "starganv2", "domains": "cat"}, "domains must be a list of texts, got 'cat'"),
        ({"method": "starganv2", "domains": ["cat", 1]}, "domains must be a list of texts"),
        ({"method": "starganv2", "domains": None}, "domains must be a list of texts"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        layered(values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_may_write_numbers_as_people_do(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("learning-rate: 1e-3\nstyle_weight: 3\nsteps: 1e5\ncritic_width: null\n")
    settings = layered(read_settings(tmp_path / "a.yaml"))
    assert settings.config.learning_rate == 0.001
    assert isinstance(settings.config.style_weight, float)
    assert settings.run.steps == 100_000
    assert settings.config.critic_width is None


@pytest.mark.parametrize(
    "text",
    [
        "- a\n- b\n", "just words", "a: [", "3: 4\n", "\x00", "held_out: 2024-13-45", "steps: " + "9" * 5000,
        "a: !!int foo", "a: !!bool foo", "a: !!timestamp foo", "[" * 3000, "steps: 1\nsteps: 2",
        "style-weight: 1\nstyle_weight: 2", "[1]: 2", "{}: 2", "!!set {a}",
    ],
)  # fmt: skip
def test_a_file_that_is_no_list_of_settings_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=r"a\.yaml") as caught:
        read_settings(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [9007199254740993, "9007199254740993", 10**30])
def test_a_large_whole_number_is_kept_to_the_last_digit(seed: int | str) -> None:
    assert layered({"seed": seed}).run.seed == int(seed)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_settings(tmp_path / "none.yaml")


def test_settings_that_are_written_are_read_back(tmp_path: Path) -> None:
    settings = layered({"recipe": "small", "data": "/päth/with: colon", "learning_rate": 1e-05})
    (tmp_path / "a.yaml").write_text(as_yaml(settings))
    assert layered(read_settings(tmp_path / "a.yaml")) == settings
    assert layered({**read_settings(tmp_path / "a.yaml"), "seed": 3}).run.seed == 3


@pytest.mark.parametrize("domains", [(), ("cat", "dog"), ("yes", "1", "ä: b")])
def test_a_list_of_names_comes_back_from_a_file(tmp_path: Path, domains: tuple[str, ...]) -> None:
    settings = layered({"method": "starganv2", "domains": list(domains)})
    assert settings.config.domains == domains
    (tmp_path / "a.yaml").write_text(as_yaml(settings), encoding="utf-8")
    assert layered(read_settings(tmp_path / "a.yaml")) == settings
    assert resumed(read_settings(tmp_path / "a.yaml"), {"domains": domains}) == settings
    with pytest.raises(UserError, match="cannot go on with domains"):
        resumed(read_settings(tmp_path / "a.yaml"), {"domains": ["a", "b"]})


def test_a_file_may_list_names_as_people_do(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("method: starganv2\ndomains: [cat, dog]\n")
    assert layered(read_settings(tmp_path / "a.yaml")).config.domains == ("cat", "dog")


def test_a_resumed_run_keeps_its_settings_but_those_that_may_change() -> None:
    stored = layered({"recipe": "small", "minutes": 3, "precision": "bfloat16"}).flat()
    again = resumed(stored, {"steps": 5, "style_weight": 3.0, "precision": "auto"})
    assert (again.run.steps, again.run.minutes, again.run.precision) == (5, None, "bfloat16")
    assert again.config == checked(stored).config
    with pytest.raises(UserError, match=r"style_weight 3\.0 and cannot go on with style_weight 4\.0"):
        resumed(stored, {"style_weight": 4})
    with pytest.raises(UserError, match="recipe small and cannot go on with recipe paper"):
        resumed(stored, {"recipe": "paper"})
    with pytest.raises(UserError, match="method cluit and cannot go on with method tunit"):
        resumed(stored, {"method": "tunit"})


def test_held_out_pictures_may_have_moved_but_not_come_or_gone() -> None:
    stored = layered({"recipe": "small", "held_out": "/before"}).flat()
    assert resumed(stored, {"held_out": "/now"}).run.held_out == "/now"
    with pytest.raises(UserError, match="held_out /before and cannot go on with held_out None"):
        resumed(stored, {"held_out": None})
    with pytest.raises(UserError, match="held_out None and cannot go on with held_out /now"):
        resumed({**stored, "held_out": None}, {"held_out": "/now"})


def test_a_run_of_an_older_release_may_lack_settings() -> None:
    stored = layered({"recipe": "small"}).flat()
    del stored["tensorboard"]
    assert resumed(stored, {}).run.tensorboard is False


def test_no_name_is_used_twice_and_every_setting_is_explained() -> None:
    for method, config in CONFIGS.items():
        run, own = documented(TrainSettings), documented(config)
        assert run.keys().isdisjoint(own)
        assert run.keys() | own.keys() == layered({"method": method}).flat().keys()
        assert set(CHANGEABLE) <= run.keys()
