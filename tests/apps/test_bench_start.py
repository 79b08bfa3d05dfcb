"""The start, as whole processes: the help, the first step, and a training that is refused."""

import json
from pathlib import Path

import pytest
from PIL import Image

from cluit.apps.bench_start import BARE, HELP, TRAIN, bench_start
from cluit.core.errors import UserError


def test_help_and_first_step_are_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):
        Image.new("RGB", (32, 32), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
    bench_start(tmp_path, rounds=1, device="cpu", json=True)
    record = json.loads(capsys.readouterr().out)
    seconds = {row["name"]: row["seconds"] for row in record["rows"]}
    assert list(seconds) == [BARE, HELP, TRAIN]
    assert min(seconds.values()) > 0
    assert record["help_ratio"]["median"] == pytest.approx(seconds[HELP] / seconds[BARE])


def test_without_data_only_the_help_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    bench_start(rounds=1)
    said = capsys.readouterr().out
    assert "times" in said
    assert TRAIN not in said


def test_a_training_that_is_refused_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"did not start.*no folder at /nowhere"):
        bench_start("/nowhere", rounds=1)
    with pytest.raises(UserError, match="rounds"):
        bench_start(rounds=0)
