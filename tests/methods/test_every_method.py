"""What holds for every method behind the two doors; a new one joins by its name in `CONFIGS`."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_methods import batch, built, config
from torch import Tensor

from cluit.core.chance import seed_step
from cluit.core.types import Method, Translator
from cluit.engine.average import Average
from cluit.engine.checkpoint import restore, training_state
from cluit.engine.descent import Descent
from cluit.engine.fit import step
from cluit.engine.log import Meter
from cluit.export import weights
from cluit.methods import CONFIGS
from cluit.nn.follow import warm_decay

every_method = pytest.mark.parametrize("name", CONFIGS)


def styles(name: str, translator: Translator, references: Tensor) -> Tensor:
    domain = torch.zeros(len(references), dtype=torch.long) if translator.domains else None
    return translator.encode_style(references, domain)


def stepped(name: str, method: Method, steps: range) -> list[dict[str, float]]:
    log = []
    for t in steps:
        seed_step(0, t)
        metrics = method.step(batch(name, t), Descent(method.optimizers()), t)
        log.append({key: value.item() for key, value in metrics.items()})
    return log


@every_method
def test_no_weight_is_idle(name: str) -> None:
    method = built(name)
    before = {key: value.clone() for key, value in method.named_parameters() if value.requires_grad}
    stepped(name, method, range(3))
    idle = [
        key for key, value in method.named_parameters() if key in before and torch.equal(value, before[key])
    ]
    assert not idle


@every_method
def test_each_descent_moves_only_its_own_networks(name: str) -> None:
    method = built(name)
    descend = Descent(method.optimizers())
    owned = {
        who: {id(weight) for group in optimizer.param_groups for weight in group["params"]}
        for who, optimizer in method.optimizers().items()
    }

    def watched(loss: Tensor, *names: str) -> bool:
        before = {id(weight): weight.detach().clone() for weight in method.parameters()}
        descend(loss, *names)
        moved = {id(weight) for weight in method.parameters() if not torch.equal(weight, before[id(weight)])}
        assert moved
        assert moved <= set().union(*(owned[who] for who in names))
        return True

    for t in range(3):
        seed_step(0, t)
        method.step(batch(name, t), watched, t)


@every_method
def test_every_weight_that_trains_has_one_optimizer(name: str) -> None:
    method = built(name)
    owned = [
        id(weight)
        for optimizer in method.optimizers().values()
        for group in optimizer.param_groups
        for weight in group["params"]
    ]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(weight) for weight in method.parameters() if weight.requires_grad}


@every_method
def test_a_resumed_method_is_the_same_method(name: str) -> None:
    straight = stepped(name, built(name), range(5))
    first, second = built(name), built(name)
    stepped(name, first, range(2))
    state = training_state(first, Average(first.translator), Meter(), 2, precision="float32", settings={})
    restore(copy.deepcopy(state), second, Average(second.translator), Meter())
    assert stepped(name, second, range(2, 5)) == straight[2:]


@every_method
def test_steps_in_bfloat16_stay_finite(name: str) -> None:
    method = built(name)
    for t in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            metrics = method.step(batch(name, t), Descent(method.optimizers()), t)
        assert all(torch.isfinite(value) for value in metrics.values())
    assert all(torch.isfinite(value).all() for value in method.state_dict().values())


@every_method
def test_metrics_wait_for_nobody(name: str) -> None:
    method = built(name)
    for t in range(3):
        metrics = method.step(batch(name), lambda *_: False, t)
        assert all(isinstance(value, Tensor) and value.shape == () for value in metrics.values())
        assert not any(value.requires_grad for value in metrics.values())


@every_method
def test_a_saved_and_loaded_translator_draws_the_same_picture(name: str, tmp_path: Path) -> None:
    method = built(name)
    stepped(name, method, range(3))
    translator = method.translator.eval()
    weights.save(tmp_path / "model", translator, {"method": name, "config": dataclasses.asdict(config(name))})
    loaded, _ = weights.load(tmp_path / "model", CONFIGS)
    source, reference = batch(name).images.chunk(2)
    with torch.no_grad():
        before = translator.translate(source, styles(name, translator, reference))
        assert torch.equal(loaded.translate(source, styles(name, loaded, reference)), before)
    assert loaded.domains == translator.domains


@every_method
def test_in_use_an_output_depends_on_its_own_source_and_reference_alone(name: str) -> None:
    translator = built(name).translator.eval()
    source, reference = batch(name).images.chunk(2)
    with torch.no_grad():
        together = translator.translate(source, styles(name, translator, reference))
        alone = translator.translate(source[:1], styles(name, translator, reference[:1]))
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4)


@every_method
def test_the_average_takes_in_every_weight_and_settles_at_its_decay(name: str) -> None:
    method = built(name)
    decays = [method.average_decay(t) for t in (0, 10, 100_000, 10_000_000)]
    assert decays == sorted(decays)
    assert decays[0] <= 0.5
    assert decays[-1] == getattr(config(name), "average_decay", 0)


@every_method
def test_features_are_a_vector_for_each_picture(name: str) -> None:
    features = built(name).features(batch(name).images)
    assert features.ndim == 2
    assert len(features) == 8


@every_method
def test_a_batch_in_parts_is_one_step_of_every_optimizer_and_fills_a_queue_as_the_whole_does(
    name: str,
) -> None:
    whole, parts = built(name), built(name)
    for method, number in ((whole, 1), (parts, 2)):
        for t in range(3):
            step(method, batch(name, t), Descent(method.optimizers(), number), t, seed=0)
    for who, optimizer in whole.optimizers().items():
        ours, theirs = (one.state_dict()["state"].values() for one in (parts.optimizers()[who], optimizer))
        assert [state["step"] for state in ours] == [state["step"] for state in theirs]
    heads = [method.state_dict().get("queue.head") for method in (whole, parts)]
    assert heads[0] == heads[1]


@pytest.mark.parametrize(
    ("name", "leader", "rate"),
    [("cluit", "critic", "learning_rate"), ("tunit", "translator.guide", "guide_learning_rate")],
)
def test_a_judge_follows_once_a_step_however_many_parts_it_has(name: str, leader: str, rate: str) -> None:
    method = built(name, **{rate: 0.01})
    descend = Descent(method.optimizers(), parts=2)
    for t in range(2):
        before = [weight.clone() for weight in method.get_submodule("judge").parameters()]
        step(method, batch(name, t), descend, t, seed=0)
    leading = method.get_submodule(leader).parameters()
    for old, now, led in zip(before, method.get_submodule("judge").parameters(), leading, strict=True):
        torch.testing.assert_close(now, old.lerp(led, 1 - warm_decay(0.999, t)))
