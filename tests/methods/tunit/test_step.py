"""The step against its equations, each computed on its own, and against the traps of its kind."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.core.chance import seed_step
from cluit.core.types import Batch
from cluit.data.augment import Views
from cluit.engine.descent import Descent
from cluit.methods.tunit.config import TunitConfig
from cluit.methods.tunit.step import Tunit

TINY = TunitConfig(image_size=32, width=4, clusters=3, style_dim=8, queue_size=20, warmup_steps=2)
LABELS = torch.tensor([0, -1, 2, 1, -1, -1, 0, 2])


def built(**changes: object) -> Tunit:
    torch.manual_seed(0)
    return Tunit(dataclasses.replace(TINY, **changes))  # type: ignore[arg-type]


def batch(labels: Tensor | None = None) -> Batch:
    """Eight pictures, each of its own colour, with noise."""
    chance = torch.Generator().manual_seed(5)
    color, noise = torch.rand(8, 3, 1, 1, generator=chance), torch.rand(8, 3, 32, 32, generator=chance)
    return Batch(color + noise - 1, labels)


def downhill(method: Tunit, rate: float = 0.01) -> Descent:
    """Plain gradient descent, whose moves are the gradients themselves: Adam would magnify rounding."""
    networks = {
        "guide": method.translator.guide,
        "generator": method.translator.generator,
        "critic": method.critic,
    }
    return Descent({name: torch.optim.SGD(net.parameters(), lr=rate) for name, net in networks.items()})


def one_step(method: Tunit, t: int, labels: Tensor | None = None, rate: float = 0.0) -> dict[str, float]:
    """Where nothing moves, unless a ``rate`` is given."""
    seed_step(0, t)
    metrics = method.step(batch(labels), downhill(method, rate), t)
    return {name: value.item() for name, value in metrics.items()}


def speak_up(method: Tunit) -> None:
    """At first two views' clusters share so little that only rounding would be compared."""
    with torch.no_grad():
        for weight in method.translator.guide.cluster_head.parameters():
            weight.mul_(100)


def contrast(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    wanted = torch.einsum("ns,ns->n", query, key) / temperature
    others = torch.einsum("ns,qs->nq", query, queue) / temperature
    return (torch.logaddexp(wanted, others.logsumexp(dim=1)) - wanted).mean()


def information(p: Tensor, q: Tensor) -> Tensor:
    joint = p.softmax(dim=1).T @ q.softmax(dim=1) / len(p)
    joint = (joint + joint.T) / 2
    return (joint * (joint / (joint.sum(0)[None] * joint.sum(1)[:, None])).log()).sum()


def plain_step(method: Tunit, images: Tensor, descend: Descent) -> dict[str, Tensor]:
    """A joint step as one would write it down: every loss by itself, every picture drawn and judged anew."""
    c, G, C, D = method.config, method.translator.generator, method.translator.guide, method.critic
    judge, queue = method.judge, method.queue.keys.clone()
    x, view = method.flip(images), method.augment(images)

    moco = contrast(C(x)[1], judge(view)[1].detach(), queue, c.temperature)
    shared = information(C(x)[0], C(view)[0])
    descend(0.1 * (moco - c.information_weight * shared), "guide")

    order = torch.randperm(8)
    reference, n = x[order], torch.arange(8)
    own_cluster, cluster = C(x)[0].argmax(dim=1), C(reference)[0].argmax(dim=1)
    fake = G.decode(G.encode(x), C(reference)[1]).detach()
    shown = reference.clone().requires_grad_()
    (slope,) = torch.autograd.grad(D(shown, cluster).sum(), shown, create_graph=True)
    r1 = 10 * slope.square().sum(dim=(1, 2, 3)).mean()
    hinge = (1 - D(reference, cluster)).clamp(min=0).mean() + (1 + D(fake, cluster)).clamp(min=0).mean()
    descend(hinge + r1, "critic")

    fake, own = G.decode(G.encode(x), C(reference)[1]), G.decode(G.encode(x), C(x)[1])
    fool = -D(fake, cluster)[n, 0].mean() - D(own, own_cluster)[n, 0].mean()
    keep = (own - x).abs().mean()
    style = contrast(C(fake)[1], judge(reference)[1].detach(), queue, c.temperature)
    descend(fool + c.reconstruction_weight * keep + c.style_weight * style, "generator", "guide")
    return {
        **{"contrast": moco, "information": shared, "critic": hinge, "r1": r1, "fool": fool},
        **{"reconstruction": keep, "style": style},
    }


def test_what_the_step_shares_changes_neither_losses_nor_gradients() -> None:
    shared = built(style_weight=0.3, reconstruction_weight=2.0)
    speak_up(shared)
    alone = copy.deepcopy(shared)
    seed_step(0, 2)
    metrics = shared.step(batch(), downhill(shared), 2)
    seed_step(0, 2)
    expected = plain_step(alone, batch().images, downhill(alone))
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        assert metrics[name].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-6), name
    for network in ("critic", "translator"):
        ours, theirs = getattr(shared, network), getattr(alone, network)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_before_the_generator_joins_only_the_guide_and_its_judge_move() -> None:
    method = built()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    metrics = [one_step(method, t, rate=0.1) for t in (0, 1)]
    moved = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in moved} == {"translator", "judge", "queue"}
    assert not any("generator" in name for name in moved)
    assert all(m.keys() == {"contrast", "information"} for m in metrics)


