import torch

from cluit.core.chance import mixed, seed_step


def drawn(seed: int, t: int, rank: int = 0) -> torch.Tensor:
    seed_step(seed, t, rank)
    return torch.rand(8)


def test_a_steps_chance_depends_on_seed_step_and_rank_and_on_nothing_else() -> None:
    assert torch.equal(drawn(1, 2, 3), drawn(1, 2, 3))
    others = [drawn(1, 2, 0), drawn(2, 1, 0), drawn(1, 3, 0), drawn(1, 2, 1)]
    assert all(not torch.equal(a, b) for i, a in enumerate(others) for b in others[:i])


def test_mixed_numbers_suit_every_generator() -> None:
    assert all(0 <= mixed(seed, t) < 2**63 for seed in range(20) for t in range(20))
    assert mixed(1, 23) != mixed(12, 3)
