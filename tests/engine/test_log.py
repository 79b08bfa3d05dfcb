"""What a run says of itself."""

import io
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from toy_training import ToyConfig, ToyTranslator

from cluit.core.errors import UserError
from cluit.engine.divergence import Diverged
from cluit.engine.log import Log, Meter, ProgressBar, TensorBoard, read_log

TRANSLATOR = ToyTranslator(ToyConfig())


def written(path: Path, *steps: int) -> Path:
    log = Log(path)
    for t in steps:
        log.write(t, {"loss": 1 / t})
    log.close()
    return path


def test_one_object_a_line_on_the_disk_at_once(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.write(5, {"loss": 0.25, "note": "ü"})
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert {k: v for k, v in json.loads(line).items() if k != "seconds"} == {
        "step": 5,
        "loss": 0.25,
        "note": "ü",
    }
    log.close()


def test_numbers_that_json_does_not_know_become_null(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.write(1, {"score": math.nan, "other": math.inf})
    log.close()
    assert read_log(tmp_path / "log.jsonl")[0]["score"] is None


def test_lines_after_the_checkpoint_are_dropped_on_resume_and_time_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", 1, 2, 3)
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace('"seconds": 0.0', '"seconds": 100.0')
    path.write_text("\n".join(lines) + "\n")
    log = Log(path, 2)
    log.write(3, {"loss": 9})
    log.close()
    assert path.read_text().splitlines()[:2] == lines[:2]
    assert [(entry["step"], entry["loss"]) for entry in read_log(path)] == [(1, 1), (2, 0.5), (3, 9)]
    assert read_log(path)[-1]["seconds"] >= 100


@pytest.mark.parametrize("torn", ['{"step": 3, "los', "3", '{"loss": 3}', "\ufffd"])
def test_a_line_half_written_is_left_out_and_cleaned_up(tmp_path: Path, torn: str) -> None:
    path = written(tmp_path / "log.jsonl", 1, 2)
    whole = path.read_text()
    path.write_text(whole + torn)
    assert [entry["step"] for entry in read_log(path)] == [1, 2]
    Log(path, 2).close()
    assert path.read_text() == whole


def test_beginning_at_zero_begins_the_log_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", 1, 2)
    Log(path).close()
    assert read_log(path) == []


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_log(tmp_path / "log.jsonl") == []


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        Log(tmp_path / "file" / "log.jsonl")
    (tmp_path / "folder").mkdir()
    for t in (0, 1):
        with pytest.raises(UserError, match=r"cannot write .*folder"):
            Log(tmp_path / "folder", t)
    log = Log(tmp_path / "log.jsonl")
    log.file.close()
    log.file = open("/dev/full", "a", buffering=1)  # noqa: SIM115
    with pytest.raises(UserError, match="No space left on device; free some space"):
        log.write(1, {})
    with pytest.raises(UserError, match="No space"):
        log.close()


def test_a_meter_gives_means_over_the_steps_that_had_the_metric() -> None:
    meter = Meter()
    meter(1, {"loss": torch.tensor(1.0), "rare": torch.tensor(5.0)}, TRANSLATOR)
    meter(2, {"loss": torch.tensor(3.0)}, TRANSLATOR)
    assert meter.read(2) == {"loss": 2.0, "rare": 5.0}
    assert meter.read(2) == {}


def test_a_meter_goes_on_where_its_state_was_taken() -> None:
    meter, resumed = Meter(), Meter()
    meter(1, {"loss": torch.tensor(1.0)}, TRANSLATOR)
    resumed.load_state_dict(meter.state_dict())
    for each in (meter, resumed):
        each(2, {"loss": torch.tensor(4.0)}, TRANSLATOR)
    assert meter.read(2) == resumed.read(2) == {"loss": 2.5}


def test_a_meter_hears_of_infinity_in_any_step() -> None:
    meter = Meter()
    for value in (1.0, -math.inf, 1.0):
        meter(1, {"loss": torch.tensor(value)}, TRANSLATOR)
    with pytest.raises(Diverged, match="loss is not finite at step 3"):
        meter.read(3)


def shown(terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    with ProgressBar(20, 10, batch_size=8, console=console, quiet=0) as bar:
        for t in range(11, 21):
            bar(t, {"critic": torch.tensor(1.2345)}, TRANSLATOR)
    return out.getvalue()


def test_off_a_terminal_progress_is_plain_lines() -> None:
    first, *_, last = shown(terminal=False).splitlines()
    assert first.startswith("step 11/20 · ")
    assert last.startswith("step 20/20 · ")
    assert "pictures/s · 0:00:00 left · critic 1.23" in last
    assert "\x1b" not in last


def test_where_time_ends_first_it_is_what_is_left() -> None:
    out = io.StringIO()
    console = Console(file=out, width=200)
    with ProgressBar(10**9, batch_size=8, console=console, quiet=0, seconds=100) as bar:
        for t in range(1, 4):
            bar(t, {}, TRANSLATOR)
        assert bar.share(3) < 0.1
    left = out.getvalue().splitlines()[-1].split(" · ")[3]
    assert left in ("0:01:40 left", "0:01:39 left")
    assert "/1000000000" not in out.getvalue()


def test_on_a_terminal_progress_is_a_bar_that_ends_full() -> None:
    assert "20/20" in shown(terminal=True)


def test_nothing_is_read_from_the_device_between_two_showings() -> None:
    class Untouchable:
        def __float__(self) -> float:
            raise AssertionError("read")

    with ProgressBar(20, batch_size=8, console=Console(file=io.StringIO()), quiet=100) as bar:
        bar(1, {"loss": Untouchable()}, TRANSLATOR)  # type: ignore[dict-item]


def test_tensorboard_gets_the_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    board = TensorBoard(tmp_path / "board")
    board.write(1, {"loss": 0.5, "note": "not a number"})
    board.close()
    assert list((tmp_path / "board").glob("events*"))


def test_tensorboard_not_installed_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"cluit\[tensorboard\]"):
        TensorBoard(tmp_path)
