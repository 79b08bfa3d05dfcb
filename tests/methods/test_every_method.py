"""What holds for every method behind the two doors; a new one joins by its name in `CONFIGS`."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cluit.core.chance import seed_step
from cluit.core.types import Batch, Method
from cluit.engine.average import Average
from cluit.engine.checkpoint import restore, training_state
from cluit.engine.descent import Descent
from cluit.engine.log import Meter
from cluit.export import weights
from cluit.methods import CONFIGS

every_method = pytest.mark.parametrize("name", CONFIGS)


def built(name: str) -> Method:
    torch.manual_seed(0)
    return CONFIGS[name](image_size=32, width=4).build()


def batch(t: int = 0) -> Batch:
    return Batch(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(t)) * 2 - 1)


def stepped(method: Method, steps: range) -> list[dict[str, float]]:
    log = []
    for t in steps:
        seed_step(0, t)
        metrics = method.step(batch(t), Descent(method.optimizers()), t)
        log.append({key: value.item() for key, value in metrics.items()})
    return log


@every_method
def test_no_weight_is_idle(name: str) -> None:
    method = built(name)
    before = {key: value.clone() for key, value in method.named_parameters() if value.requires_grad}
    stepped(method, range(3))
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

    def watched(loss: Tensor, *names: str) -> None:
        before = {id(weight): weight.detach().clone() for weight in method.parameters()}
        descend(loss, *names)
        moved = {id(weight) for weight in method.parameters() if not torch.equal(weight, before[id(weight)])}
        assert moved
        assert moved <= set().union(*(owned[who] for who in names))

    seed_step(0, 0)
    method.step(batch(), watched, 0)


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
    straight = stepped(built(name), range(5))
    first, second = built(name), built(name)
    stepped(first, range(2))
    state = training_state(first, Average(first.translator), Meter(), 2, precision="float32", settings={})
    restore(copy.deepcopy(state), second, Average(second.translator), Meter())
    assert stepped(second, range(2, 5)) == straight[2:]


@every_method
def test_steps_in_bfloat16_stay_finite(name: str) -> None:
    method = built(name)
    for t in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            metrics = method.step(batch(t), Descent(method.optimizers()), t)
        assert all(torch.isfinite(value) for value in metrics.values())
    assert all(torch.isfinite(value).all() for value in method.state_dict().values())


@every_method
def test_metrics_wait_for_nobody(name: str) -> None:
    metrics = built(name).step(batch(), lambda *_: None, 0)
    assert all(isinstance(value, Tensor) and value.shape == () for value in metrics.values())
    assert not any(value.requires_grad for value in metrics.values())


@every_method
def test_a_saved_and_loaded_translator_draws_the_same_picture(name: str, tmp_path: Path) -> None:
    method = built(name)
    card = {"method": name, "config": dataclasses.asdict(CONFIGS[name](image_size=32, width=4))}
    weights.save(tmp_path / "model", method.translator, card)
    loaded, _ = weights.load(tmp_path / "model", CONFIGS)
    source, reference = batch().images.chunk(2)
    with torch.no_grad():
        before = method.translator.translate(source, method.translator.encode_style(reference))
        assert torch.equal(loaded.translate(source, loaded.encode_style(reference)), before)


@every_method
def test_features_are_a_vector_for_each_picture(name: str) -> None:
    features = built(name).features(batch().images)
    assert features.ndim == 2
    assert len(features) == 4
