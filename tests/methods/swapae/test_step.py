"""The step against the paper's objectives, each term computed on its own."""

import copy
import dataclasses
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.core.types import Batch
from cluit.engine.average import Average
from cluit.engine.descent import Descent
from cluit.methods.swapae.config import SwapAEConfig
from cluit.methods.swapae.step import SwapAE, mirrored

TINY = SwapAEConfig(image_size=32, width=4, crops=2, flip=False)


def pictures(count: int = 4) -> Tensor:
    return torch.rand(count, 3, 32, 32) * 2 - 1


def downhill(method: SwapAE) -> Descent:
    """Plain gradient descent, whose moves are the gradients themselves: Adam would magnify rounding."""
    owned = {name: optimizer.param_groups[0]["params"] for name, optimizer in method.optimizers().items()}
    return Descent({name: torch.optim.SGD(weights, lr=0.05) for name, weights in owned.items()})


def real(logits: Tensor) -> Tensor:
    return -F.logsigmoid(logits).mean()


def fake(logits: Tensor) -> Tensor:
    return -F.logsigmoid(-logits).mean()


def compared(method: SwapAE, references: Tensor, targets: Tensor) -> Tensor:
    """(N, K) logits of K patches beside K reference patches, one patch of one picture at a time."""
    P = method.patch_critic
    rows = []
    for reference, target in zip(references, targets, strict=True):
        mean = torch.stack([P.embed(patch[None, None])[0, 0] for patch in reference]).mean(dim=0)
        seen = [P.embed(patch[None, None])[0, 0] for patch in target]
        rows.append(torch.cat([P.pair(torch.cat([mean, one])) for one in seen]))
    return torch.stack(rows)