def test_the_guide_descends_alone_then_the_critic_then_generator_and_guide() -> None:
    method, players = built(), list[tuple[str, ...]]()

    def heard(loss: Tensor, *names: str) -> bool:
        players.append(names)
        return False

    for t in range(3):
        method.step(batch(), heard, t)
    assert players == [("guide",), ("guide",), ("guide",), ("critic",), ("generator", "guide")]


def test_once_joint_the_guides_own_objective_weighs_a_tenth() -> None:
    losses = list[float]()
    for t, kept in ((1, 0), (2, 1)):
        method = built()
        seed_step(0, 0)
        heard = list[float]()
        metrics = method.step(batch(), lambda loss, *names, heard=heard: heard.append(loss.item()), t)
        whole = metrics["contrast"] - 5 * metrics["information"]
        assert heard[0] == pytest.approx(whole.item() * (0.1 if kept else 1))
        losses.append(heard[0])
    assert losses[1] == pytest.approx(0.1 * losses[0])


def test_no_gradient_reaches_judge_or_keys() -> None:
    method = built()
    for t in range(3):
        one_step(method, t, rate=0.01)
    assert not any(weight.requires_grad or weight.grad is not None for weight in method.judge.parameters())
    assert not method.queue.keys.requires_grad


def test_the_styles_gradient_reaches_the_guide_through_the_generator() -> None:
    """The guide learns from the adversary too: else "generator", "guide" would be the generator alone."""
    method = built(joint_weight=0.0, style_weight=0.0, guide_weight_decay=0.0)
    before = copy.deepcopy(method.translator.guide.style_head.state_dict())
    one_step(method, 2, rate=0.1)
    assert not torch.equal(method.translator.guide.style_head.weight, before["weight"])


@pytest.mark.parametrize("t", [2, 3, 17])
def test_r1_comes_at_every_joint_step(t: int) -> None:
    assert one_step(built(), t)["r1"] > 0
    assert one_step(built(r1_gamma=0.0), t)["r1"] == 0


def test_r1_is_half_gamma_times_the_squared_gradient_even_within_autocast() -> None:
    method, images, cluster = built(r1_gamma=20.0), batch().images, torch.arange(8) % 3
    shown = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(method.critic(shown, cluster).sum(), shown)
    with torch.autocast("cpu", torch.bfloat16):
        logits, penalty = method.real_and_r1(images, cluster)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(penalty, 10 * slope.square().sum(dim=(1, 2, 3)).mean())


