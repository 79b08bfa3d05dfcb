import json
from collections.abc import Callable

import pytest
import torch

from cluit.apps import measure as measuring
from cluit.apps.bench import bench_step, bench_translate, prepare, show
from cluit.apps.measure import (
    CONTIGUOUS,
    EXPORTED,
    PLAIN,
    UNDER_WAY,
    VARIANTS,
    Job,
    Variant,
    conv_rate,
    count_flops,
    matmul_rate,
    measure,
    peak_memory,
    take_turns,
    with_stand_ins,
)
from cluit.core.errors import UserError
from cluit.core.machine import has_fast_bfloat16
from cluit.engine.descent import Descent
from cluit.export.graph import Exported
from cluit.methods import CONFIGS
from cluit.methods.cluit.config import CluitConfig

CPU = torch.device("cpu")


def small(what: str = "step") -> Job:
    return Job(what, CluitConfig(image_size=32, width=8), 4, CPU)  # type: ignore[arg-type]


def test_a_product_of_known_size_has_its_operations_counted() -> None:
    a, b = torch.ones(3, 5), torch.ones(5, 7)

    def work(t: int) -> None:
        torch.mm(a, b)

    assert count_flops(work) == 2 * 3 * 5 * 7


def test_a_steps_operations_are_those_of_its_convolutions_there_and_back() -> None:
    translate, step = (count_flops(small(what).build(CONTIGUOUS)) for what in ("translate", "step"))
    assert step > 3 * translate > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains(variant: Variant) -> None:
    small().build(variant)(1)


@pytest.mark.parametrize("method", CONFIGS)
def test_a_round_has_a_turn_of_every_optimizer(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever begins late or takes turns with another is timed, too."""
    moved = set[str]()
    descend = Descent.__call__

    def watched(self: Descent, loss: torch.Tensor, *names: str) -> bool:
        moved.update(names)
        return descend(self, loss, *names)

    monkeypatch.setattr(Descent, "__call__", watched)
    config = with_stand_ins(CONFIGS[method](image_size=32, width=4))
    Job("step", config, 4, CPU).build(CONTIGUOUS)(1)
    assert moved == config.build().optimizers().keys()


@pytest.mark.parametrize("method", CONFIGS)
def test_every_method_is_timed_at_both(method: str) -> None:
    config = with_stand_ins(CONFIGS[method](image_size=32, width=4))
    translate, step = (
        count_flops(Job(what, config, 4, CPU).build(CONTIGUOUS)) for what in ("translate", "step")
    )
    assert step > 3 * translate > 0


@pytest.mark.parametrize("interval", [2, 16, 32])
def test_the_first_round_has_what_comes_now_and_then(interval: int) -> None:
    assert UNDER_WAY % interval == 0


def test_variants_take_turns() -> None:
    order = []
    works = {variant: lambda t, name=variant.name: order.append((t, name)) for variant in VARIANTS}
    seconds = take_turns(works, 2, CPU)
    assert order == [(t, variant.name) for t in (1, 2) for variant in VARIANTS]
    assert all(len(times) == 2 for times in seconds.values())


def test_the_matrix_peak_is_positive() -> None:
    assert matmul_rate(torch.float32, CPU, repeats=1) > 1e8
    assert conv_rate(torch.float32, CPU, repeats=1) > 1e8


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    peak = peak_memory(small(), PLAIN)
    assert peak is None or 2**20 < peak < 2**32


def test_every_variant_has_a_row_that_json_can_hold(
    exported_before: Callable[..., dict[str, Exported]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring, "export_graphs", exported_before)
    monkeypatch.setattr(measuring, "peak_memory", lambda job, variant: 2**20)  # it starts a process
    show(measure([small("translate")], rounds=1, slow=False), json=True)
    record = json.loads(capsys.readouterr().out)
    variants = (*(VARIANTS if has_fast_bfloat16(CPU) else VARIANTS[:3]), EXPORTED)
    assert [row["variant"] for row in record["rows"]] == [variant.name for variant in variants]
    assert sum(row["default"] for row in record["rows"]) == 1
    for row in record["rows"]:
        assert row["fastest"] <= row["seconds"] <= row["slowest"]
        assert row["pictures_per_second"] > 0
        assert row["share_of_peak"] > 0
        assert row["method"] == "cluit"
    assert record["rows"][0]["times_as_fast"] == 1
    assert record["machine"]


def test_the_table_names_what_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "method": "cluit",
        "variant": "float32",
        "default": True,
        "flops": 7e9,
        "batch_size": 1,
        "parts": 1,
        "seconds": 0.5,
        "fastest": 0.4,
        "slowest": 0.6,
    }
    row |= {"pictures_per_second": 2.0, "times_as_fast": 1.0, "peak_bytes": None, "share_of_peak": 0.25}
    record = {"what": "step", "machine": "M", "image_size": 32, "width": 8, "rounds": 1}
    record["processor_time"] = True
    show({**record, "rows": [row], "left_out": ["bfloat16 channels_last"]}, json=False)
    said = capsys.readouterr().out
    assert "bfloat16 channels_last: left out" in said
    assert "25%" in said
    assert "float32 (default)" in said
    assert "processor time" in said


def test_several_methods_share_the_rounds() -> None:
    jobs = prepare("step", (*CONFIGS, "cluit"), 32, 4, [8], 1, "cpu")
    assert [job.method for job in jobs] == list(CONFIGS)
    works = {job: job.build(CONTIGUOUS) for job in jobs}
    assert list(take_turns(works, 1, CPU)) == jobs


def test_a_balanced_batch_has_two_pictures_of_a_class_in_each_half() -> None:
    for name in CONFIGS:
        if with_stand_ins(CONFIGS[name]()).balanced:
            with pytest.raises(UserError, match="multiple of 4"):
                prepare("step", name, 32, 4, [6], 1, "cpu")


@pytest.mark.parametrize("what", ["step", "translate"])
def test_only_cluit_has_a_plain_variant_and_it_multiplies_more(what: str) -> None:
    plain, own = (count_flops(small(what).build(variant)) for variant in (PLAIN, CONTIGUOUS))
    assert plain > own
    assert [name for name in CONFIGS if Job("step", CONFIGS[name](image_size=32), 4, CPU).can(PLAIN)] == [
        "cluit"
    ]


def test_processor_time_is_of_one_thread() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(UserError, match="OMP_NUM_THREADS=1"):
            bench_step(busy=True, device="cpu")
    finally:
        torch.set_num_threads(before)


def test_no_translation_is_of_nothing() -> None:
    with pytest.raises(UserError, match="batch_size must be positive"):
        bench_translate(batch_size=(1, 0), device="cpu")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"method": "none"}, "unknown method"),
        ({"method": ("cluit", "none")}, "unknown method 'none'"),
        ({"method": ()}, "a method named"),
        ({"rounds": 0}, "rounds"),
        ({"batch_size": 3}, "multiple of 2"),
        ({"batch_size": 0}, "multiple of 2"),
        ({"batch_size": (8, 12), "accumulate": (1, 4)}, r"multiple of 8 .* 4 parts\), got 12"),
        ({"accumulate": 0}, "accumulate"),
        ({"image_size": 33}, "image_size"),
        ({"device": "tpu"}, "unknown device"),
    ],
)
def test_a_setting_out_of_range_is_one_sentence(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        bench_step(**wrong)  # type: ignore[arg-type]
