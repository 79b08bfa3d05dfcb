"""A saved oracle is the oracle, and nothing else passes for one."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from malformed import Harm, Trap, change_card, change_config, change_weights, truncate, without, write

from cluit.core.errors import UserError
from cluit.evaluation.oracle import Oracle, load_oracle, save_oracle

CARD = {"test": {"accuracy": 0.75}, "grey": {"accuracy": 0.5}}


def made(classes: tuple[str, ...] = ("cat", "dog", "fox"), **config: Any) -> Oracle:
    """An oracle whose weights are random everywhere, the last layer's too."""
    oracle = Oracle(classes, **{"depth": 18, "width": 2, "image_size": 16, **config})
    with torch.no_grad():
        for weight in oracle.parameters():
            weight.normal_(std=0.3)
    oracle(torch.rand(4, 3, 16, 16))  # moves the running means
    return oracle.eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_oracle(tmp_path / "oracle", made(), CARD)
    return tmp_path / "oracle"


@pytest.mark.parametrize("config", [{}, {"multi": True}, {"depth": 50, "width": 3, "image_size": 64}])
def test_a_loaded_oracle_draws_the_same_logits(tmp_path: Path, config: dict[str, Any]) -> None:
    oracle, images = made(**config), torch.rand(5, 3, 40, 40) * 2 - 1
    save_oracle(tmp_path, oracle, CARD)
    again = load_oracle(tmp_path)
    assert torch.equal(again.logits(images), oracle.logits(images))
    assert torch.equal(again.features(images), oracle.features(images))
    assert again.config == oracle.config
    assert again.card["test"] == CARD["test"]
    assert not again.training
    assert not any(weight.requires_grad for weight in again.parameters())


def test_the_folder_holds_two_files(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["oracle.json", "oracle.safetensors"]


def test_loading_draws_no_random_number(folder: Path) -> None:
    before = torch.get_rng_state()
    load_oracle(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_class_is_the_greatest_logit_and_an_attribute_a_positive_one() -> None:
    images = torch.rand(6, 3, 16, 16) * 2 - 1
    single, multi = made(), made(multi=True)
    assert torch.equal(single.predict(images), single.logits(images).argmax(dim=1))
    assert torch.equal(multi.predict(images), multi.logits(images).sigmoid() > 0.5)
    assert multi.predict(images).dtype == torch.bool


@pytest.mark.parametrize("size", [16, 23, 64])
def test_pictures_of_any_size_are_seen_at_the_oracles_own(size: int) -> None:
    oracle = made()
    flat = torch.full((1, 3, size, size + 3), 0.25)
    torch.testing.assert_close(oracle.seen(flat), torch.full((1, 3, 16, 16), 0.25))
    assert oracle.logits(flat).shape == (1, 3)


def test_features_are_a_view_with_a_name() -> None:
    view = made(width=4).as_features()
    assert view.name == "oracle:resnet18-width4"
    assert view(torch.rand(2, 3, 30, 30)).shape == (2, view.dim) == (2, 32)
    with torch.device("meta"):
        assert Oracle(["a", "b"], depth=34).as_features().name == "oracle:resnet34"


def test_the_papers_oracle_is_the_default() -> None:
    with torch.device("meta"):
        oracle = Oracle(["cat", "dog", "wild"], image_size=128)
    assert (oracle.depth, oracle.width) == (50, 64)
    assert sum(weight.numel() for weight in oracle.parameters()) == 25_557_032 - 997 * 2049


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"classes": ["cat"]}, "two classes or more"),
        ({"classes": ["cat", "cat"]}, "each once"),
        ({"classes": [], "multi": True}, "one attribute or more"),
        ({"depth": 20}, "depth must be 18, 34, 50"),
        ({"width": 0}, "width must be a whole number from 1"),
        ({"image_size": 8}, "image size must be a whole number from 16"),
    ],
)
def test_what_describes_no_oracle_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Oracle(**{"classes": ["cat", "dog"], **wrong})


BIAS = "network.linear.bias"


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (without(".json"), "is not an oracle"),
        (without(".safetensors"), "is not an oracle"),
        (write(".json", b"{"), "not readable as JSON; save the oracle again"),
        (write(".json", b"[1]"), "does not describe an oracle"),
        (change_card(format_version=2), "newer than this cluit knows"),
        (change_card(config=None), "has no config"),
        (change_config(more=1), "describes no oracle"),
        (change_config(classes="abc"), "must be a list of names"),
        (change_config(classes=["cat", "dog", 3]), "must be a list of names"),
        (change_config(classes=["cat", "dog", "dog"]), "each once"),
        (change_config(classes=["cat", "dog"]), r"linear\.weight is \(3, 16\) instead of \(2, 16\)"),
        (change_config(multi=1), "multi must be true or false"),
        (change_config(depth=True), "depth must be"),
        (change_config(depth=34), "is missing.* more; save the oracle again"),
        (change_config(width=3), "does not fit its oracle"),
        (change_config(width=10**30), "width must be"),
        (change_config(width=1024), "does not fit its oracle"),
        (change_config(image_size="16"), "image size must be"),
        (change_config(image_size=128), "does not fit its oracle"),
        (change_weights(lambda w: w.pop(BIAS)), r"linear\.bias is missing"),
        (change_weights(lambda w: w.update(more=torch.zeros(1))), "more is not of this network"),
        (change_weights(lambda w: w[BIAS].fill_(float("nan"))), r"linear\.bias in .* is not finite"),
        (change_weights(lambda w: w.update({BIAS: w[BIAS].long()})), "is of type int64; save the oracle"),
        (truncate, "not a whole safetensors file"),
        (write(".safetensors", b"\xff" * 100), "not a whole safetensors file"),
    ],
)
def test_what_is_not_an_oracle_is_one_sentence(folder: Path, harm: Harm, sentence: str) -> None:
    harm(folder)
    with pytest.raises(UserError, match=sentence) as raised:
        load_oracle(folder)
    assert "\n" not in str(raised.value)


def test_a_saved_translator_is_no_oracle(tiny_model: Path) -> None:
    with pytest.raises(UserError, match="is not an oracle"):
        load_oracle(tiny_model)


def test_a_pickle_with_a_friendly_name_is_refused_and_not_executed(folder: Path) -> None:
    (folder / "oracle.safetensors").write_bytes(pickle.dumps(Trap(folder / "executed")))
    with pytest.raises(UserError, match="is a pickle by another name"):
        load_oracle(folder)
    assert not (folder / "executed").exists()
