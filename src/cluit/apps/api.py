"""The library in three lines of Python: load, translate, save."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cluit.core.errors import UserError
from cluit.core.images import as_picture, to_bytes, to_unit
from cluit.core.machine import pick_device, pick_precision
from cluit.core.types import Translator
from cluit.data.dataset import as_image
from cluit.data.decode import fit_square, open_picture
from cluit.engine.run import SETTINGS
from cluit.export import weights
from cluit.methods import CONFIGS

if TYPE_CHECKING:
    from cluit.data.dataset import MapStyle

Picture = str | Path | Image.Image | np.ndarray | Tensor
"""A file's path; a PIL image of any mode; uint8, as an array (H, W, 3) or a tensor (3, H, W); or a tensor of
floats in [-1, 1], (3, H, W). Of any size: the central square counts."""

SHIPPED = "portraits"
NOTHING = "there is no picture to translate; give at least one source and one reference"


def model_folder(model: str | Path) -> Path:
    """Where the weights of ``model`` are.

    model: a saved model's folder; a run's, which stands for its best model by held-out score, or for its
    latest where no score was taken; or ``portraits``, the shipped one (``./portraits`` is a folder).
    """
    if str(model) == SHIPPED:
        folder = Path(str(files("cluit") / "assets" / SHIPPED))
        if not (folder / weights.WEIGHTS).is_file():
            raise UserError("this installation holds no shipped model; name a run or a saved model instead")
        return folder
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise UserError(f"there is no model in {folder}; name a run, a saved model's folder, or {SHIPPED}")
    for place in (folder, folder / "best", folder / "model"):
        if (place / weights.WEIGHTS).is_file() and (place / weights.CARD).is_file():
            return place  # of both files: a run that was killed may have written only one into best/
    raise UserError(
        f"{folder} holds no model ({weights.WEIGHTS} and {weights.CARD}), nor do best/ and model/ in it; "
        "name a run that has saved one, or a saved model's folder"
    )


def load(
    model: str | Path = SHIPPED, *, device: str = "auto", precision: str = "auto", batch_size: int = 16
) -> Painter:
    """The model of a run, of a folder or the shipped one (see ``model_folder``), ready to translate.

    device: auto, cpu, cuda or mps. precision: auto, float32 or bfloat16. batch_size: pictures at once.
    """
    translator, card = weights.load(model_folder(model), CONFIGS)
    return Painter(translator, card, device=device, precision=precision, batch_size=batch_size)


def train(dataset: str | Path | MapStyle, *, out: str | Path, **settings: Any) -> Painter:
    """Train on a folder of pictures or on any map-style data set of them, as ``cluit train`` does.

    settings: as the command's flags, with underscores, e.g. ``image_size=64, steps=20_000, recipe="small"``.
    """
    from cluit.apps.train import train as run

    run(dataset, out=Path(out), **settings)
    return load(out)


def save(model: str | Path, out: str | Path, *, half: bool = False, overwrite: bool = False) -> None:
    """Write ``model``, as ``load`` takes it, into the folder ``out``: safetensors and JSON.

    half: store float16, which halves the file. UserError where ``out`` already holds a model and must not be
    overwritten, and where it is a run: a copy there would for ever stand for the run.
    """
    folder = Path(out).expanduser()
    if any((folder / name).exists() for name in (SETTINGS, "checkpoints")):
        raise UserError(f"{folder} is a run, which keeps its own models; choose another folder")
    if any((folder / name).exists() for name in (weights.CARD, weights.WEIGHTS)) and not overwrite:
        raise UserError(f"{folder} already holds a model; choose another folder or add --overwrite")
    translator, card = weights.load(model_folder(model), CONFIGS)
    weights.save(folder, translator, card, half=half)


class Painter:
    """A translator with a way in from any picture and a way out to PIL images."""

    def __init__(
        self,
        translator: Translator,
        card: Mapping[str, Any] | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int = 16,
    ) -> None:
        """card: what is known of the model, as in its ``model.json``."""
        if batch_size < 1:
            raise UserError(f"the batch size must be at least 1, got {batch_size}")
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.translator = translator.eval().to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.card = dict(card or {})
        self.batch_size = batch_size
        self.image_size = translator.image_size

    @overload
    def translate(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self, source: Picture, reference: Picture, full_size: bool = False
    ) -> Image.Image: ...

    @overload
    def translate(
        self, source: Sequence[Picture], reference: Picture | Sequence[Picture], full_size: bool = False
    ) -> list[Image.Image]: ...

    @overload
    def translate(
        self, source: Picture, reference: Sequence[Picture], full_size: bool = False
    ) -> list[Image.Image]: ...

    def translate(
        self,
        source: Picture | Sequence[Picture],
        reference: Picture | Sequence[Picture],
        full_size: bool = False,
    ) -> Image.Image | list[Image.Image]:
        """``source`` repainted in the style of ``reference``.

        Two pictures give a picture. A list and a picture, or two lists of one length, give a list, pair by
        pair; an array or tensor of four dimensions counts as a list. The result is a square of the model's
        size, or with ``full_size`` the whole source with its central square repainted.
        """
        sources, references = as_list(source), as_list(reference)
        pictures = self._pairs(sources, references, full_size)
        return pictures[0] if is_one(source) and is_one(reference) else pictures

    def _pairs(
        self, sources: Sequence[Picture], references: Sequence[Picture], full_size: bool
    ) -> list[Image.Image]:
        """One list of translations; the only picture on a side meets all of the other and is encoded once."""
        if not sources or not references:
            raise UserError(NOTHING)
        count = max(len(sources), len(references))
        if {len(sources), len(references)} - {1, count}:
            raise UserError(
                f"{len(sources)} sources and {len(references)} references are no pairs; "
                "give as many of each, or one picture on either side"
            )
        styles = self.styles(references).expand(count, -1)
        only = self.structures(sources) if len(sources) == 1 else None
        results = list[Image.Image]()
        for start in range(0, count, self.batch_size):
            part = slice(start, start + self.batch_size)
            style = styles[part]
            structure = (
                self.structures(sources[part]) if only is None else only.expand(len(style), -1, -1, -1)
            )
            results += map(as_picture, self.paint(structure, style))
        if full_size:
            wholes = [whole(source) for source in sources] * (count // len(sources))
            results = [paste_back(*pair) for pair in zip(wholes, results, strict=True)]
        return results

    def styles(self, references: Picture | Sequence[Picture]) -> Tensor:
        """(N, S): what each reference, one or several, gives to a translation."""
        return self._encode(self.translator.encode_style, as_list(references))

    def structures(self, sources: Picture | Sequence[Picture]) -> Tensor:
        """(N, C, h, w): what a translation keeps of each source, one or several."""
        return self._encode(self.translator.encode_structure, as_list(sources))

    @torch.inference_mode()
    def _encode(self, half: Callable[[Tensor], Tensor], pictures: Sequence[Picture]) -> Tensor:
        parts = []
        for start in range(0, len(pictures), self.batch_size):
            part = pictures[start : start + self.batch_size]
            images = to_unit(torch.stack([as_square(one, self.image_size) for one in part]).to(self.device))
            with self._autocast():
                parts.append(half(images.contiguous(memory_format=torch.channels_last)).float())
        if not parts:
            raise UserError(NOTHING)
        return torch.cat(parts)

    @torch.inference_mode()
    def paint(self, structures: Tensor, styles: Tensor) -> Tensor:
        """(N, C, h, w), (N, S) -> uint8 (N, 3, H, W) on the CPU, all at once: each structure in its style."""
        with self._autocast():
            return to_bytes(self.translator.decode(structures, styles)).cpu()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


def is_one(picture: object) -> bool:
    """Whether this is one picture rather than several."""
    if isinstance(picture, np.ndarray | Tensor):
        return picture.ndim < 4
    return isinstance(picture, str | Path | Image.Image)


def as_list(pictures: Picture | Sequence[Picture]) -> list[Picture]:
    if is_one(pictures):
        return [pictures]  # type: ignore[list-item]
    try:
        return list(pictures)  # type: ignore[arg-type]
    except TypeError:
        kind = type(pictures).__name__
        raise UserError(f"a picture is a path, a PIL image, an array or a tensor, not {kind}") from None


def whole(picture: Picture) -> Image.Image:
    """All of the picture, RGB, as the eye sees it."""
    if isinstance(picture, str | Path):
        return open_picture(picture)
    if isinstance(picture, Tensor) and picture.is_floating_point() and picture.shape[:-2] == (3,):
        picture = to_bytes(picture)
    try:
        image = as_image(picture)
        image.load()
        return image
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a closed or damaged PIL image raises almost anything
        raise UserError(f"this {type(picture).__name__} cannot be read: {error}") from error


def as_square(picture: Picture, size: int) -> Tensor:
    """The picture's central square, uint8 (3, size, size)."""
    if isinstance(picture, str | Path):
        return fit_square(open_picture(picture, side=size), size)
    return fit_square(whole(picture), size)


def paste_back(picture: Image.Image, square: Image.Image) -> Image.Image:
    """``picture`` with its central square, all that the model saw of it, replaced by ``square``."""
    side = min(picture.size)
    corner = ((picture.width - side) // 2, (picture.height - side) // 2)
    result = picture.copy()
    result.paste(square.resize((side, side), Image.Resampling.LANCZOS), corner)
    return result
