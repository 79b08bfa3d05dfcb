"""The step against the paper's equations, each computed on its own, and the traps that others fell into."""

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cluit.core.types import Batch, Descend
from cluit.engine.descent import Descent
from cluit.losses.adversarial import r1_penalty
from cluit.methods.starganv2.config import StarGANv2Config
from cluit.methods.starganv2.networks import Critic
from cluit.methods.starganv2.step import StarGANv2, neighbours, view

TINY = StarGANv2Config(
    image_size=32, width=4, style_dim=8, diversity_steps=10, domains=("cat", "dog", "wild")
)
NETWORKS = ("critic", "generator", "mapping", "style_encoder")


def labelled() -> Batch:
    """Four sources and four references, both in pairs of one class; no class is with itself."""
    return Batch(torch.rand(8, 3, 32, 32) * 2 - 1, torch.tensor([0, 0, 1, 1, 2, 2, 0, 0]))


def downhill(method: StarGANv2, rate: float = 0.1) -> Descent:
    """Plain gradient descent, whose moves are the gradients themselves: Adam would magnify rounding."""
    groups = {name: optimizer.param_groups[0]["params"] for name, optimizer in method.optimizers().items()}
    return Descent({name: torch.optim.SGD(weights, lr=rate) for name, weights in groups.items()})


def one_step(method: StarGANv2, batch: Batch, descend: Descend, t: int = 0) -> dict[str, float]:
    torch.manual_seed(1)
    return {name: value.item() for name, value in method.step(batch, descend, t).items()}


def weights_of(method: StarGANv2) -> dict[str, list[Tensor]]:
    return {
        name: [weight.detach().clone() for weight in optimizer.param_groups[0]["params"]]
        for name, optimizer in method.optimizers().items()
    }


def flat_weights(method: StarGANv2) -> dict[str, Tensor]:
    return {
        name: torch.cat([weight.flatten() for weight in weights])
        for name, weights in weights_of(method).items()
    }


def moves(method: StarGANv2, batch: Batch, t: int = 0) -> dict[str, list[Tensor]]:
    """By how much a step of plain descent moves each weight of each network."""
    before = weights_of(method)
    one_step(method, batch, downhill(method), t)
    after = weights_of(method)
    return {name: [a - b for a, b in zip(after[name], before[name], strict=True)] for name in before}


def plain_step(method: StarGANv2, batch: Batch, descend: Descent, t: int) -> dict[str, Tensor]:
    """One step as one would write it down: every loss by itself, every picture and code drawn anew."""
    torch.manual_seed(1)
    c, D, T = method.config, method.critic, method.translator
    G, F, E = T.generator, T.mapping, T.style_encoder
    assert batch.labels is not None
    images = view(batch.images, c.crop_share)
    x, x_ref, y, y_new = images[:4], images[4:], batch.labels[:4], batch.labels[4:]
    x_ref2 = x_ref[[1, 0, 3, 2]]
    z, z2 = torch.randn(8, c.latent_dim).chunk(2)
    diverse = c.diversity_weight * (1 - t / c.diversity_steps)
    log: dict[str, Tensor] = {}

    def draw(picture: Tensor, style: Tensor) -> Tensor:
        return G.decode(G.encode(picture), style)

    def critic_turn(kind: str, style: Callable[[], Tensor]) -> None:
        fake = draw(x, style()).detach()
        shown = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(D(shown, y).sum(), shown, create_graph=True)
        log[f"r1_{kind}"] = c.r1_gamma / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
        log[f"critic_{kind}"] = -D(x, y).sigmoid().log().mean() - (1 - D(fake, y_new).sigmoid()).log().mean()
        descend(log[f"critic_{kind}"] + log[f"r1_{kind}"], "critic")

    def generator_turn(
        kind: str, style: Callable[[], Tensor], style2: Callable[[], Tensor], *who: str
    ) -> None:
        fake, other = draw(x, style()), draw(x, style2()).detach()
        losses = {
            "fool": -D(fake, y_new).sigmoid().log().mean(),
            "style": (E(fake, y_new) - style()).abs().mean(),
            "diversity": (fake - other).abs().mean(),
            "cycle": (draw(fake, E(x, y)) - x).abs().mean(),
        }
        log.update({f"{name}_{kind}": loss for name, loss in losses.items()})
        weighed = c.style_weight * losses["style"] + c.cycle_weight * losses["cycle"]
        descend(losses["fool"] + weighed - diverse * losses["diversity"], *who)

    critic_turn("latent", lambda: F(z, y_new))
    critic_turn("reference", lambda: E(x_ref, y_new))
    everyone = ("generator", "mapping", "style_encoder")
    generator_turn("latent", lambda: F(z, y_new), lambda: F(z2, y_new), *everyone)
    generator_turn("reference", lambda: E(x_ref, y_new), lambda: E(x_ref2, y_new), "generator")
    return log


