"""How a step grows: laws that are fitted exactly where they hold exactly, and a plot that shows them."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from cluit.apps import bench_growth as growing
from cluit.apps.bench_growth import LAWS, REFERENCES, bench_growth, exponent, jobs_of
from cluit.apps.growth_plot import Panel, plot, round_numbers, share
from cluit.apps.measure import Variant, count_flops
from cluit.core.errors import UserError

TINY: dict[str, tuple[int, ...]] = {
    "image_size": (32,),
    "width": (4,),
    "batch_size": (2,),
    "queue_size": (16, 64),
    "references": (2,),
}


@pytest.mark.parametrize("power", [-1.0, 0.0, 1.0, 2.5])
def test_a_power_law_is_fitted_exactly(power: float) -> None:
    points = [{"value": x, "seconds": 3 * x**power} for x in (1, 2, 8, 32)]
    assert exponent(points, "seconds") == pytest.approx(power)


def test_nothing_is_fitted_to_one_value_or_to_what_is_not_measured() -> None:
    assert exponent([{"value": 2, "seconds": 1.0}], "seconds") is None
    assert exponent([{"value": x, "peak_bytes": None} for x in (1, 2)], "peak_bytes") is None


def test_only_one_number_grows_at_a_time() -> None:
    axes = {**TINY, "width": (4, 8), "batch_size": (2, 4)}
    jobs = jobs_of(axes, torch.device("cpu"))
    assert jobs.keys() == LAWS.keys()
    assert jobs["width"][4] == jobs["batch_size"][2] == jobs["queue_size"][16]
    assert (jobs["width"][8].config.width, jobs["width"][8].batch_size) == (8, 2)
    assert (jobs["batch_size"][4].config.width, jobs["batch_size"][4].batch_size) == (4, 4)


def test_a_source_is_encoded_once_for_all_of_its_references() -> None:
    jobs = jobs_of({**TINY, "references": (1, 2, 3)}, torch.device("cpu"))[REFERENCES]
    one, two, three = (count_flops(jobs[number].build(Variant("float32", False))) for number in (1, 2, 3))
    assert three - two == two - one
    assert two < 2 * one


def test_every_number_has_its_points_and_its_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "peak_memory", lambda job, variant: 2**20)  # it starts a process
    out = tmp_path / "growth.svg"
    bench_growth(**TINY, rounds=1, device="cpu", out=out, json=True)  # type: ignore[arg-type]
    record = json.loads(capsys.readouterr().out)
    assert record["axes"].keys() == LAWS.keys()
    assert [one["value"] for one in record["axes"]["queue_size"]["points"]] == [16, 64]
    assert record["axes"]["queue_size"]["exponents"]["seconds"] is not None
    assert record["axes"]["width"]["exponents"]["seconds"] is None
    root = ElementTree.fromstring(out.read_text())
    titles = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert titles.count("seconds of a step") == 4
    assert titles.count("memory of a translation, MiB") == 1


def test_a_plot_survives_what_was_not_measured() -> None:
    flat = Panel("a", "x", [(1, 2.0), (2, 2.0)], 1, (0,), 0.0, 0.0)
    assert "not measured" in plot([flat, Panel("b", "x", [], 1, (1, 2), None, None)])
    ElementTree.fromstring(plot([flat]))


def test_axes_are_logarithmic() -> None:
    assert share(10, (1, 100)) == pytest.approx(0.5)
    assert round_numbers(0.5, 200) == [1, 10, 100]
    assert len(round_numbers(1.1, 2.9)) <= 2
    assert len(round_numbers(0.9, 9)) >= 3


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"rounds": 0}, "rounds"),
        ({"width": ()}, "every number have a value"),
        ({"image_size": (48,)}, "image_size"),
        ({"batch_size": (3,)}, "multiple of 2"),
        ({"references": (0,)}, "references"),
        ({"queue_size": (0,)}, "queue_size"),
        ({"device": "tpu"}, "unknown device"),
        ({"out": __file__}, "is there already"),
    ],
)
def test_a_setting_out_of_range_is_one_sentence(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        bench_growth(**{**TINY, **wrong})  # type: ignore[arg-type]
