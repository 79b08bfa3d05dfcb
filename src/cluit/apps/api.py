"""The library in three lines of Python: where a model is, loading it, training one."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluit.apps.painter import Painter
from cluit.core.errors import UserError
from cluit.core.weights import beside_pickles
from cluit.export import hub, runtime, weights
from cluit.methods import CONFIGS

if TYPE_CHECKING:
    from cluit.data.dataset import MapStyle

__all__ = ["SHIPPED", "Painter", "from_pretrained", "load", "model_folder", "train"]

SHIPPED = "portraits"


def model_folder(model: str | Path) -> Path:
    """Where the weights of ``model`` are.

    model: a saved or an exported model's folder; a run's, which stands for its best model by held-out score,
    or for its latest where no score was taken; ``portraits``, the shipped one (``./portraits`` is a folder);
    or ``hf://user/name`` on the hub, with ``@revision`` where it is not the newest, which is fetched.
    """
    if str(model).startswith(hub.SCHEME):
        return hub.download(hub.HubId.read(str(model)))
    if str(model) == SHIPPED:
        folder = Path(str(files("cluit") / "assets" / SHIPPED))
        if not (folder / weights.WEIGHTS).is_file():
            raise UserError("this installation holds no shipped model; name a run or a saved model instead")
        return folder
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"there is no model in {folder}; name a run, a saved model's folder, {SHIPPED}, or "
            f"{hub.SCHEME}user/name"
        )
    for place in (folder, folder / "best", folder / "model"):
        if (place / weights.WEIGHTS).is_file() and (place / weights.CARD).is_file():
            return place  # of both files: a run that was killed may have written only one into best/
    if runtime.is_exported(folder):
        return folder
    raise UserError(
        f"{folder} holds no model ({weights.WEIGHTS} and {weights.CARD}), nor do best/ and model/ in it"
        f"{beside_pickles(folder)}; name a run that has saved one, or a saved model's folder"
    )


def load(
    model: str | Path = SHIPPED, *, device: str = "auto", precision: str = "auto", batch_size: int = 16
) -> Painter:
    """The model of a run, of a folder or the shipped one (see ``model_folder``), ready to translate.

    device: auto, cpu, cuda or mps. precision: auto, float32 or bfloat16. batch_size: pictures at once.
    A model exported to ONNX works on the CPU, in the precision that it was exported in.
    """
    return opened(model_folder(model), device, precision, batch_size)


def from_pretrained(
    model: str | Path,
    *,
    revision: str | None = None,
    token: hub.Token = None,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int = 16,
) -> Painter:
    """As ``load``, for which ``user/name`` is on the hub too where there is no such folder.

    revision: a branch, a tag or a commit of a model on the hub. token: of the hub; by default the one that
    `hf auth login` or HF_TOKEN has left.
    """
    name = str(model)
    if not hub.ID.fullmatch(name) or Path(model).is_dir():
        if revision is not None:
            raise UserError(f"{name} is no model on the hub, which alone have revisions; leave revision out")
        return load(model, device=device, precision=precision, batch_size=batch_size)
    wanted = hub.HubId.read(name)
    if revision is not None:
        wanted = hub.HubId(wanted.repo, revision)
    return opened(hub.download(wanted, token), device, precision, batch_size)


def opened(folder: Path, device: str, precision: str, batch_size: int) -> Painter:
    """The model in ``folder`` itself."""
    if runtime.is_exported(folder):
        if device not in ("auto", "cpu") or precision not in ("auto", "float32"):
            raise UserError(
                f"{folder} is an exported model, which works on the CPU and in its own precision; leave "
                "device and precision out"
            )
        translator, card = runtime.load(folder)
        return Painter(translator, card, device="cpu", precision="float32", batch_size=batch_size)
    translator, card = weights.load(folder, CONFIGS)
    return Painter(translator, card, device=device, precision=precision, batch_size=batch_size, origin=folder)


def train(dataset: str | Path | MapStyle, *, out: str | Path, **settings: Any) -> Painter:
    """Train on a folder of pictures or on any map-style data set of them, as ``cluit train`` does.

    settings: as the command's flags, with underscores, e.g. ``image_size=64, steps=20_000, recipe="small"``.
    """
    from cluit.apps.train import train as run

    run(dataset, out=Path(out), **settings)
    return load(out)
