"""The script for a GPU, from end to end on a CPU: what is not there is a line, and so is what fails."""

import io
import json
from contextlib import redirect_stdout
from typing import Any

import pytest
import torch

from cluit.apps import bench_gpu as whole
from cluit.apps import gpu_setups
from cluit.apps.bench_gpu import Bench, bench_gpu, verdict
from cluit.apps.gpu_setups import (
    COMPILED,
    COMPILED_ELSEWHERE,
    DEFAULT,
    EAGER,
    STEPS,
    TRANSLATING,
    Setup,
    training,
)
from cluit.apps.measure import UNDER_WAY
from cluit.core.errors import UserError
from cluit.engine.descent import Descent
from cluit.methods.cluit.config import CluitConfig

CPU = torch.device("cpu")
TINY = CluitConfig(image_size=32, width=4)


def no_compiler(*_: object, **__: object) -> None:
    raise RuntimeError("no compiler was found\nwith much advice")


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    """Of a whole run of few steps on a machine without a compiler, as printed."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setattr(torch, "compile", no_compiler)
        for module in (whole, gpu_setups):
            patch.setattr(module, "STEPS", 2)
        bench_gpu(image_size=32, width=4, batch_size=2, rounds=1, device="cpu", json=True)
    return json.loads(printed.getvalue())


def test_everything_that_a_cpu_can_do_is_measured(record: dict[str, Any]) -> None:
    setups = (*EAGER, *COMPILED_ELSEWHERE)
    possible = [setup.name for setup in setups if not setup.missing(CPU) and not setup.compiled]
    assert [row["name"] for row in record["steps"]] == possible
    assert "float32" in possible
    for row in record["steps"]:
        assert row["steps_per_second"] > 0
        assert row["share_of_peak"] > 0
    for part in ("translation", "evaluation", "loading"):
        assert record[part]
    assert "steps/s (goal 15" in record["verdict"]


def test_what_fails_or_is_not_there_is_a_line_and_leaves_the_others(record: dict[str, Any]) -> None:
    failed = record["failed"]
    assert failed["step, float32, compiled"] == "RuntimeError: no compiler was found with much advice"
    assert failed["step, TF32"] == failed["waits"] == "needs CUDA"
    assert failed["translation of 2, bfloat16, CUDA graph"] == "needs CUDA"


def test_a_round_has_one_turn_of_r1() -> None:
    turns = [t for t in range(UNDER_WAY, UNDER_WAY + STEPS) if t % TINY.r1_interval == 0]
    assert len(turns) == 1


@pytest.mark.parametrize("fused", [False, True])
def test_adam_is_fused_where_a_setup_says_so(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[bool]()
    descend = Descent.__call__

    def watched(self: Descent, loss: torch.Tensor, *names: str) -> bool:
        seen.extend(group["fused"] for o in self.optimizers.values() for group in o.param_groups)
        return descend(self, loss, *names)

    monkeypatch.setattr(Descent, "__call__", watched)
    training(Setup("any", fused=fused), TINY, 2, CPU)(0)
    assert set(seen) == {fused}


@pytest.mark.parametrize("setup", [*EAGER, *COMPILED, *TRANSLATING], ids=lambda setup: setup.name)
def test_switches_are_put_back(setup: Setup) -> None:
    def switches() -> tuple[bool, bool, bool]:
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        return cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark

    before = switches()
    with setup.flags():
        assert switches() == (setup.tf32, setup.tf32, setup.search)
    assert switches() == before


def test_every_peak_that_a_setup_has_is_measured() -> None:
    assert {setup.peak for setup in (*EAGER, *COMPILED)} == {"float32", "TF32", "bfloat16"}


def test_nothing_begins_when_no_time_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(TINY, 2, 1, 1e-9, CPU, silent=False)
    assert not bench.ready("step", EAGER[0], 0.25)
    assert bench.failed == {"step, float32": "no time is left"}
    assert capsys.readouterr().out == "step, float32: left out (no time is left)\n"


def test_the_verdict_is_of_the_fastest() -> None:
    rows = [
        {"name": "slow", "steps_per_second": 10.0, "share_of_peak": 0.5},
        {"name": DEFAULT.name, "steps_per_second": 16.5, "share_of_peak": 0.27},
    ]
    said = verdict(rows, 7_100_000_000_000)
    assert said.startswith("fastest: bfloat16, channels_last, 16.50 steps/s (goal 15")
    assert "this one has 7.100), 27% of" in said
    assert verdict([], 0) == "no step could be measured"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"rounds": 0}, "rounds"),
        ({"minutes": 0.0}, "minutes"),
        ({"batch_size": 3}, "multiple of 2"),
        ({"image_size": 48}, "image_size"),
        ({"device": "tpu"}, "unknown device"),
    ],
)
def test_a_setting_out_of_range_is_one_sentence(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        bench_gpu(**wrong)  # type: ignore[arg-type]
