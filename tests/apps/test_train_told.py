"""Training of a method that is told classes, through the door of `cluit train`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor
from traces import logged, remembered

from cluit.apps.api import load
from cluit.apps.train import train
from cluit.core.errors import UserError
from cluit.core.types import Batch, Descend, Metrics
from cluit.data.portrait_folder import write_folder
from cluit.engine.log import read_log
from cluit.export import weights
from cluit.methods import CONFIGS
from cluit.methods.cluit.step import Cluit
from cluit.methods.starganv2.step import StarGANv2

TINY: dict[str, Any] = {
    "image_size": 32,
    "width": 4,
    "steps": 4,
    "batch_size": 4,
    "precision": "float32",
    "device": "cpu",
    "workers": 1,
    "log_every": 2,
    "grid_every": 2,
    "score_every": 2,
    "save_every": 2,
}
STARGAN = {**TINY, "method": "starganv2"}


@pytest.fixture(scope="session")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told") / "animals"
    write_folder(folder, 40, 32, species_weights={"cat": 3, "dog": 1})
    return folder


@pytest.fixture(scope="session")
def straight(animals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng():
        return train(animals, out=tmp_path_factory.mktemp("told_runs") / "straight", **STARGAN)


def labels_seen(monkeypatch: pytest.MonkeyPatch, kind: type[Any]) -> list[Tensor | None]:
    """What batches bring to the steps of a method."""
    seen, step = list[Tensor | None](), kind.step

    def watched(self: Any, batch: Batch, descend: Descend, t: int) -> Metrics:
        seen.append(batch.labels)
        metrics: Metrics = step(self, batch, descend, t)
        return metrics

    monkeypatch.setattr(kind, "step", watched)
    return seen


def test_a_run_knows_the_domains_that_it_was_told(straight: Path) -> None:
    stored = yaml.safe_load((straight / "settings.yaml").read_text())
    assert stored["domains"] == ["cat", "dog"]
    card = json.loads((straight / "model" / "model.json").read_text())
    assert card["config"]["domains"] == ["cat", "dog"]
    translator, _ = weights.load(straight / "model", CONFIGS)
    assert translator.domains == ("cat", "dog")
    scores = [entry for entry in read_log(straight / "log.jsonl") if "realism" in entry]
    assert [entry["step"] for entry in scores] == [2, 4]
    assert len(list((straight / "grids").iterdir())) == 2


def test_stopping_and_resuming_changes_nothing(straight: Path, animals: Path, tmp_path: Path) -> None:
    run = train(animals, out=tmp_path / "run", **{**STARGAN, "steps": 2})
    train(out=run, resume=True, steps=4)
    one, other = remembered(run), remembered(straight)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert logged(run) == logged(straight)


def test_steps_are_told_pairs_of_one_class(
    animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = labels_seen(monkeypatch, StarGANv2)
    train(animals, out=tmp_path / "run", **{**STARGAN, "batch_size": 8, "steps": 6})
    batches = torch.stack([labels for labels in seen if labels is not None])
    assert batches.shape == (6, 8)
    assert torch.equal(batches[:, 0::2], batches[:, 1::2])
    assert batches.unique().tolist() == [0, 1]


def test_a_method_that_asks_for_no_label_sees_none(
    animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = labels_seen(monkeypatch, Cluit)
    train(animals, out=tmp_path / "run", **{**TINY, "recipe": "small", "critic_width": 4, "steps": 2})
    assert seen == [None, None]


def test_what_it_is_told_is_said(animals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(animals, out=tmp_path / "run", **{**STARGAN, "steps": 1})
    assert "told the class of 36: cat, dog" in " ".join(capsys.readouterr().err.split())


def test_portraits_are_judged_by_species_that_the_model_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, fewer in (("PAIRS", 12), ("PROBED", 40), ("PROBED_TEST", 20)):
        monkeypatch.setattr(f"cluit.apps.truths.{name}", fewer)
    run = train("portraits", out=tmp_path / "run", **{**STARGAN, "steps": 1, "count": 60})
    entry = read_log(run / "log.jsonl")[-1]
    assert 0 <= entry["species"] <= 1
    assert 0 < entry["probe_style"] <= 1


def test_an_odd_batch_is_refused_with_no_trace(animals: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be a multiple of 4 "):
        train(animals, out=tmp_path / "run", **{**STARGAN, "batch_size": 6})
    assert not (tmp_path / "run" / "settings.yaml").exists()
    train(animals, out=tmp_path / "run", **{**STARGAN, "steps": 1})


def test_weights_of_another_method_are_refused_by_its_name(
    straight: Path, animals: Path, tmp_path: Path
) -> None:
    for model in (straight, straight / "model"):
        with pytest.raises(UserError, match="is a model of the method starganv2, not swapae; add --method"):
            train(animals, out=tmp_path / "run", method="swapae", init_from=model, **TINY)


def test_the_first_line_names_the_classes_of_pictures_that_are_told(
    animals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {**TINY, "method": "tunit", "clusters": 2, "warmup_steps": 1, "labelled": 0.001, "steps": 1}
    train(animals, out=tmp_path / "run", **few)
    first = " ".join(capsys.readouterr().err.split())
    assert re.search(r"told the class of 1: (cat|dog) ", first), first


def test_a_model_is_not_saved_over_that_of_a_run(straight: Path) -> None:
    with pytest.raises(UserError, match="is a run, which keeps its own models"):
        load(straight).save_pretrained(straight / "model", overwrite=True)
