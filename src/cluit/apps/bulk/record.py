"""The settings of a job, kept in its folder: it goes on under the same ones only."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors

FORMAT = 1
RECORD = "job.json"
DIGESTS = {"model", "list of references", "list of sources", "list of pairs"}
"""Settings whose values say nothing to a reader."""

Settings = Mapping[str, str | int | bool | None]


def claim(folder: Path, settings: Settings, *, resume: bool, overwrite: bool) -> bool:
    """Make ``folder`` that of a job with these settings; whether the job had begun before.

    UserError where it is another job's, or where this one is there and shall not be resumed.
    """
    path = folder / RECORD
    if path.exists() and (resume or not overwrite):
        compare(path, settings)
        if not resume:
            raise UserError(
                f"{folder} has this job already; go on with --resume, or do it anew with --overwrite"
            )
        return True
    card = {"format_version": FORMAT, "settings": dict(settings)}
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f".{RECORD}.{os.getpid()}")
    with atomic_file(own) as file:
        file.write((json.dumps(card, indent=2) + "\n").encode())
    try:
        if overwrite:
            own.replace(path)
        else:
            with suppress(FileExistsError):  # of several processes one comes first, and its time counts
                os.link(own, path)
    except OSError:  # a disk without links
        own.replace(path)
    finally:
        own.unlink(missing_ok=True)
    return False


def compare(path: Path, settings: Settings) -> None:
    """UserError where the job that is recorded at ``path`` has other settings than these."""
    found = read(path)
    for name in dict.fromkeys([*settings, *found]):
        before, now = found.get(name), settings.get(name)
        if before != now:
            told = "" if name in DIGESTS else f": its {name} was {before}, not {now}"
            raise UserError(
                f"{path.parent} holds the translations of a job with another {name}{told}; "
                "choose another --out, or add --overwrite without --resume"
            )


def read(path: Path) -> dict[str, Any]:
    """The settings of the job that is recorded there."""
    try:
        card = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); choose another --out") from error
    version = card.get("format_version") if isinstance(card, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise UserError(f"{path} was written by a newer cluit; upgrade this one, or choose another --out")
    if version != FORMAT or not isinstance(card.get("settings"), dict):
        raise UserError(f"{path} is there and not of a job of cluit; choose another --out")
    return dict(card["settings"])
