"""The face reader sees what was drawn, and says so when its weights are not its own."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from cluit.core.errors import UserError
from cluit.core.images import to_unit
from cluit.data.portraits import Portraits
from cluit.evaluation.reader import SIZE, FaceReader, examine, train_reader, true_pose


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FaceReader.load()


def test_the_reader_knows_every_species_and_the_position_within_a_pixel(reader: FaceReader) -> None:
    seen = examine(reader, 300, seed=11)
    assert seen["species"] >= 0.99
    assert seen["x"] < 2 / SIZE  # half sides: one pixel
    assert seen["y"] < 2 / SIZE
    assert seen["scale"] < 0.03
    assert seen["tilt"] < 0.06
    assert seen["turn"] < 0.2


def test_the_reader_sees_through_blur_and_noise(reader: FaceReader) -> None:
    portraits = Portraits(200, 32, seed=12, split="test")
    images = to_unit(portraits.batch(range(200)))
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    reading = reader.read((blurred + 0.1 * torch.randn_like(images)).clamp(-1, 1))
    assert (reading.species == portraits.style.species).float().mean() > 0.95


def test_the_reader_reads_any_size_alike(reader: FaceReader) -> None:
    small, large = Portraits(60, 32, seed=13), Portraits(60, 128, seed=13)
    a, b = (reader.read(to_unit(p.batch(range(60)))) for p in (small, large))
    assert (a.species == b.species).all()
    assert (a.pose - b.pose).abs().mean() < 0.01


def test_a_saved_reader_reads_as_before(reader: FaceReader, tmp_path: Path) -> None:
    reader.save(tmp_path / "reader.safetensors")
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    again = FaceReader.load(tmp_path / "reader.safetensors")
    assert torch.equal(again.read(images).pose, reader.read(images).pose)


def test_the_shipped_reader_is_small() -> None:
    assert sum(weight.numel() for weight in FaceReader().parameters()) * 2 < 600_000


@pytest.mark.parametrize("content", [None, b"", b"not weights", b"\x08\0\0\0\0\0\0\0{}      "])
def test_what_is_no_reader_is_refused_in_a_sentence(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "reader.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="reader"):
        FaceReader.load(path)


def test_training_learns_repeats_itself_and_leaves_chance_alone() -> None:
    losses: list[float] = []
    before = torch.get_rng_state()
    first = train_reader(4, seed=1, pictures=64, progress=lambda step, loss: losses.append(loss))
    assert torch.equal(torch.get_rng_state(), before)
    again = train_reader(4, seed=1, pictures=64)
    assert losses[-1] < losses[0]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_the_true_pose_is_standard_in_the_readers_units() -> None:
    portraits = Portraits(5000, 32)
    reader = FaceReader()
    standard = (true_pose(portraits.structure) - reader.mean) / reader.spread
    assert standard.mean(dim=0).abs().max() < 0.06
    assert (standard.std(dim=0) - 1).abs().max() < 0.06
