"""Scratch folders go with whoever made them, however that ends."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from cluit.core.errors import UserError
from cluit.core.files import LOCK, atomic_file, disk_is_full, scratch_folder, together, whole_folder

HOLD = """
import sys, time
from pathlib import Path
from cluit.core.files import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "pixels").write_bytes(bytes(10))
    print(folder, flush=True)
    time.sleep(600)
"""


def test_a_scratch_folder_goes_with_its_context(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "pixels").write_bytes(bytes(10))
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_folder_in_use_stays_and_that_of_a_killed_process_goes(tmp_path: Path) -> None:
    path = os.pathsep.join(sys.path)
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": path}
    )
    with other:
        assert other.stdout is not None
        held = Path(other.stdout.readline().strip())
        with scratch_folder(tmp_path) as folder, scratch_folder(tmp_path) as again:
            assert {held, folder, again} == {one for one in tmp_path.iterdir() if one.is_dir()}
        other.send_signal(signal.SIGKILL)
    assert (held / "pixels").exists()
    with scratch_folder(tmp_path) as folder:
        assert [folder] == [one for one in tmp_path.iterdir() if one.is_dir()]


def test_what_nobody_locked_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "somebody").mkdir()
    with scratch_folder(tmp_path):
        pass
    assert (tmp_path / "somebody").is_dir()


def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"), scratch_folder(tmp_path / "file"):
        pass


def fail_after(path: Path) -> None:
    path.touch()
    raise KeyboardInterrupt


def test_files_come_together_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), together(out) as folder:
        fail_after(folder / "first")
    assert not list(out.iterdir())
    (out / "first").write_text("old")
    (out / "mine").write_text("mine")
    with together(out) as folder:
        (folder / "first").write_text("new")
        (folder / "second").write_text("new")
        assert (out / "first").read_text() == "old"
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "first": "new",
        "mine": "mine",
        "second": "new",
    }


@pytest.mark.parametrize("way", [together, whole_folder])
def test_a_full_disk_is_told_of_the_folder_that_was_asked_for(
    way: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError) as told, way(out) as folder, atomic_file(folder / "page"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(told.value) == f"cannot write {out / 'page'}: No space left on device; free some space"
    assert disk_is_full(told.value)
    assert not disk_is_full(UserError("something else"))