def drawn(method: SwapAE, images: Tensor) -> tuple[Tensor, Tensor]:
    """Half of the pictures rebuilt, and all textures on the neighbours' structures, one by one."""
    T = method.translator
    structures, textures = (
        [encode(one[None]) for one in images] for encode in (T.encode_structure, T.encode_style)
    )
    rebuilt = [T.decode(structures[i], textures[i]) for i in range(len(images) // 2)]
    mixed = [T.decode(structures[i + 1 if i % 2 == 0 else i - 1], textures[i]) for i in range(len(images))]
    return torch.cat(rebuilt), torch.cat(mixed)


def slope(value: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """‖∇‖² of a function's sum, differentiable."""
    at = at.detach().requires_grad_()
    return torch.autograd.grad(value(at).sum(), at, create_graph=True)[0].square().sum()


def plain_critic_turn(method: SwapAE, images: Tensor, descend: Descent) -> dict[str, Tensor]:
    c, D, n = method.config, method.critic, len(images)
    rebuilt, mixed = (picture.detach() for picture in drawn(method, images))
    realism = real(D(images)) + 0.5 * fake(D(rebuilt)) + 0.5 * fake(D(mixed))
    own, other = method.patches(images, 2 * c.crops), method.patches(mixed, c.crops)
    references, targets = own[:, : c.crops], own[:, c.crops :]
    texture = real(compared(method, references, targets)) + fake(compared(method, references, other))
    descend(c.realism_weight * realism + c.patch_weight * texture, "critic")

    own = method.patches(images, 2 * c.crops)
    r1 = torch.zeros(())
    for i in range(n):
        reference, target = own[i : i + 1, : c.crops], own[i : i + 1, c.crops :]
        to_reference, to_target = (
            partial(compared, method, targets=target),
            partial(compared, method, reference),
        )
        r1 = r1 + c.r1_gamma / 2 * slope(D, images[i : i + 1]) / n
        r1 = r1 + c.patch_r1_gamma / 4 * (slope(to_reference, reference) + slope(to_target, target)) / n
    descend(c.r1_interval * r1, "critic")
    return {"critic": realism, "patch_critic": texture, "r1": r1}


def plain_autoencoder_turn(method: SwapAE, images: Tensor, descend: Descent) -> dict[str, Tensor]:
    c, D = method.config, method.critic
    rebuilt, mixed = drawn(method, images)
    keep = (rebuilt - images[: len(images) // 2]).abs().mean()
    fool = 0.5 * real(D(rebuilt)) + real(D(mixed))
    references = method.patches(images, c.crops)
    wear = real(compared(method, references, method.patches(mixed, c.crops)))
    descend(c.reconstruction_weight * keep + c.realism_weight * fool + c.patch_weight * wear, "autoencoder")
    return {"reconstruction": keep, "fool": fool, "texture": wear}


@pytest.mark.parametrize(("t", "turn"), [(0, plain_critic_turn), (1, plain_autoencoder_turn)])
def test_what_the_step_shares_changes_neither_losses_nor_gradients(
    t: int, turn: Callable[[SwapAE, Tensor, Descent], dict[str, Tensor]]
) -> None:
    config = dataclasses.replace(
        TINY,
        reconstruction_weight=3.0,
        realism_weight=0.7,
        patch_weight=1.3,
        r1_gamma=0.4,
        patch_r1_gamma=0.9,
    )
    shared, images = SwapAE(config).eval(), pictures()  # in use there is no noise, so chance is patches alone
    alone = copy.deepcopy(shared)
    state = torch.get_rng_state()
    metrics = shared.step(Batch(images), downhill(shared), t)
    torch.set_rng_state(state)
    expected = turn(alone, images, downhill(alone))
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(metrics[name], value.detach(), rtol=1e-4, atol=1e-6, msg=name)
    for (name, a), b in zip(shared.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=name)


def descents(method: SwapAE, steps: range) -> list[list[str]]:
    """Whose weights moved, in each of the steps."""
    log = []
    for t in steps:
        names: list[str] = []
        method.step(Batch(pictures()), lambda _, *who, names=names: names.extend(who), t)
        log.append(names)
    return log


def test_critics_and_autoencoder_take_turns_and_r1_comes_every_16_turns_of_the_critics() -> None:
    """Of the critics' turns, not of the steps: and in a descent of its own."""
    log = descents(SwapAE(TINY), range(34))
    assert [names[0] for names in log] == 17 * ["critic", "autoencoder"]
    assert {t: names for t, names in enumerate(log) if len(names) > 1} == {t: ["critic"] * 2 for t in (0, 32)}


def test_r1_is_as_many_times_as_strong_as_it_is_rare() -> None:
    method = SwapAE(dataclasses.replace(TINY, r1_interval=5))
    losses: list[Tensor] = []

    def heard(loss: Tensor, *_: str) -> bool:
        losses.append(loss.detach())
        return False

    metrics = method.step(Batch(pictures()), heard, 10)
    torch.testing.assert_close(losses[1], 5 * metrics["r1"])


def test_r1_moves_no_bias_that_it_does_not_reach() -> None:
    """The last biases shift all logits alike; with a first moment they would coast on in R1's step."""
    method = SwapAE(dataclasses.replace(TINY, beta1=0.9, r1_interval=1))
    descend = Descent(method.optimizers())
    weights = dict(method.named_parameters())
    last = [weights["critic.head.1.bias"], weights["patch_critic.pair.3.bias"]]
    moved: list[list[bool]] = []

    def watched(loss: Tensor, *names: str) -> bool:
        before = [bias.detach().clone() for bias in last]
        descend(loss, *names)
        moved.append([not torch.equal(a, b) for a, b in zip(before, last, strict=True)])
        return True

    method.step(Batch(pictures()), watched, 0)
    assert moved == [[True, True], [False, False]]
    states = [method.optimizers()["critic"].state[bias]["step"].item() for bias in last]
    assert states == [1, 1]


def test_the_critics_steps_are_shorter_by_what_r1_adds() -> None:
    autoencoder, critic = (
        SwapAE(TINY).optimizers()[name].param_groups[0] for name in ("autoencoder", "critic")
    )
    assert (autoencoder["lr"], autoencoder["betas"]) == (0.002, (0.0, 0.99))
    assert critic["lr"] == pytest.approx(0.002 * 16 / 17)
    assert critic["betas"] == (0.0, pytest.approx(0.99 ** (16 / 17)))


def test_on_the_critics_turn_the_autoencoder_keeps_no_graph() -> None:
    method = SwapAE(TINY)
    graphs: list[bool] = []
    method.translator.generator.register_forward_hook(lambda *call: graphs.append(call[-1].requires_grad))
    descents(method, range(2))
    assert graphs == [False, True]


def test_every_network_is_run_as_seldom_as_the_objectives_allow() -> None:
    """One pass of each; R1 is another, and references on the autoencoder's turn one without a graph."""
    method = SwapAE(TINY)
    passes = {"encoder": 0, "generator": 0, "critic": 0, "patches": 0}

    def count(name: str, network: nn.Module) -> None:
        network.register_forward_hook(lambda *_: passes.update({name: passes[name] + 1}))

    count("encoder", method.translator.encoder)
    count("generator", method.translator.generator)
    count("critic", method.critic)
    count("patches", method.patch_critic.last)
    descents(method, range(2, 3))
    assert passes == {"encoder": 1, "generator": 1, "critic": 1, "patches": 1}
    descents(method, range(1))
    assert passes == {"encoder": 2, "generator": 2, "critic": 3, "patches": 3}
    descents(method, range(1, 2))
    assert passes == {"encoder": 3, "generator": 3, "critic": 4, "patches": 5}


@pytest.mark.parametrize("t", [0, 1])
def test_in_bfloat16_every_weight_whose_turn_it_is_gets_a_gradient_and_no_other(t: int) -> None:
    """A half-precision copy made without a graph must not stand in for the weight later in the step."""
    method = SwapAE(TINY)
    reached: set[str] = set()

    def watched(loss: Tensor, *_: str) -> bool:
        loss.backward()
        reached.update(name for name, weight in method.named_parameters() if weight.grad is not None)
        method.zero_grad()
        return False

    with torch.autocast("cpu", torch.bfloat16):
        method.step(Batch(pictures()), watched, t)
    names = {name for name, _ in method.named_parameters()}
    theirs = {name for name in names if name.startswith("translator.")}
    if t:
        assert theirs <= reached
    else:
        assert reached == names - theirs


def test_r1_is_in_float32_also_under_autocast() -> None:
    method, images = SwapAE(TINY), pictures()
    state = torch.get_rng_state()
    full = method.r1(images)
    torch.set_rng_state(state)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(method.r1(images), full)


def test_the_model_in_use_is_the_latest_and_no_average() -> None:
    method = SwapAE(TINY)
    average = Average(method.translator)
    method.step(Batch(pictures()), Descent(method.optimizers()), 1)
    average.follow(method.translator, method.average_decay(1))
    for a, b in zip(average.translator.parameters(), method.translator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_half_of_the_pictures_are_mirrored_where_that_is_asked_for() -> None:
    images = pictures(64)
    shown = mirrored(images)
    flipped = [torch.equal(a, b.flip(2)) for a, b in zip(shown, images, strict=True)]
    as_it_was = [torch.equal(a, b) for a, b in zip(shown, images, strict=True)]
    assert all(a != b for a, b in zip(flipped, as_it_was, strict=True))
    assert 16 < sum(flipped) < 48


def test_style_is_judged_by_the_texture_code() -> None:
    method, images = SwapAE(TINY), pictures()
    torch.testing.assert_close(method.features(images), method.translator.encode_style(images))
