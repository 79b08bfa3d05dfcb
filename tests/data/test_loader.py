"""Batches: a pure function of the data set's length, the seed and the step, whoever decodes them."""

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from cluit.core.errors import UserError
from cluit.core.types import Batch
from cluit.data.folder import ImageFolder
from cluit.data.labels import Labelled, Labels, class_labels
from cluit.data.loader import (
    balanced_indices,
    batch_indices,
    batches,
    loading_rate,
    members_of,
    require_divisible,
)


class Numbered:
    """Picture i is the number i, in a single pixel; threads may be slow and ``bad`` fails."""

    def __init__(self, count: int, bad: int | None = None, seconds: float = 0.0) -> None:
        self.count, self.bad, self.seconds = count, bad, seconds
        self.asked = 0

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int]) -> Tensor:
        self.asked += 1
        time.sleep(self.seconds)
        if self.bad in indices:
            raise ValueError(f"picture {self.bad} is bad")
        return torch.tensor(indices, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 1, 1).contiguous()


def numbers(batch: Batch) -> list[int]:
    return batch.images[:, 0, 0, 0].add(1).mul(127.5).round().int().tolist()


def first(count: int, stream: Iterator[Batch]) -> list[list[int]]:
    seen = [numbers(batch) for batch in itertools.islice(stream, count)]
    stream.close()  # type: ignore[attr-defined]
    return seen


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("cluit-loader")]


SIZES = st.integers(1, 200)
SEEDS = st.integers(0, 2**40)


@given(length=SIZES, half=st.integers(1, 40), seed=SEEDS, t=st.integers(0, 10**6))
def test_no_picture_is_twice_in_a_batch_when_the_data_set_allows(
    length: int, half: int, seed: int, t: int
) -> None:
    indices = batch_indices(length, 2 * half, seed, t)
    assert len(indices) == 2 * half
    assert set(indices) <= set(range(length))
    assert len(set(indices)) == min(length, 2 * half)
    counts = [indices.count(i) for i in range(length)]
    assert max(counts) - min(counts) <= 1


@given(length=SIZES, half=st.integers(1, 40), seed=SEEDS, epoch=st.integers(0, 1000))
def test_an_epoch_shows_no_picture_twice_and_leaves_out_less_than_a_batch(
    length: int, half: int, seed: int, epoch: int
) -> None:
    steps = length // (2 * half)
    times = range(epoch * steps, (epoch + 1) * steps)
    seen = [i for t in times for i in batch_indices(length, 2 * half, seed, t)]
    assert len(set(seen)) == len(seen)
    assert steps == 0 or length - len(seen) < 2 * half


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    orders = [batch_indices(50, 50, seed, epoch) for seed in range(5) for epoch in range(5)]
    assert len({tuple(order) for order in orders}) == 25


def test_every_picture_is_shown_in_the_long_run() -> None:
    shown = {i for t in range(40) for i in batch_indices(11, 8, seed=0, t=t)}
    assert shown == set(range(11))


@pytest.mark.parametrize(("workers", "prefetch"), [(1, 1), (2, 4), (5, 2)])
def test_batches_are_the_same_whoever_decodes_them(workers: int, prefetch: int) -> None:
    stream = batches(Numbered(30), 8, seed=3, workers=workers, prefetch=prefetch)
    assert first(10, stream) == [batch_indices(30, 8, seed=3, t=t) for t in range(10)]


