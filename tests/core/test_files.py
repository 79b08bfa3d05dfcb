"""Scratch folders go with whoever made them, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cluit.core.errors import UserError
from cluit.core.files import LOCK, scratch_folder

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
