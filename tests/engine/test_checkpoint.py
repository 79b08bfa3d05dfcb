"""Checkpoints survive what disks and users do."""

import errno
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_training import ToyConfig, ToyMethod, final_state, same, train

from cluit.core.errors import UserError
from cluit.engine.average import Average
from cluit.engine.checkpoint import (
    checkpoints,
    is_whole,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
    training_state,
)
from cluit.engine.divergence import Diverged
from cluit.engine.log import Meter

STATE: dict[str, Any] = {"format": 1, "step": 3, "weights": torch.arange(1000.0)}


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for t in (1, 2, 30):
        save_checkpoint(tmp_path, t, STATE)
    assert names(tmp_path) == ["step-00000002.pt", "step-00000030.pt"]
    assert list(checkpoints(tmp_path)) == [2, 30]
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoints" / "step-00000030.pt"


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    state = load_checkpoint(save_checkpoint(tmp_path, 3, STATE))
    assert state["step"] == 3
    assert torch.equal(state["weights"], STATE["weights"])


def flip_a_bit(data: bytes) -> bytes:
    middle = data.index(torch.arange(1000.0).numpy().tobytes()) + 2000
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("harm", [flip_a_bit, lambda data: data[: len(data) // 2], lambda data: b""])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path: Path, harm: Any) -> None:
    older, newer = save_checkpoint(tmp_path, 1, STATE), save_checkpoint(tmp_path, 2, STATE)
    newer.write_bytes(harm(newer.read_bytes()))
    with pytest.warns(UserWarning, match=r"step-00000002\.pt is damaged"):
        assert latest_checkpoint(tmp_path) == older
    older.write_bytes(harm(older.read_bytes()))
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(UserError, match="every checkpoint"):
        latest_checkpoint(tmp_path)


def test_going_on_from_the_one_before_ends_at_the_same_weights(tmp_path: Path) -> None:
    train(tmp_path / "straight", 6)
    train(tmp_path / "harmed", 4)
    newest = latest_checkpoint(tmp_path / "harmed")
    assert newest is not None
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="damaged"):
        train(tmp_path / "harmed", 6)
    assert same(final_state(tmp_path / "straight"), final_state(tmp_path / "harmed"))


def test_a_damaged_later_checkpoint_is_not_kept_in_place_of_a_good_one(tmp_path: Path) -> None:
    for t in (2, 4, 3):
        save_checkpoint(tmp_path, t, STATE)
    assert names(tmp_path) == ["step-00000002.pt", "step-00000003.pt"]


def test_nothing_that_is_not_finite_is_written(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, STATE)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(Diverged, match=r"optimizers\.critic\.0 is not finite at step 2"):
            save_checkpoint(tmp_path, 2, STATE | {"optimizers": {"critic": [torch.tensor([1.0, bad])]}})
    assert names(tmp_path) == ["step-00000001.pt"]


def test_a_full_disk_is_one_sentence_and_harms_nothing(tmp_path: Path) -> None:
    """The limit on file sizes stops a write where a full disk would."""
    save_checkpoint(tmp_path, 1, STATE)
    before = (tmp_path / "checkpoints" / "step-00000001.pt").read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(
            UserError, match=r"cannot write .*step-00000001\.pt: File too large; free some space"
        ):
            save_checkpoint(tmp_path, 1, STATE | {"more": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert names(tmp_path) == ["step-00000001.pt"]
    assert (tmp_path / "checkpoints" / "step-00000001.pt").read_bytes() == before


def test_a_disk_that_fills_while_the_file_is_made_sure_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    save_checkpoint(tmp_path, 1, STATE)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match="No space left on device; free some space"):
        save_checkpoint(tmp_path, 2, STATE)
    assert names(tmp_path) == ["step-00000001.pt"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here already")
    with pytest.raises(UserError, match="cannot write"):
        save_checkpoint(tmp_path / "file" / "run", 1, STATE)
    assert (tmp_path / "file").read_text() == "here already"


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run", 2)
    newest = latest_checkpoint(tmp_path / "run")
    assert newest is not None
    state = load_checkpoint(newest)
    state["method"]["critic.weight"] = torch.zeros(2, 3)
    save_checkpoint(tmp_path / "run", 2, state)
    with pytest.raises(UserError, match=r"does not fit these settings.*critic\.weight"):
        train(tmp_path / "run", 4)


def test_what_is_no_checkpoint_is_refused_and_nothing_in_it_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"format": 1, "step": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "text.pt").write_text("hello")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("trap.pt", "text.pt", "list.pt", "absent.pt"):
        with pytest.raises(UserError, match="is not a checkpoint"):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, STATE | {"format": 2})
    with pytest.raises(UserError, match="newer cluit"):
        load_checkpoint(path)


def test_settings_that_could_not_be_read_again_are_refused_at_once() -> None:
    """``weights_only`` loads no paths: better to hear of it at the first checkpoint than when resuming."""
    method = ToyMethod(ToyConfig())
    with pytest.raises(TypeError, match="not JSON serializable"):
        training_state(
            method, Average(method.translator), Meter(), 0, precision="float32", settings={"data": Path()}
        )


def test_any_flipped_bit_of_the_archives_own_words_is_damage_and_no_crash(tmp_path: Path) -> None:
    """Of the last bytes, where names, flags and offsets are: whatever they turn into, it is answered."""
    path = save_checkpoint(tmp_path, 1, STATE)
    data = path.read_bytes()
    for place in range(len(data) - 600, len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x88]) + data[place + 1 :])
        assert is_whole(path) in (True, False)


def test_checkpoints_that_cannot_be_listed_are_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()
    with pytest.raises(UserError, match=r"cannot read .*checkpoints"):
        latest_checkpoint(tmp_path)