def test_the_first_batch_fills_the_queue_and_each_later_one_replaces_the_oldest_keys() -> None:
    method = built()
    seed_step(0, 0)
    method.flip(batch().images)
    first = method.judge(method.augment(batch().images))[1].detach()
    one_step(method, 0)
    torch.testing.assert_close(
        method.queue.keys.sort(dim=0).values, first.repeat(3, 1)[4:].sort(dim=0).values
    )
    before, head = method.queue.keys.clone(), int(method.queue.head)
    one_step(method, 1)
    changed = (method.queue.keys != before).any(dim=1)
    assert changed.nonzero().flatten().tolist() == sorted((head + i) % 20 for i in range(8))


def test_a_queue_lost_on_resume_would_make_another_run() -> None:
    straight = built()
    for t in range(3):
        one_step(straight, t)
    state = straight.state_dict()
    assert {"queue.keys", "queue.head"} <= state.keys()
    kept, lost = built(), built()
    kept.load_state_dict(state)
    lost.load_state_dict({**state, "queue.keys": lost.queue.keys})
    expected = one_step(straight, 3)
    assert one_step(kept, 3) == expected
    other = one_step(lost, 3)
    assert {name for name in expected if other[name] != expected[name]} == {"contrast", "style"}


@pytest.mark.parametrize("t", [1, 40, 1_000_000])
def test_how_far_the_judge_lags_is_a_function_of_the_step(t: int) -> None:
    method = built(warmup_steps=2_000_000)
    with torch.no_grad():
        for weight in method.translator.guide.parameters():
            weight.add_(0.1)
    old = [weight.clone() for weight in method.judge.parameters()]
    one_step(method, t)
    decay = min(0.999, (1 + t) / (10 + t))
    leading = method.translator.guide.parameters()
    for lagging, before, now in zip(method.judge.parameters(), old, leading, strict=True):
        torch.testing.assert_close(lagging, decay * before + (1 - decay) * now)


def test_running_statistics_are_of_the_first_view_alone_and_the_judges_are_the_guides() -> None:
    """Of pictures as they are met in use: neither distorted views nor fakes leave a trace."""
    method = built()
    plain = copy.deepcopy(method.translator.guide)
    seed_step(0, 2)
    images = method.flip(batch().images)
    plain(images)  # for the guide's own objective
    plain(images)  # for styles and pseudo-labels, where the guide has not moved
    one_step(method, 2)
    for guide in (method.translator.guide, method.judge):
        for ours, theirs in zip(guide.buffers(), plain.buffers(), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_features_are_of_the_picture_alone_and_leave_no_trace() -> None:
    method, images = built(), batch().images
    one_step(method, 0)
    before = copy.deepcopy(method.state_dict())
    with torch.no_grad():
        together, alone = method.features(images), method.features(images[:1])
    torch.testing.assert_close(together[:1], alone)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert method.translator.guide.training
    with torch.no_grad():
        torch.testing.assert_close(method.translator.eval().encode_style(images), together)


def test_the_average_begins_when_the_generator_does() -> None:
    method = built(warmup_steps=100)
    assert [method.average_decay(t) for t in (0, 50, 99)] == [0, 0, 0]
    assert [method.average_decay(t) for t in (100, 101)] == [0.1, 2 / 11]
    assert method.average_decay(100_000) == 0.999
    assert built(warmup_steps=100, labelled=1.0).average_decay(0) == 0.1


def test_a_label_takes_the_place_of_clustering_for_its_picture_alone() -> None:
    method = built(labelled=0.5)
    speak_up(method)
    seed_step(0, 0)
    with torch.no_grad():
        plain = copy.deepcopy(method.translator.guide)
        images, view = method.flip(batch().images), method.augment(batch().images)
        p, q = plain(images)[0], plain(view)[0]
    metrics = one_step(method, 0, LABELS)
    free, told = LABELS < 0, LABELS >= 0
    assert metrics["information"] == pytest.approx(information(p[free], q[free]).item(), abs=1e-6)
    assert metrics["label"] == pytest.approx(F.cross_entropy(p[told], LABELS[told]).item(), rel=1e-4)


def test_pictures_without_a_label_wait_for_their_step() -> None:
    method = built(labelled=0.5, information_from=1)
    assert one_step(method, 0, LABELS).keys() == {"contrast", "label"}
    assert one_step(method, 1, LABELS).keys() == {"contrast", "label", "information"}


def test_where_every_label_is_told_nothing_is_clustered_and_the_generator_trains_at_once() -> None:
    metrics = one_step(built(labelled=1.0), 0, LABELS.clamp(min=0))
    assert {"label", "fool"} <= metrics.keys()
    assert "information" not in metrics


def test_the_critic_is_asked_for_a_told_class_and_else_for_the_guides_cluster() -> None:
    method, asked = built(labelled=0.5), list[Tensor]()
    hook = method.critic.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[1]))
    one_step(method, 2, LABELS)
    hook.remove()
    guess = built(labelled=0.5).translator.guide  # nothing has moved
    seed_step(0, 2)
    guessed = guess(method.flip(batch().images))[0].argmax(dim=1)
    real, fake, both = asked
    assert torch.equal(real, torch.where(LABELS < 0, guessed, LABELS))
    assert torch.equal(both, torch.cat([fake, real]))
    assert torch.equal(fake.sort().values, real.sort().values)


