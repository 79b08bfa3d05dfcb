"""The straightforward loop and the evaluation: equal results, counted work, a bound that is one."""

import json

import pytest
import torch

from cluit.apps.bench_evaluate import HALF, LOOP, REUSE, Protocol, bench_evaluate
from cluit.apps.measure import Job, Variant, count_flops
from cluit.core.errors import UserError
from cluit.core.images import to_unit
from cluit.core.machine import has_fast_bfloat16
from cluit.methods import CONFIGS

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return Protocol.of(11, 3, 32, 8, "random", 4, CPU)


def test_the_evaluation_says_of_every_pair_what_the_straightforward_loop_says(protocol: Protocol) -> None:
    loop, reuse = list(protocol.loop()), list(protocol.reuse())
    plain, saved = (torch.cat([one.features[0].flatten(0, 1) for one in way]) for way in (loop, reuse))
    assert plain.shape == (33, 144)
    assert torch.allclose(plain, saved, atol=2e-3)  # outputs are bytes, one level of which is 8e-3
    kept, also_kept = (torch.cat([one.structure.flatten() for one in way]) for way in (loop, reuse))
    assert torch.allclose(kept, also_kept, atol=1e-4)


def test_what_is_encoded_once_gives_the_pictures_that_are_encoded_for_every_pair(protocol: Protocol) -> None:
    """In float32, before outputs are rounded to bytes."""
    translator, pictures = protocol.examiner.translator, to_unit(protocol.examiner.sets[0].batch(range(11)))
    with torch.inference_mode():
        structures, styles = translator.encode_structure(pictures), translator.encode_style(pictures)
        for source, references in zip(protocol.sources, protocol.references, strict=True):
            once = translator.decode(structures[source].expand(3, -1, -1, -1), styles[references])
            shown, worn = pictures[source].expand(3, -1, -1, -1), pictures[references]
            anew = translator.translate(shown, translator.encode_style(worn))
            assert torch.allclose(once, anew, atol=1e-4)


def test_parts_add_up_to_what_a_translation_costs(protocol: Protocol) -> None:
    macs = protocol.macs()
    job = Job("translate", CONFIGS["cluit"](image_size=32, width=8), 1, CPU)
    assert 2 * (macs["style"] + macs["structure"] + macs["decode"]) == count_flops(
        job.build(Variant("float32", False))
    )
    assert macs["features"] > 0


def test_the_bound_follows_from_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    bench_evaluate(sources=4, each=2, image_size=32, width=4, rounds=1, device="cpu", json=True)
    record = json.loads(capsys.readouterr().out)
    macs, pairs = record["macs"], record["macs_per_pair"]
    assert pairs[LOOP] == sum(macs.values())
    assert pairs[LOOP] - pairs[REUSE] == pytest.approx((macs["style"] + macs["structure"]) / 2)
    assert record["bound"] == pytest.approx(pairs[LOOP] / pairs[REUSE])
    assert record["share_of_bound"] == pytest.approx(record["ratio"] / record["bound"])
    names = [LOOP, REUSE, *([HALF] if has_fast_bfloat16(CPU) else [])]
    assert [row["name"] for row in record["rows"]] == names
    assert record["rows"][0]["ratio"] == 1


def test_people_are_told_the_bound_and_how_much_of_it_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    bench_evaluate(sources=3, each=2, image_size=32, width=4, rounds=1, device="cpu", busy=True)
    assert "% of that bound" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"sources": 3, "each": 3}, "at least 4 pictures"),
        ({"rounds": 0}, "rounds"),
        ({"busy": True, "device": "cpu"}, "OMP_NUM_THREADS=1"),
        ({"image_size": 48}, "48"),
        ({"width": 0}, "width"),
        ({"batch_size": 0}, "batch size"),
        ({"features": "none"}, "unknown feature network"),
        ({"device": "tpu"}, "unknown device"),
    ],
)
def test_a_setting_out_of_range_is_one_sentence(
    wrong: dict[str, object], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(UserError, match=sentence):
        bench_evaluate(**wrong)  # type: ignore[arg-type]
