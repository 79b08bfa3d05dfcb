"""What a run is looked at with: warnings that are true, scores that look and move nothing."""

import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor

from cluit.apps.monitor import IGNORES_REFERENCE, IGNORES_SOURCE, Monitor, best_score, cross, faults_of
from cluit.apps.settings import Settings, layered
from cluit.core.images import to_unit
from cluit.core.types import Method, Translator
from cluit.data.portraits import Portraits
from cluit.engine.divergence import Diverged
from cluit.engine.log import Log, read_log
from cluit.evaluation.effects import effect


class Toy(Translator):
    """Its structure is the source's shades, its style the reference's mean colour; either can be lost."""

    image_size = 32

    def __init__(self, structure: float = 1.0, style: float = 1.0) -> None:
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor([structure, style]))

    def encode_structure(self, source: Tensor) -> Tensor:
        return source * self.share[0]

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        return reference.mean(dim=(2, 3)) * self.share[1]

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return structure - structure.mean(dim=(2, 3), keepdim=True) + style[:, :, None, None]


@pytest.fixture
def settings() -> Settings:
    return layered({"recipe": "small", "width": 8, "critic_width": 8})


@pytest.fixture
def method(settings: Settings) -> Method:
    built: Method = settings.config.build()
    return built


@pytest.fixture
def told() -> io.StringIO:
    """What the user reads."""
    return io.StringIO()


@pytest.fixture
def monitor(tmp_path: Path, settings: Settings, method: Method, told: io.StringIO) -> Iterator[Monitor]:
    held_out = Portraits(40, 32, split="test")
    with closing(Log(tmp_path / "log.jsonl")) as log:
        yield Monitor(tmp_path, method, held_out, settings, [log], Console(file=told, width=1000))


def test_effects_tell_what_outputs_depend_on() -> None:
    pictures = to_unit(Portraits(12, 32).batch(range(12)))
    sources, references = pictures[:6], pictures[6:]

    def effects(translator: Translator) -> tuple[float, float]:
        with torch.no_grad():
            outputs = cross(translator, sources, translator.encode_style(references))
        return effect(outputs, sources), effect(outputs.transpose(0, 1), references)

    by_source, by_reference = effects(Toy())
    assert by_source > 0.4
    assert by_reference > 0.2
    assert effects(Toy(structure=0))[0] == pytest.approx(0, abs=1e-5)
    assert effects(Toy(style=0))[1] == pytest.approx(0, abs=1e-5)
    assert effect(sources[:, None], sources) == pytest.approx(1)


@pytest.mark.parametrize(
    ("translator", "fault"),
    [(Toy(), None), (Toy(structure=0), IGNORES_SOURCE), (Toy(style=0), IGNORES_REFERENCE)],
)
def test_each_collapse_has_its_warning_and_is_never_the_best(
    monitor: Monitor, tmp_path: Path, told: io.StringIO, translator: Toy, fault: str | None
) -> None:
    for step in (1000, 2000, 3000):
        monitor.score(step, {}, translator)
    entries = read_log(tmp_path / "log.jsonl")
    assert [entry.get("warning") for entry in entries] == [None, fault, fault]
    assert told.getvalue().count("warning") == (fault is not None)
    assert (tmp_path / "best").exists() == (fault is None)


def test_a_fault_that_comes_back_is_told_again(monitor: Monitor, told: io.StringIO) -> None:
    for step, structure in ((2000, 0.0), (3000, 1.0), (4000, 0.0)):
        monitor.score(step, {}, Toy(structure=structure))
    assert told.getvalue().count(IGNORES_SOURCE) == 2


def test_what_cannot_be_told_from_equal_pictures_is_no_fault() -> None:
    nan = float("nan")
    assert faults_of({"source_effect": nan, "reference_effect": nan}) == []


def test_a_pose_that_does_not_follow_is_warned_of_but_has_no_say_in_the_best(
    monitor: Monitor, tmp_path: Path
) -> None:
    monitor.judge = lambda translator, method: {"position": 0.8, "scale": 0.2, "tilt": 0.3, "turn": 0.1}
    monitor.score(2000, {}, Toy())
    assert read_log(tmp_path / "log.jsonl")[-1]["warning"] == IGNORES_SOURCE
    assert (tmp_path / "best").exists()


def test_only_a_better_model_replaces_the_best_even_after_a_restart(
    monitor: Monitor, tmp_path: Path, settings: Settings, method: Method
) -> None:
    monitor.score(1000, {}, Toy(structure=0.5))
    first = best_score(tmp_path)
    again = Monitor(tmp_path, method, Portraits(40, 32, split="test"), settings, [], monitor.console)
    assert again.best == first
    again.score(2000, {}, Toy(structure=0.3))
    assert json.loads((tmp_path / "best" / "model.json").read_text())["steps"] == 1000
    again.score(3000, {}, Toy(structure=0.9))
    assert json.loads((tmp_path / "best" / "model.json").read_text())["steps"] == 3000
    assert best_score(tmp_path) < first


@pytest.mark.parametrize("network", ["translator", "critic"])
def test_divergence_seen_at_a_score_is_called_by_its_name(
    monitor: Monitor, method: Method, network: str
) -> None:
    """Weights that are not finite, and finite ones whose outputs are not."""
    with pytest.raises(Diverged, match="a translation is not finite at step 7"):
        monitor.score(7, {}, Toy(style=3e38, structure=3e38))
    with torch.no_grad():
        next(getattr(method, network).parameters())[0] = float("nan")
    with pytest.raises(Diverged, match=f"{network}.*not finite at step 8"):
        monitor.score(8, {}, Toy())


def test_looking_draws_no_random_numbers(monitor: Monitor) -> None:
    before = torch.get_rng_state()
    monitor.score(1000, {}, Toy())
    monitor.grid(1000, {}, Toy())
    assert torch.equal(torch.get_rng_state(), before)
