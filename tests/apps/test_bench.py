import json

import pytest
import torch

from cluit.apps.bench import bench_data, bench_step, show
from cluit.apps.measure import (
    PLAIN,
    VARIANTS,
    Job,
    Variant,
    count_flops,
    matmul_rate,
    measure,
    peak_memory,
    take_turns,
)
from cluit.core.errors import UserError
from cluit.core.machine import has_fast_bfloat16
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
    translate, step = (count_flops(small(what).build(PLAIN)) for what in ("translate", "step"))
    assert step > 3 * translate > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains(variant: Variant) -> None:
    small().build(variant)(1)


def test_variants_take_turns() -> None:
    order = []
    works = {variant: lambda t, name=variant.name: order.append((t, name)) for variant in VARIANTS}
    seconds = take_turns(works, 2, CPU)
    assert order == [(t, variant.name) for t in (1, 2) for variant in VARIANTS]
    assert all(len(times) == 2 for times in seconds.values())


def test_the_matrix_peak_is_positive() -> None:
    assert matmul_rate(torch.float32, CPU, repeats=1) > 1e8


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    peak = peak_memory(small(), PLAIN)
    assert peak is None or 2**20 < peak < 2**32


def test_every_variant_has_a_row_that_json_can_hold(capsys: pytest.CaptureFixture[str]) -> None:
    show(measure([small("translate")], rounds=1, slow=False), json=True)
    record = json.loads(capsys.readouterr().out)
    variants = VARIANTS if has_fast_bfloat16(CPU) else VARIANTS[:2]
    assert [row["variant"] for row in record["rows"]] == [variant.name for variant in variants]
    for row in record["rows"]:
        assert row["fastest"] <= row["seconds"] <= row["slowest"]
        assert row["pictures_per_second"] > 0
        assert row["share_of_peak"] > 0
    assert record["rows"][0]["times_as_fast"] == 1
    assert record["machine"]


def test_the_table_names_what_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"variant": "float32", "batch_size": 1, "seconds": 0.5, "fastest": 0.4, "slowest": 0.6}
    row |= {"pictures_per_second": 2.0, "times_as_fast": 1.0, "peak_bytes": None, "share_of_peak": 0.25}
    record = {"what": "step", "machine": "M", "image_size": 32, "width": 8, "rounds": 1}
    show({**record, "rows": [row], "left_out": ["bfloat16 channels_last"]}, json=False)
    said = capsys.readouterr().out
    assert "bfloat16 channels_last: left out" in said
    assert "25%" in said


def test_loading_is_reported_for_files_and_for_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    bench_data(image_size=32, batch_size=4, pictures=8, device="cpu")
    told = capsys.readouterr().out
    assert "pictures/s at first" in told
    assert "drawing portraits of 32 px" in told


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"method": "none"}, "unknown method"),
        ({"rounds": 0}, "rounds"),
        ({"batch_size": 3}, "even"),
        ({"image_size": 33}, "image_size"),
        ({"device": "tpu"}, "unknown device"),
    ],
)
def test_a_setting_out_of_range_is_one_sentence(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        bench_step(**wrong)  # type: ignore[arg-type]
