import pytest
import torch

from cluit.core import machine
from cluit.core.errors import UserError


def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"no cuda device.*cpu"):
        machine.pick_device("cuda")
    with pytest.raises(UserError, match="unknown device 'gpu'"):
        machine.pick_device("gpu")
    assert machine.pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("avx512_bf16", "amx", "chosen"),
    [(False, False, torch.float32), (True, False, torch.bfloat16), (True, True, torch.bfloat16)],
)
def test_auto_takes_bfloat16_only_where_the_processor_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, avx512_bf16: bool, amx: bool, chosen: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert machine.pick_precision("auto", torch.device("cpu")) == chosen


def test_a_named_precision_is_taken_and_an_unknown_one_refused() -> None:
    assert machine.pick_precision("bfloat16", torch.device("cpu")) == torch.bfloat16
    with pytest.raises(UserError, match="unknown precision 'half'"):
        machine.pick_precision("half", torch.device("cpu"))


def test_a_figure_can_name_its_machine() -> None:
    assert f"torch {torch.__version__}" in machine.describe(torch.device("cpu"))
    assert machine.cpu_class() in machine.describe(torch.device("cpu"))
