"""One experiment to a folder, one process at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluit.core.errors import UserError
from cluit.core.files import atomic_file
from cluit.engine.run import claim_run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_new_run_makes_its_folder(tmp_path: Path) -> None:
    with claim_run(tmp_path / "deep" / "run", resume=False):
        assert (tmp_path / "deep" / "run").is_dir()


def test_a_folder_that_holds_a_run_is_refused_without_resume_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("steps: 5")
    (tmp_path / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(UserError, match="continue it with --resume"), claim_run(tmp_path, resume=False):
        pass
    assert contents(tmp_path) == before
    with claim_run(tmp_path, resume=True):
        pass


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_other_files_is_refused_and_not_touched(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"beach")
    with pytest.raises(UserError, match="other files"), claim_run(tmp_path, resume=resume):
        pass
    assert contents(tmp_path) == {"holiday.jpg": b"beach"}


def test_resuming_what_is_not_there_says_so(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"no run in .* to resume"),
        claim_run(tmp_path / "absent", resume=True),
    ):
        pass
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_killed_before_its_first_file_can_begin_again(tmp_path: Path, resume: bool) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".settings.yaml.123.tmp").write_text("ste")
    with claim_run(tmp_path, resume=resume):
        assert sorted(contents(tmp_path)) == [".lock"]


def test_strays_of_a_killed_process_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in ("settings.yaml", "checkpoints/step-00000002.pt", "checkpoints/.step-00000004.pt.77.tmp"):
        (tmp_path / name).touch()
    with claim_run(tmp_path, resume=True):
        assert sorted(contents(tmp_path)) == [".lock", "checkpoints/step-00000002.pt", "settings.yaml"]


def test_a_folder_named_like_a_stray_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".abc.tmp").mkdir()
    (tmp_path / "settings.yaml").touch()
    with claim_run(tmp_path, resume=True):
        assert (tmp_path / ".abc.tmp").is_dir()


def test_a_run_refused_before_it_wrote_anything_leaves_nothing(tmp_path: Path) -> None:
    def refuse(run: Path) -> None:
        with pytest.raises(UserError, match="no such device"), claim_run(run, resume=False):
            raise UserError("no such device")

    refuse(tmp_path / "deep" / "run")
    assert not (tmp_path / "deep").exists()
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty")
    assert contents(tmp_path) == {}
    assert (tmp_path / "empty").is_dir()


def test_a_run_that_failed_later_keeps_its_files(tmp_path: Path) -> None:
    def fail() -> None:
        with claim_run(tmp_path / "run", resume=False):
            (tmp_path / "run" / "settings.yaml").touch()
            raise UserError("later")

    with pytest.raises(UserError, match="later"):
        fail()
    assert sorted(contents(tmp_path)) == ["run/.lock", "run/settings.yaml"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="is a file"), claim_run(tmp_path / "run", resume=False):
        pass
    with pytest.raises(UserError, match="cannot write"), claim_run(tmp_path / "run" / "below", resume=False):
        pass


CLAIM = """
import pathlib, sys
from cluit.core.errors import UserError
from cluit.engine.run import claim_run
try:
    with claim_run(pathlib.Path(sys.argv[1]), resume=True):
        print("claimed")
except UserError as error:
    print(error)
"""


def claimed_elsewhere(run: Path) -> str:
    """What another process says that tries to claim ``run``."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.check_output([sys.executable, "-c", CLAIM, str(run)], env=env, text=True).strip()


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    with claim_run(tmp_path, resume=False):
        assert "another process is training" in claimed_elsewhere(tmp_path)
    assert claimed_elsewhere(tmp_path) == "claimed"


def test_a_name_as_long_as_the_disk_allows_can_be_written(tmp_path: Path) -> None:
    with atomic_file(tmp_path / ("ä" * 125)) as file:
        file.write(b"new")
    assert contents(tmp_path) == {"ä" * 125: b"new"}


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def write() -> None:
        with atomic_file(tmp_path / "a") as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert contents(tmp_path) == {"a": b"old"}


def test_an_error_that_is_not_the_disks_passes_unchanged(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a shape"), atomic_file(tmp_path / "a"):
        raise RuntimeError("a shape")
