"""A model as the files that are handed on: weights, card, README and, where it may be seen, a sample grid."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluit.apps.provenance import evaluation_of, run_of, sample_of, training_of
from cluit.apps.readme import readme
from cluit.core.errors import UserError
from cluit.core.files import disk_errors, together
from cluit.engine.run import SETTINGS
from cluit.export import weights
from cluit.export.hub import HANDED_IN, README, SAMPLE

if TYPE_CHECKING:
    from cluit.apps.painter import Painter


def require_free(folder: Path, overwrite: bool) -> None:
    """UserError where a model may not be written into ``folder``.

    Neither where its files must not be overwritten, nor into a run, where a copy would for ever stand for it,
    nor among other files, e.g. pictures: their folder would then be a model's. Hidden ones, as git's, may be.
    """
    own = folder.parent if folder.name in ("model", "best") else folder
    if any((place / name).exists() for place in (folder, own) for name in (SETTINGS, "checkpoints")):
        raise UserError(f"{own} is a run, which keeps its own models; choose another folder")
    there = [name for name in HANDED_IN if (folder / name).exists()]
    if there and not overwrite:
        what = "a model" if {weights.WEIGHTS, weights.CARD} & {*there} else there[0]
        raise UserError(f"{folder} already holds {what}; choose another folder or add --overwrite")
    if not there and folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError(f"{folder} holds other files and no model; choose a folder of its own")


def write(
    folder: Path,
    painter: Painter,
    *,
    name: str,
    half: bool,
    license: str | None,
    scores: str | Path | None,
    sample: bool,
) -> None:
    """Write a model's files into ``folder``, made if need be, all or none; what is there by their names goes.

    name: for the README. The others as in `Painter.save_pretrained`.
    """
    told, origin = known_of(painter, license, scores), painter.origin
    grid = None if origin is None else sample_of(origin, told.get("steps", 0))
    if sample and grid is None:
        raise UserError("there is no sample grid to show, as only a run has them; leave out --sample")
    try:
        if not sample and told.get("training", {}).get("data") != "portraits":
            grid = None  # pictures of others are not published unasked
        text = readme(told, name, None if grid is None else grid[1])
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"the {weights.CARD} of this model does not say what cluit writes there") from error
    with together(folder) as unfinished:
        weights.save(unfinished, painter.translator, told, half=half)
        (unfinished / README).write_text(text, encoding="utf-8")
        if grid is not None:
            shutil.copyfile(grid[0], unfinished / SAMPLE)
    if grid is None:
        with disk_errors(folder / SAMPLE):
            (folder / SAMPLE).unlink(missing_ok=True)  # an earlier model's


def known_of(painter: Painter, license: str | None, scores: str | Path | None) -> dict[str, Any]:
    """The model's card with what its run, an evaluation and its giver say of it."""
    known = {**painter.card}
    if not {"method", "config"} <= known.keys():
        raise UserError("this model does not know its method and config; give Painter a card that says them")
    if not painter.translator.state_dict():
        raise UserError("an exported model has no weights to hand on; take the model that it was made from")
    if not isinstance(known.get("steps", 0), int):
        raise UserError(f"the {weights.CARD} of this model has no number of steps; save it anew from its run")
    run = None if painter.origin is None else run_of(painter.origin)
    if run is not None:
        known["training"] = training_of(run, known.get("steps", 0))
    if scores is not None:
        known["evaluation"] = evaluation_of(Path(scores).expanduser(), painter.translator)
    if license is not None:
        known["license"] = license
    return known
