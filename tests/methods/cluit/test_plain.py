"""The library's step against the plain one: the same losses, and the same moves of every weight."""

import copy
import dataclasses

import pytest
import torch

from cluit.apps.measure import PlainDescent
from cluit.core.types import Batch
from cluit.engine.descent import Descent
from cluit.methods.cluit.config import CluitConfig
from cluit.methods.cluit.plain import PlainCluit, PlainTranslator
from cluit.methods.cluit.step import Cluit

TINY = CluitConfig(
    image_size=32, width=4, style_dim=8, contrast_dim=16, queue_size=24, crop_min=0.5,
    contrast_weight=0.7, style_weight=1.3, cycle_weight=2.0, r1_gamma=0.5, r1_interval=2,
)  # fmt: skip


def pair(config: CluitConfig) -> tuple[Cluit, PlainCluit]:
    torch.manual_seed(0)
    ours, plain = config.build(), PlainCluit(config)
    plain.load_state_dict(copy.deepcopy(ours.state_dict()))
    return ours, plain


def downhill(kind: type[Descent], method: Cluit) -> Descent:
    """Plain gradient descent, whose moves are the gradients themselves: Adam would magnify rounding."""
    networks = {"critic": method.critic, "translator": method.translator}
    return kind({name: torch.optim.SGD(one.parameters(), lr=0.02) for name, one in networks.items()})


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("t", "patches"), [(0, 4), (1, 4), (1, 0)])
def test_the_default_step_equals_the_plain_one(layout: torch.memory_format, t: int, patches: int) -> None:
    """Step 0 has R1."""
    ours, plain = pair(dataclasses.replace(TINY, patches=patches))
    ours.to(memory_format=layout)  # type: ignore[call-overload]
    images = (torch.rand(8, 3, 32, 32) * 2 - 1).contiguous(memory_format=layout)
    heard = []
    for method, descend in ((ours, downhill(Descent, ours)), (plain, downhill(PlainDescent, plain))):
        torch.manual_seed(1)
        heard.append(method.step(Batch(images), descend, t))
    assert heard[0].keys() == heard[1].keys()
    assert ("r1" in heard[0]) == (t == 0)
    for name, value in heard[0].items():
        assert value.item() == pytest.approx(heard[1][name].item(), rel=1e-4), name
    for (name, a), b in zip(ours.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=name)


def test_the_default_translation_equals_the_plain_one() -> None:
    config = CluitConfig(image_size=32, width=8)
    translator = config.build_translator().eval()
    source, reference = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        other = PlainTranslator(config)
        other.load_state_dict(translator.state_dict())
        plain = other.translate(source, other.encode_style(reference))
        translator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        ours = translator.translate(source, translator.encode_style(reference))
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


def test_the_plain_optimizers_are_torchs_own_with_the_methods_rates() -> None:
    ours, plain = (method.optimizers() for method in pair(TINY))
    assert ours.keys() == plain.keys()
    for name, optimizer in plain.items():
        (own,), (theirs,) = ours[name].param_groups, optimizer.param_groups
        assert not theirs["fused"]
        assert all(own[key] == theirs[key] for key in ("lr", "betas", "eps", "weight_decay"))