@pytest.mark.parametrize("t", [0, 4])
def test_what_the_step_shares_changes_neither_losses_nor_gradients(t: int) -> None:
    config = dataclasses.replace(TINY, style_weight=1.3, cycle_weight=0.7, diversity_weight=2.5, r1_gamma=0.5)
    shared, batch = StarGANv2(config), labelled()
    alone = copy.deepcopy(shared)
    before = flat_weights(shared)
    metrics = one_step(shared, batch, downhill(shared, 0.01), t)
    expected = plain_step(alone, batch, downhill(alone, 0.01), t)
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value.item(), rel=1e-4), name
    ours, theirs = flat_weights(shared), flat_weights(alone)
    for name in NETWORKS:  # about 1e-6, but for a unit that rounding moved across 0, where its slope changes
        error = (ours[name] - theirs[name]).norm() / (theirs[name] - before[name]).norm()
        assert error < 0.01, name


def test_the_neighbour_of_a_reference_is_the_second_of_its_class() -> None:
    labels = labelled().labels
    assert labels is not None
    assert neighbours(torch.arange(6)).tolist() == [1, 0, 3, 2, 5, 4]
    assert torch.equal(neighbours(labels), labels)
    assert torch.equal(neighbours(neighbours(torch.arange(8))), torch.arange(8))


def test_players_take_four_turns_and_only_the_generator_moves_in_the_last() -> None:
    method = StarGANv2(TINY)
    descend, turns = downhill(method), list[tuple[str, ...]]()

    def watched(loss: Tensor, *names: str) -> bool:
        before = weights_of(method)
        descend(loss, *names)
        moved = {
            name
            for name, after in weights_of(method).items()
            if any(not torch.equal(a, b) for a, b in zip(after, before[name], strict=True))
        }
        assert moved == set(names)
        turns.append(names)
        return True

    one_step(method, labelled(), watched)
    assert turns == [
        ("critic",),
        ("critic",),
        ("generator", "mapping", "style_encoder"),
        ("generator",),
    ]


def test_the_reference_turn_builds_on_the_encoder_that_has_just_moved() -> None:
    """Not on codes from before: with an encoder that moves, its style differs from the critic's turn."""
    method, batch = StarGANv2(TINY), labelled()
    still = one_step(method, batch, lambda *_: False)
    descend = downhill(method, 1.0)
    moved = one_step(
        method, batch, lambda loss, *who: descend(loss, "style_encoder") if len(who) > 1 else False
    )
    changed = {name for name in still if moved[name] != still[name]}
    assert changed == {f"{name}_reference" for name in ("fool", "style", "diversity", "cycle")}


@pytest.mark.parametrize("kept", ["style_weight", "cycle_weight"])
def test_the_encoder_learns_from_the_style_it_reads_and_from_the_way_back(kept: str) -> None:
    weights = {"style_weight": 0.0, "cycle_weight": 0.0, kept: 1.0}
    moved = moves(StarGANv2(dataclasses.replace(TINY, **weights)), labelled())  # type: ignore[arg-type]
    assert all(move.any() for move in moved["style_encoder"])


def test_nothing_else_reaches_the_encoder() -> None:
    """Neither the game nor the diversity does, in a turn with styles that the mapping network made."""
    moved = moves(StarGANv2(dataclasses.replace(TINY, style_weight=0.0, cycle_weight=0.0)), labelled())
    assert not any(move.any() for move in moved["style_encoder"])
    assert all(move.any() for move in moved["mapping"][:8])  # the layers that all domains share


def test_fakes_are_drawn_in_the_references_domain_and_sources_come_back_in_their_own() -> None:
    """Sources are of classes 1 and 2, references of 0 and 1: only their own heads learn from either."""
    batch = Batch(torch.rand(8, 3, 32, 32) * 2 - 1, torch.tensor([1, 1, 2, 2, 0, 0, 1, 1]))
    moved = moves(StarGANv2(dataclasses.replace(TINY, style_weight=0.0)), batch)
    backwards = moved["style_encoder"][-2].view(3, -1)  # without Eq. 2, the way back alone trains it
    assert backwards.any(dim=1).tolist() == [False, True, True]
    forwards = [moved["mapping"][8 + 8 * domain] for domain in range(3)]  # after 4 shared layers, 4 of each
    assert [bool(move.any()) for move in forwards] == [True, True, False]


def test_the_diversity_weight_depends_on_the_step_alone() -> None:
    """Neither on how often a step was taken nor on where a run was resumed: nothing is counted."""
    batch, resumed, worn = labelled(), StarGANv2(TINY), StarGANv2(TINY)
    worn.load_state_dict(resumed.state_dict())
    for _ in range(3):
        one_step(worn, batch, lambda *_: False)

    def losses_of(method: StarGANv2) -> list[float]:
        losses: list[float] = []

        def heard(loss: Tensor, *_: str) -> bool:
            losses.append(loss.item())
            return False

        one_step(method, batch, heard, t=5)
        return losses

    assert losses_of(resumed) == losses_of(worn)


