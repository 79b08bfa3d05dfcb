"""Charts show what they are given, whatever it is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluit.apps import charts


def test_noisy_lines_are_drawn_raw_and_smoothed_and_short_ones_once() -> None:
    noisy = [(float(i), float(i % 2)) for i in range(100)]
    assert charts.curves("loss", {"a": noisy}).count("<path") == 2
    assert charts.curves("loss", {"a": noisy[:5]}).count("<path") == 1
    smooth = charts.smoothed(noisy)
    assert all(0.3 < y < 0.7 for _, y in smooth[10:-10])


def test_curves_of_nothing_and_of_nan_are_a_sentence() -> None:
    assert "nothing measured" in charts.curves("loss", {})
    assert "nothing measured" in charts.curves("loss", {"a": [(1.0, float("nan"))]})


def test_a_constant_and_a_single_point_have_axes() -> None:
    assert "<svg" in charts.curves("loss", {"a": [(0.0, 3.0), (10.0, 3.0)]})
    assert "<svg" in charts.curves("loss", {"a": [(0.0, 0.0)]})


def test_a_single_point_is_seen_and_a_note_is_read() -> None:
    chart = charts.curves("loss", {"a": [(3.0, 1.0)], "b": [(1.0, 2.0), (2.0, 3.0)]}, note="less is <best>")
    assert chart.count("<circle") == 1
    assert chart.count("<path") == 1
    assert "less is &lt;best&gt;" in chart


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_and_enclose_what_is_drawn(low: float, span: float) -> None:
    high = low + span * max(1, abs(low))
    values = charts.ticks(low, high)
    slack = 1e-6 * (values[1] - values[0])
    assert values[0] <= low + slack
    assert values[-1] >= high - slack
    assert 2 <= len(values) <= 8


def test_thinning_keeps_means() -> None:
    points = [(float(i), float(i)) for i in range(10_000)]
    thin = charts.thin(points)
    assert len(thin) <= charts.MOST_POINTS
    assert sum(y for _, y in thin) / len(thin) == pytest.approx(4999.5)


def test_a_line_reaches_from_side_to_side_and_ticks_stay_within() -> None:
    chart = charts.curves("loss", {"a": [(3.0, 1.0), (16.0, 2.0)]})
    assert f"M{charts.LEFT}.0," in chart
    assert f"L{charts.WIDTH - charts.RIGHT}.0," in chart
    assert ">15<" in chart
    assert ">20<" not in chart


def test_ticks_say_thousands_and_millions_in_a_letter() -> None:
    assert [charts.tick(value) for value in (0.25, 5000, 30_000, 2.5e6, -20_000)] == [
        "0.25", "5,000", "30k", "2.5M", "-20k",
    ]  # fmt: skip


def test_bars_are_as_long_as_their_shares() -> None:
    chart = charts.bars("Shares", {"one": {"a": 1.0, "b": 0.5, "a very long name of a class": float("nan")}})
    full, half = (float(width) for width in re.findall(r'width="([\d.]+)"', chart))
    assert full == pytest.approx(2 * half, abs=0.2)
    assert "a very long nam…" in chart
