"""examples/portraits_model.py: one command for the stretches that docs/portraits.md lists, resumable."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import cluit
from cluit.apps import truths

TINY = {"width": 4, "critic_width": 4, "style_dim": 8, "batch_size": 4, "count": 300, "precision": "float32"}


@pytest.fixture
def example(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("portraits_model", root / "examples" / "portraits_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_stretches_are_those_of_the_page(example: ModuleType, root: Path) -> None:
    page = (root / "docs" / "portraits.md").read_text(encoding="utf-8")
    start = page.index("| stretch | crop_min |")
    rows = [row.split("|")[2:9] for row in page[start : page.index("\n\n", start)].splitlines()[2:]]
    listed = []
    for crop_min, style, cycle, reconstruction, gamma, rate, steps in rows:
        begun, *over = map(float, re.findall(r"\d+", reconstruction))
        listed.append(
            [
                *map(float, (crop_min, style, cycle)),
                begun,
                *over,
                *map(float, (gamma, rate, steps.replace(",", ""))),
            ]
        )
    stretches = [list(map(float, stretch)) for stretch in example.STRETCHES]
    for stretch in stretches:
        if not stretch[3]:
            del stretch[4]  # nothing gives way
    assert stretches == listed


def test_each_stretch_begins_with_the_one_before_and_a_second_call_goes_on(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    train = cluit.train

    def tiny(data: str, **settings: Any) -> None:
        asked.append(settings)
        if len(asked) == 2:  # as if stopped in the second stretch, after one step
            train(data, **{**settings, **TINY, "steps": 1})
            raise KeyboardInterrupt
        train(data, **{**settings, **TINY})

    monkeypatch.setattr(cluit, "train", tiny)
    for name in ("PAIRS", "PROBED", "PROBED_TEST"):
        monkeypatch.setattr(truths, name, 16)
    first, second = (
        [*stretch[:-1], steps] for stretch, steps in zip(example.STRETCHES, (2, 3), strict=False)
    )
    monkeypatch.setattr(example, "STRETCHES", [first, second])
    with pytest.raises(KeyboardInterrupt):
        example.train(tmp_path)
    weights = (tmp_path / "1" / "model" / "model.safetensors").read_bytes()
    example.train(tmp_path)
    assert [settings["resume"] for settings in asked] == [False, False, True, True]
    assert (tmp_path / "1" / "model" / "model.safetensors").read_bytes() == weights
    settings = yaml.safe_load((tmp_path / "2" / "settings.yaml").read_text(encoding="utf-8"))
    assert settings["init_from"] == str(tmp_path / "1")  # not its model, which has no critic
    assert settings["cycle_weight"] == settings["cycle_weight_start"] == 100
    assert '"step": 3' in (tmp_path / "2" / "log.jsonl").read_text(encoding="utf-8")