@pytest.mark.parametrize(("t", "weight"), [(0, 2.0), (5, 1.0), (10, 0.0), (99, 0.0)])
def test_diversity_is_subtracted_at_its_weight_of_the_step(t: int, weight: float) -> None:
    method = StarGANv2(dataclasses.replace(TINY, style_weight=3.0, cycle_weight=5.0))
    losses = {
        name: torch.tensor(value)
        for name, value in {"fool": 1.0, "style": 10.0, "cycle": 100.0, "diversity": 1000.0}.items()
    }
    assert method.objective(losses, t).item() == pytest.approx(531 - weight * 1000)


def test_r1_is_of_real_pictures_at_every_turn_and_in_single_precision() -> None:
    method = StarGANv2(dataclasses.replace(TINY, r1_gamma=3.0, crop_share=0.0))
    batch = labelled()
    assert batch.labels is not None
    x, y = batch.images[:4], batch.labels[:4]
    shown = x.clone().requires_grad_()
    expected = 3.0 * r1_penalty(method.critic(shown, y), shown)
    for precision in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            _, penalty = method.critic_losses(x, y, batch.images[4:], batch.labels[4:])
        torch.testing.assert_close(penalty, expected)
    for t in range(3):
        metrics = one_step(method, batch, lambda *_: False, t)
        assert metrics["r1_latent"] == metrics["r1_reference"] > 0


def test_real_pictures_pass_the_critic_once_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = StarGANv2(TINY), list[int]()
    forward = Critic.forward

    def counted(self: Critic, images: Tensor, domain: Tensor) -> Tensor:
        seen.append(len(images))
        return forward(self, images, domain)

    monkeypatch.setattr(Critic, "forward", counted)
    one_step(method, labelled(), lambda *_: False)
    assert seen == [4, 4, 4, 4, 4, 4]  # real and fake, twice; and the generator's two fakes


def test_every_weight_has_a_gradient_in_bfloat16_too() -> None:
    """A half-precision copy made without gradients must not be used where they are needed."""
    method = StarGANv2(TINY)
    batch = Batch(labelled().images, torch.tensor([0, 0, 1, 1, 2, 2, 0, 0]))
    reached: dict[str, list[bool]] = {}

    def look(loss: Tensor, *names: str) -> bool:
        for name in names:
            weights = method.optimizers()[name].param_groups[0]["params"]
            found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
            reached[name] = [gradient is not None for gradient in found]
        return False

    with torch.autocast("cpu", torch.bfloat16):
        method.step(batch, look, 0)
    assert reached.keys() == set(NETWORKS)
    assert all(all(found) for found in reached.values())


def test_the_mapping_network_learns_a_hundredth_as_fast_and_all_weights_decay() -> None:
    rates = {name: o.param_groups[0]["lr"] for name, o in StarGANv2(TINY).optimizers().items()}
    assert rates == {"generator": 1e-4, "mapping": 1e-6, "style_encoder": 1e-4, "critic": 1e-4}
    for optimizer in StarGANv2(TINY).optimizers().values():
        assert optimizer.param_groups[0]["betas"] == (0.0, 0.99)
        assert optimizer.param_groups[0]["weight_decay"] == pytest.approx(1e-4)


def test_views_keep_their_order_and_are_mirrored_half_of_the_time() -> None:
    ramp = torch.linspace(-1, 1, 32).expand(200, 3, 32, 32)
    level = torch.arange(200.0)[:, None, None, None]
    views = view(ramp + level, crop_share=0.0) - level
    mirrored = (views[:, 0, 0, 0] > 0).float()
    torch.testing.assert_close(
        views, torch.where(mirrored[:, None, None, None] > 0, -ramp, ramp), atol=1e-3, rtol=0
    )
    assert 0.35 < mirrored.mean() < 0.65


def test_views_show_at_least_four_fifths_of_the_area() -> None:
    ramp = torch.linspace(-1, 1, 32).expand(200, 3, 32, 32)
    seen = view(ramp, crop_share=1.0)[:, 0, 0]
    side = (seen[:, -1] - seen[:, 0]).abs() / 2
    assert 0.8**0.5 - 0.01 < side.min() < 0.92
    assert 0.98 < side.max() < 1.001
    whole = (view(ramp, crop_share=0.5)[:, 0, 0].abs().amax(dim=1) > 0.9999).float()
    assert 0.35 < whole.mean() < 0.65


def test_features_are_what_the_style_encoders_heads_see() -> None:
    method, batch = StarGANv2(TINY), labelled()
    features = method.features(batch.images)
    assert features.shape == (8, 32)
    assert batch.labels is not None
    encoder = method.translator.style_encoder
    expected = encoder(batch.images, torch.zeros(8, dtype=torch.long))
    torch.testing.assert_close(encoder.heads(features)[:, :8], expected)
