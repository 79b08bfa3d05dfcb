import torch
from torch import nn

from cluit.nn.follow import follow, warm_decay


def test_the_decay_rises_to_its_value_as_a_function_of_the_step() -> None:
    assert [warm_decay(0.5, t) for t in (0, 1)] == [0.1, 2 / 11]
    assert warm_decay(0.5, 100) == 0.5


def test_an_average_moves_by_what_the_decay_leaves() -> None:
    old, new = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    nn.init.constant_(old.weight, 1.0)
    nn.init.constant_(new.weight, 3.0)
    new.running_mean = torch.tensor([5.0, 6.0])
    follow(old, new, decay=0.75)
    assert old.weight.tolist() == [1.5, 1.5]
    assert old.running_mean is not None
    assert old.running_mean.tolist() == [5.0, 6.0]  # buffers are copied