def test_starting_at_k_continues_from_the_kth_batch() -> None:
    straight = first(12, batches(Numbered(30), 8, seed=1))
    for k in (1, 3, 7):
        assert first(12 - k, batches(Numbered(30), 8, seed=1, start=k)) == straight[k:]


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_out_sources_and_references_of_the_whole_batch(world: int) -> None:
    whole = first(5, batches(Numbered(40), 16, seed=2))
    shares = [first(5, batches(Numbered(40), 16, seed=2, rank=rank, world=world)) for rank in range(world)]
    for t, batch in enumerate(whole):
        for side in (slice(0, 8), slice(8, 16)):
            mine = slice(0, 8 // world) if side.start == 0 else slice(8 // world, None)
            parts = [share[t][mine] for share in shares]
            assert sorted(itertools.chain(*parts)) == sorted(batch[side])
            assert [part[0] for part in parts] == batch[side][:: 8 // world]


def test_pictures_are_in_the_unit_range() -> None:
    stream = batches(Numbered(256), 256, seed=0)
    images = next(stream).images
    assert images.shape == (256, 3, 1, 1)
    assert images.dtype == torch.float32
    assert images.min() == -1
    assert images.max() == 1
    stream.close()


def test_loading_does_not_touch_the_random_state() -> None:
    before = torch.get_rng_state()
    first(5, batches(Numbered(30), 8, seed=0))
    assert torch.equal(before, torch.get_rng_state())


def test_an_error_in_a_worker_is_raised_at_its_batch_and_ends_the_threads() -> None:
    spoiled = next(t for t in range(10) if 17 in batch_indices(40, 4, seed=0, t=t))
    stream = batches(Numbered(40, bad=17), 4, seed=0)
    for _ in range(spoiled):
        next(stream)
    with pytest.raises(ValueError, match="picture 17 is bad"):
        next(stream)
    assert loader_threads() == []
    with pytest.raises(StopIteration):
        next(stream)


@pytest.mark.parametrize("how", ["close", "forget", "never start"])
def test_threads_end_with_their_iterator(how: str) -> None:
    stream = batches(Numbered(40, seconds=0.01), 4, seed=0, workers=3, prefetch=9)
    if how != "never start":
        next(stream)
        assert loader_threads()
    if how == "close":
        stream.close()
    del stream
    assert loader_threads() == []


def test_batches_are_made_ahead_while_the_step_is_busy_but_not_without_bound() -> None:
    dataset = Numbered(40)
    stream = batches(dataset, 4, seed=0, prefetch=5)
    next(stream)
    deadline = time.perf_counter() + 5
    while dataset.asked < 6 and time.perf_counter() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert dataset.asked == 6  # the one in use and five more
    stream.close()


@pytest.mark.parametrize(
    ("count", "batch_size", "world", "workers", "prefetch"),
    [
        (9, 3, 1, 1, 1),  # no reference for one of the sources
        (9, 6, 2, 1, 1),
        (9, 0, 1, 1, 1),
        (9, -2, 1, 1, 1),
        (0, 2, 1, 1, 1),
        (9, 2, 1, 0, 1),
        (9, 2, 1, 1, 0),
    ],
)
def test_settings_out_of_range_are_refused_at_the_call(
    count: int, batch_size: int, world: int, workers: int, prefetch: int
) -> None:
    with pytest.raises(UserError):
        batches(Numbered(count), batch_size, seed=0, world=world, workers=workers, prefetch=prefetch)


def folder_of(count: int, path: Path) -> Path:
    path.mkdir()
    for i in range(count):
        Image.new("L", (4, 4), i).save(path / f"{i:03}.png")
    return path


@pytest.mark.filterwarnings("ignore:skipped")
def test_resuming_with_damaged_files_and_little_memory_is_bit_for_bit(tmp_path: Path) -> None:
    path = folder_of(20, tmp_path / "pictures")
    for name in ("003.png", "004.png"):
        (path / name).write_bytes((path / name).read_bytes()[:-20])
    straight = first(10, batches(ImageFolder(path, 4, cache_bytes=5 * 48), 6, seed=5))
    resumed = first(4, batches(ImageFolder(path, 4), 6, seed=5, start=6))
    assert resumed == straight[6:]
    assert {3, 4}.isdisjoint(itertools.chain(*straight))


def test_a_user_error_of_the_data_set_reaches_the_caller(tmp_path: Path) -> None:
    dataset = ImageFolder(folder_of(4, tmp_path / "pictures"), 4)
    for path in dataset.paths:
        path.unlink()
    stream = batches(dataset, 2, seed=0)
    with pytest.warns(UserWarning, match="skipped"), pytest.raises(UserError, match=r"only [01] of 4"):
        next(stream)


def test_the_second_reading_of_a_folder_opens_no_file(tmp_path: Path) -> None:
    dataset = ImageFolder(folder_of(40, tmp_path / "pictures"), 4)
    assert loading_rate(dataset, pictures=30, batch_size=8) > 0
    for path in dataset.paths:
        path.unlink()
    assert loading_rate(dataset, pictures=30, batch_size=8) > 0


def labelled(labels: Sequence[int]) -> Labelled:
    """Picture i, the number i, of class ``labels[i]``."""
    return Labelled(Numbered(len(labels)), Labels(("a", "b", "c"), torch.tensor(labels)))


UNEVEN = [0] * 30 + [1] * 5 + [2] * 2


def test_batches_have_labels_where_the_pictures_have_and_nowhere_else() -> None:
    for batch in itertools.islice(batches(labelled(UNEVEN), 8, seed=0), 5):
        assert batch.labels is not None
        assert batch.labels.tolist() == [UNEVEN[number] for number in numbers(batch)]
    assert next(batches(Numbered(9), 4, seed=0)).labels is None


def test_a_label_does_not_change_which_pictures_come() -> None:
    assert first(6, batches(labelled(UNEVEN), 8, seed=1)) == first(6, batches(Numbered(37), 8, seed=1))


@given(
    labels=st.lists(st.integers(-1, 2), min_size=1, max_size=40).filter(lambda labels: max(labels) >= 0),
    quarter=st.integers(1, 8),
    seed=SEEDS,
    t=st.integers(0, 10**6),
)
def test_a_balanced_batch_is_of_pairs_of_one_class_that_differ_where_they_can(
    labels: list[int], quarter: int, seed: int, t: int
) -> None:
    indices = balanced_indices(members_of(labelled(labels)), 4 * quarter, seed, t)
    assert len(indices) == 4 * quarter
    for one, other in zip(indices[0::2], indices[1::2], strict=True):
        assert labels[one] == labels[other] >= 0
        assert one != other or labels.count(labels[one]) == 1


def test_all_classes_and_all_their_pictures_come_equally_often() -> None:
    members = members_of(labelled(UNEVEN))
    seen = [i for t in range(500) for i in balanced_indices(members, 32, seed=0, t=t)]
    for label, count in enumerate((30, 5, 2)):
        of_class = [i for i in seen if UNEVEN[i] == label]
        assert len(of_class) == pytest.approx(len(seen) / 3, rel=0.05)
        each = [of_class.count(i) for i in set(of_class)]
        assert len(each) == count
        assert max(each) < 1.35 * min(each)


def test_balanced_batches_start_anywhere_and_differ_by_step_and_seed() -> None:
    def stream(seed: int = 1, start: int = 0) -> Iterator[Batch]:
        return batches(labelled(UNEVEN), 8, seed=seed, start=start, balanced=True)

    straight = first(12, stream())
    assert first(5, stream(start=7)) == straight[7:]
    assert len({tuple(batch) for batch in straight}) == 12
    assert first(12, stream(seed=2)) != straight


def test_ranks_share_out_whole_pairs() -> None:
    whole = first(5, batches(labelled(UNEVEN), 16, seed=2, balanced=True))
    shares = [
        first(5, batches(labelled(UNEVEN), 16, seed=2, rank=rank, world=2, balanced=True)) for rank in (0, 1)
    ]
    for t, batch in enumerate(whole):
        pairs = [tuple(batch[i : i + 2]) for i in range(0, 16, 2)]
        for rank, share in enumerate(shares):
            mine = [tuple(share[t][i : i + 2]) for i in range(0, 8, 2)]
            assert mine == pairs[:4][2 * rank :][:2] + pairs[4:][2 * rank :][:2]


@pytest.mark.parametrize(("batch_size", "world", "multiple"), [(6, 1, 4), (12, 2, 8)])
def test_a_balanced_batch_that_cannot_be_halved_in_pairs_is_refused(
    batch_size: int, world: int, multiple: int
) -> None:
    with pytest.raises(UserError, match=f"must be a multiple of {multiple} "):
        batches(labelled(UNEVEN), batch_size, seed=0, world=world, balanced=True)


def test_a_wrong_division_is_refused_in_a_sentence_that_counts_processes_and_parts() -> None:
    require_divisible(24, world=3, parts=4)
    require_divisible(24, world=3, balanced=True, parts=2)
    with pytest.raises(UserError) as refused:
        require_divisible(24, world=3, balanced=True, parts=4)
    assert str(refused.value) == (
        "the batch size must be a multiple of 48 (two sources and two references for each of 3 processes in "
        "4 parts), got 24"
    )


@pytest.mark.filterwarnings("ignore:skipped")
def test_a_pair_is_of_one_class_though_a_damaged_file_gave_way_to_one_of_another(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        folder_of(3, tmp_path / name)
    damaged = tmp_path / "cat" / "002.png"  # the next file is a dog
    damaged.write_bytes(damaged.read_bytes()[:-20])
    folder = ImageFolder(tmp_path, 4)
    stream = batches(Labelled(folder, class_labels(folder)), 8, seed=0, balanced=True)
    together = list(itertools.islice(stream, 20))
    stream.close()
    assert [path.name for path in folder.skipped] == ["002.png"]
    for batch in together:
        assert batch.labels is not None
        assert torch.equal(batch.labels[0::2], batch.labels[1::2])
