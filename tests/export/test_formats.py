"""Every format that was ever released still loads, and means the same."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from write_format import answers

from cluit.export.weights import MODEL, load
from cluit.methods import CONFIGS

FORMATS = Path(__file__).parents[1] / "fixtures"
SAVED = sorted(FORMATS.glob("format-*/*/"))


def test_there_is_an_example_of_every_format_and_method() -> None:
    released = {f"format-{version}" for version in range(1, MODEL.version + 1)}
    assert {folder.parent.name for folder in SAVED} == released
    assert {folder.name for folder in SAVED if folder.parent.name == f"format-{MODEL.version}"} == {*CONFIGS}


@pytest.mark.parametrize("folder", SAVED, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_saved_model_says_what_it_said_when_its_format_was_new(folder: Path) -> None:
    expected = load_file(folder / "expected.safetensors")
    translator, card = load(folder, CONFIGS)
    assert card["method"] == folder.name
    found = answers(translator, expected.pop("source"), expected.pop("reference"))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        spread = float(tensor.std())
        assert spread > 0.01, "a blank says nothing"
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-3 * spread)
