"""What a run has left behind, without what no two runs share."""

from pathlib import Path
from typing import Any

from torch import Tensor

from cluit.engine.checkpoint import latest_checkpoint, load_checkpoint
from cluit.engine.divergence import tensors_in
from cluit.engine.log import read_log


def remembered(run: Path) -> dict[str, Tensor]:
    """Every tensor of the latest checkpoint."""
    path = latest_checkpoint(run)
    assert path is not None
    return dict(tensors_in(load_checkpoint(path)))


def logged(run: Path) -> list[dict[str, Any]]:
    """The log without its times."""
    times = ("seconds", "steps_per_second")
    return [{k: v for k, v in entry.items() if k not in times} for entry in read_log(run / "log.jsonl")]
