import torch

from cluit.nn.queue import Queue


def test_the_oldest_keys_leave_first() -> None:
    queue = Queue(size=5, dim=2)
    for value in range(4):
        queue.push(torch.full((2, 2), float(value)))
    assert sorted(queue.keys[:, 0].tolist()) == [1, 2, 2, 3, 3]


def test_a_queue_begins_with_unit_vectors_and_is_in_the_checkpoint() -> None:
    queue = Queue(size=7, dim=4)
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(7))
    queue.push(torch.zeros(3, 4))
    again = Queue(size=7, dim=4)
    again.load_state_dict(queue.state_dict())
    for one in (queue, again):
        one.push(torch.ones(2, 4))
    assert torch.equal(again.keys, queue.keys)
