"""Checkpoints: everything that a run remembers, written so that no instant of death can harm it."""

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cluit.core import distributed
from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors
from cluit.core.types import Method
from cluit.engine.average import Average
from cluit.engine.divergence import require_finite
from cluit.engine.log import Meter

FORMAT = 1
KEPT = 2

State = dict[str, Any]
"""What a checkpoint holds: tensors, numbers, strings, and dicts and lists of them."""


def training_state(
    method: Method, average: Average, meter: Meter, t: int, *, precision: str, settings: Mapping[str, Any]
) -> State:
    """Everything needed to go on after ``t`` completed steps as if nothing had happened.

    precision: its name, resolved, e.g. ``bfloat16``. settings: plain values, as in JSON. Random state is
    missing on purpose: each step seeds its own. The tensors are the live ones, not copies. All ranks must
    call it.
    """
    return {
        "format": FORMAT,
        "step": t,
        "method": method.state_dict(),
        "optimizers": {name: optimizer.state_dict() for name, optimizer in method.optimizers().items()},
        "average": average.state_dict(),
        "meter": meter.state_dict(),
        "precision": precision,
        "settings": json.loads(json.dumps(settings)),
        "ranks": distributed.world(),
        "torch": str(torch.__version__),
    }


def restore(state: State, method: Method, average: Average, meter: Meter) -> int:
    """Put ``state`` back, exactly, and return how many steps it had completed."""
    try:
        method.load_state_dict(state["method"])
        average.load_state_dict(state["average"])
        for name, optimizer in method.optimizers().items():
            optimizer.load_state_dict(state["optimizers"][name])
        meter.load_state_dict(state["meter"])
        return int(state["step"])
    except (KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the checkpoint does not fit these settings ({reason}); resume with those of the run"
        ) from error


def save_checkpoint(run: Path, t: int, state: State) -> Path:
    """Write ``state`` as the checkpoint of step ``t`` and keep the one before it; older ones go.

    Diverged, with nothing written, if anything in it is not finite. UserError if the disk refuses, with what
    was there intact.
    """
    require_finite(state, t)
    path = run / "checkpoints" / f"step-{t:08d}.pt"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        torch.save(state, file)
    steps = checkpoints(run)
    # a checkpoint of a later step was damaged, or this run would have begun there
    kept = sorted(step for step in steps if step <= t)[-KEPT:]
    for step in steps.keys() - kept:
        steps[step].unlink(missing_ok=True)
    return path


def checkpoints(run: Path) -> dict[int, Path]:
    """The checkpoints of ``run`` by completed steps, oldest first. UserError where they cannot be listed."""
    folder = run / "checkpoints"
    try:
        paths = sorted(folder.iterdir())  # not a glob, to which a folder that it may not read is empty
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}; make it a folder you can read") from error
    return {int(path.stem[5:]): path for path in paths if re.fullmatch(r"step-\d+\.pt", path.name)}


def latest_checkpoint(run: Path) -> Path | None:
    """The newest whole checkpoint, None where there are none yet. A damaged one is passed over, aloud."""
    paths = list(checkpoints(run).values())[::-1]
    for path in paths:
        if is_whole(path):
            return path
        warnings.warn(f"{path} is damaged; falling back to the checkpoint before it", stacklevel=2)
    if paths:
        raise UserError(
            f"every checkpoint in {run / 'checkpoints'} is damaged; start the run anew in another folder"
        )
    return None


def is_whole(path: Path) -> bool:
    """Whether the file is complete and every checksum in it holds; torch itself does not look at them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # a damaged archive makes zipfile raise nearly anything, UnicodeDecodeError too
        return False


def load_checkpoint(path: Path) -> State:
    """Read a checkpoint onto the CPU; nothing in it is executed."""
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
        version = int(state["format"])
    except (
        OSError,
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise UserError(f"{path} is not a checkpoint of cluit that can be read; name another run") from error
    if version > FORMAT:
        raise UserError(f"{path} was written by a newer cluit (format {version}); upgrade to read it")
    return state