def test_without_labels_every_picture_is_clustered() -> None:
    assert one_step(built(), 0) == one_step(built(), 0, torch.full((8,), -1))


@pytest.mark.parametrize(("name", "move"), [("guide", 1e-4), ("generator", 1e-3), ("critic", 1e-3)])
def test_decay_is_added_to_the_gradient(name: str, move: float) -> None:
    """Decoupled, it would move a weight of 1 by rate · decay: ten thousand times less."""
    optimizer = built().optimizers()[name]
    weight = optimizer.param_groups[0]["params"][0]
    with torch.no_grad():
        weight.fill_(1.0)
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    torch.testing.assert_close(1 - weight, torch.full_like(weight, move), rtol=0.01, atol=0)
    decays = {"guide": 1e-3, "generator": 1e-4, "critic": 1e-4}
    assert optimizer.param_groups[0]["weight_decay"] == decays[name]
    kinds = {"guide": torch.optim.Adam, "generator": torch.optim.RMSprop, "critic": torch.optim.RMSprop}
    assert type(optimizer) is kinds[name]


def test_the_first_view_is_flipped_and_the_second_of_an_area_of_nine_to_eleven_tenths() -> None:
    method = built()
    assert method.flip == Views(crop=(1, 1), flip=True)
    assert method.augment.by_area
    assert method.augment.flip
    assert method.augment.affine
    assert method.augment.color
    assert [side**2 for side in method.augment.crop] == pytest.approx([0.9, 1.1])


def test_pictures_of_two_kinds_come_apart() -> None:
    """Forty steps of the guide alone, on red and blue pictures: two clusters that name them."""
    method = built(clusters=2, warmup_steps=1000, guide_learning_rate=3e-3, information_weight=50.0)
    kind = torch.arange(16) % 2
    color = torch.tensor([[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]])[kind][:, :, None, None]
    for t in range(40):
        seed_step(0, t)
        images = 0.7 * color + 0.3 * (2 * torch.rand(16, 3, 32, 32) - 1)
        method.step(Batch(images), Descent(method.optimizers()), t)
    with torch.no_grad():
        cluster = method.translator.eval().assign(images).argmax(dim=1)
    assert abs((cluster == kind).float().mean() - 0.5) == 0.5
