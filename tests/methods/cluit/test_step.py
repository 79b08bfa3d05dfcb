"""The step against the paper's equations, each computed on its own."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.core.types import Batch
from cluit.data.augment import Views
from cluit.engine.descent import Descent
from cluit.losses.adversarial import critic_loss, forger_loss, r1_penalty
from cluit.losses.contrastive import info_nce
from cluit.methods.cluit.config import CluitConfig
from cluit.methods.cluit.step import Cluit

TINY = CluitConfig(image_size=32, width=4, style_dim=8, contrast_dim=16, queue_size=24, crop_min=0.5)


def pictures(count: int = 8) -> Batch:
    return Batch(torch.rand(count, 3, 32, 32) * 2 - 1)


def one_step(method: Cluit, batch: Batch, t: int = 1) -> dict[str, float]:
    torch.manual_seed(1)
    metrics = method.step(batch, Descent(method.optimizers()), t)
    return {name: value.item() for name, value in metrics.items()}


def plain_step(method: Cluit, batch: Batch, descend: Descent) -> dict[str, Tensor]:
    """Step 1, without R1, as one would write it down: every loss by itself, every picture drawn anew."""
    torch.manual_seed(1)
    c, D, judge, queue = method.config, method.critic, method.judge, method.queue.keys.clone()
    G, E = method.translator.generator, method.translator.style_encoder
    source, reference = batch.images[:4], batch.images[4:]
    crop = Views(crop=(c.crop_min, c.crop_max))
    augment = Views(crop=(c.crop_min, c.crop_max), flip=True, affine=True, color=True)

    key = judge.embed(augment(batch.images)).detach()
    wanted = [judge.embed(patch) for patch in crop(torch.cat([reference] * c.patches)).chunk(c.patches)]
    contrast = info_nce(D.embed(crop(batch.images)), key, queue, c.temperature)
    fake = G.decode(G.encode(source), E(reference)).detach()
    realism = critic_loss(D.realness(batch.images), D.realness(fake))
    descend(realism + c.contrast_weight * contrast, "critic")

    fake = G.decode(G.encode(source), E(reference))
    seen = [D.embed(patch) for patch in crop(torch.cat([fake] * c.patches)).chunk(c.patches)]
    mean_seen, mean_wanted = (F.normalize(sum(parts), dim=1) for parts in (seen, wanted))  # type: ignore[arg-type]
    style = info_nce(mean_seen, mean_wanted.detach(), queue, c.temperature)
    fool = forger_loss(D.realness(fake))
    cycle = (G.decode(G.encode(fake), E(source)) - source).abs().mean()
    descend(fool + c.style_weight * style + c.cycle_weight * cycle, "translator")
    return {"contrast": contrast, "critic": realism, "fool": fool, "style": style, "cycle": cycle}


def test_what_the_step_shares_changes_neither_losses_nor_gradients() -> None:
    config = dataclasses.replace(TINY, contrast_weight=0.7, style_weight=1.3, cycle_weight=2.0)
    shared, batch = Cluit(config), pictures()
    alone = copy.deepcopy(shared)
    torch.manual_seed(1)
    metrics = shared.step(batch, downhill(shared), 1)
    for name, value in plain_step(alone, batch, downhill(alone)).items():
        assert metrics[name].item() == pytest.approx(value.item(), rel=1e-4), name
    for network in ("critic", "translator"):
        ours, theirs = getattr(shared, network).parameters(), getattr(alone, network).parameters()
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def downhill(method: Cluit) -> Descent:
    """Plain gradient descent, whose moves are the gradients themselves: Adam would magnify rounding."""
    networks = {"critic": method.critic, "translator": method.translator}
    return Descent({name: torch.optim.SGD(net.parameters(), lr=0.1) for name, net in networks.items()})


def test_r1_comes_every_interval_as_many_times_as_strong() -> None:
    method = Cluit(dataclasses.replace(TINY, r1_gamma=3.0, r1_interval=4))
    images = pictures().images
    shown = images.clone().requires_grad_()
    expected = 3.0 * 4 * r1_penalty(method.critic.realness(shown), shown)
    penalty = method.lazy_r1(images, t=8)
    assert penalty is not None
    torch.testing.assert_close(penalty, expected)
    assert [t for t in range(9) if method.lazy_r1(images, t) is not None] == [0, 4, 8]
    assert Cluit(dataclasses.replace(TINY, r1_gamma=0.0)).lazy_r1(images, t=0) is None


def test_the_queue_holds_keys_of_real_pictures_only_and_all_of_them() -> None:
    method = Cluit(TINY)
    before = method.queue.keys.clone()
    one_step(method, pictures(8))
    changed = (method.queue.keys != before).any(dim=1)
    assert changed[:8].all()
    assert not changed[8:].any()
    torch.testing.assert_close(method.queue.keys.norm(dim=1), torch.ones(24))


def test_the_judge_lags_behind_the_critic_and_nobody_trains_it() -> None:
    method = Cluit(TINY)
    old = [weight.clone() for weight in method.judge.parameters()]
    one_step(method, pictures(), t=1000)
    decay = min(TINY.average_decay, 1001 / 1010)  # the second, while the average still warms up
    for lagging, before, leading in zip(
        method.judge.parameters(), old, method.critic.parameters(), strict=True
    ):
        torch.testing.assert_close(lagging, decay * before + (1 - decay) * leading)
        assert not lagging.requires_grad


def test_no_gradient_of_the_style_match_reaches_the_key() -> None:
    """The key and the queue are targets: the critic alone learns what style is, by Eq. 1."""
    method = Cluit(dataclasses.replace(TINY, contrast_weight=0.0))
    before = copy.deepcopy(method.critic.contrast_head.state_dict())
    one_step(method, pictures())
    for name, weight in method.critic.contrast_head.state_dict().items():
        assert torch.equal(weight, before[name]), name


def test_the_first_half_are_inputs_and_the_second_references() -> None:
    """The cycle comes back to the first half, through fakes in the style of the second."""
    method = Cluit(TINY)
    still = {
        name: torch.optim.SGD(o.param_groups[0]["params"], lr=0.0) for name, o in method.optimizers().items()
    }
    batch = pictures()
    G, E = method.translator.generator, method.translator.style_encoder
    for images in (batch.images, batch.images.roll(4, dims=0)):
        metrics = method.step(Batch(images), Descent(still), 1)
        source, reference = images.chunk(2)
        with torch.no_grad():
            fake = G.decode(G.encode(source), E(reference))
            cycle = (G.decode(G.encode(fake), E(source)) - source).abs().mean()
        torch.testing.assert_close(metrics["cycle"], cycle)


def test_starting_weights_give_way() -> None:
    config = dataclasses.replace(TINY, reconstruction_weight_start=2.0, settle_steps=10)
    assert "reconstruction" in one_step(Cluit(config), pictures(), t=9)
    assert "reconstruction" not in one_step(Cluit(config), pictures(), t=10)


def test_equivariance_touches_no_other_term_and_moves_the_generator() -> None:
    plain, equivariant = (Cluit(dataclasses.replace(TINY, equivariance_weight=w)) for w in (0.0, 50.0))
    equivariant.load_state_dict(plain.state_dict())
    batch = pictures()
    without, with_it = (one_step(method, batch) for method in (plain, equivariant))
    assert with_it.pop("equivariance") > 0
    assert with_it == without
    one, other = (method.translator.generator.rgb.weight for method in (plain, equivariant))
    assert not torch.allclose(one, other)


@pytest.mark.parametrize(("follows", "low", "high"), [(True, 0.0, 1e-6), (False, 0.1, 2.0)])
def test_who_follows_the_source_is_equivariant_and_who_ignores_it_is_not(
    follows: bool, low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, batch = Cluit(dataclasses.replace(TINY, equivariance_weight=1.0)), pictures()
    negative = -batch.images[:1]
    monkeypatch.setattr(method.translator.generator, "encode", lambda images: images)
    monkeypatch.setattr(
        method.translator.generator,
        "decode",
        lambda structure, style: -structure if follows else negative.expand_as(structure),
    )
    metrics = method.step(batch, lambda loss, *names: True, 1)
    assert low <= metrics["equivariance"].item() <= high


def test_a_view_of_the_reference_is_for_the_style_encoder_only() -> None:
    """And of the source too, where its own style leads back to it: else that would hold its pose."""
    config = dataclasses.replace(TINY, reconstruction_weight_start=1.0)
    plain, viewed = (Cluit(dataclasses.replace(config, view_reference=flag)) for flag in (False, True))
    viewed.load_state_dict(plain.state_dict())
    one, other = (one_step(method, pictures()) for method in (plain, viewed))
    assert one["style"] != other["style"]
    assert one["reconstruction"] != other["reconstruction"]


@pytest.mark.parametrize("augmentation", ["color", "color+affine"])
def test_the_sets_of_table_two_differ_by_the_affine_map(augmentation: str) -> None:
    method = Cluit(dataclasses.replace(TINY, augmentation=augmentation))  # type: ignore[arg-type]
    assert method.augment.affine == (augmentation == "color+affine")
    assert method.augment.flip
    assert method.augment.color
    assert method.crop == Views(crop=(0.5, 1.0))  # the query is cropped from the same range, and no more


def test_noise_on_the_way_back_touches_the_cycle_alone() -> None:
    plain, noisy = (Cluit(dataclasses.replace(TINY, cycle_noise=noise)) for noise in (0.0, 0.5))
    noisy.load_state_dict(plain.state_dict())
    batch = pictures()
    clear, blurred = one_step(plain, batch), one_step(noisy, batch)
    assert [name for name in clear if clear[name] != blurred[name]] == ["cycle"]


def test_noise_before_the_critic_touches_whatever_it_judges_and_nothing_else() -> None:
    plain, noisy = (Cluit(dataclasses.replace(TINY, critic_noise=noise)) for noise in (0.0, 0.5))
    noisy.load_state_dict(plain.state_dict())
    batch = pictures()
    clear, blurred = one_step(plain, batch, t=1), one_step(noisy, batch, t=1)
    assert [name for name in clear if clear[name] != blurred[name]] == ["contrast", "critic", "fool", "style"]
