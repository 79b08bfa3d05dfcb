"""The library in three lines of Python: load, translate, save."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import torch
from PIL import Image
from torch import Tensor

from cluit.apps import share
from cluit.apps.domains import domains_of
from cluit.apps.squares import Picture, as_list, as_square, is_one, paste_back, whole
from cluit.core.chance import mixed
from cluit.core.errors import UserError
from cluit.core.images import as_picture, to_bytes, to_unit
from cluit.core.machine import pick_device, pick_precision
from cluit.core.types import StyleSampler, Translator
from cluit.core.weights import beside_pickles
from cluit.export import hub, runtime, weights
from cluit.methods import CONFIGS

if TYPE_CHECKING:
    from cluit.data.dataset import MapStyle

SHIPPED = "portraits"
NOTHING = "there is no picture to translate; give at least one source and one reference"


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
        origin: Path | None = None,
    ) -> None:
        """card: what is known of the model, as in its ``model.json``. origin: the folder that it is from."""
        if batch_size < 1:
            raise UserError(f"the batch size must be at least 1, got {batch_size}")
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.translator = translator.eval().to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.card, self.origin = dict(card or {}), origin
        self.batch_size = batch_size
        self.image_size = translator.image_size
        self.domains = translator.domains

    @overload
    def translate(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self,
        source: Picture,
        reference: Picture,
        full_size: bool = False,
        domain: str | int | Sequence[str] | None = None,
    ) -> Image.Image: ...

    @overload
    def translate(
        self,
        source: Sequence[Picture],
        reference: Picture | Sequence[Picture],
        full_size: bool = False,
        domain: str | int | Sequence[str] | None = None,
    ) -> list[Image.Image]: ...

    @overload
    def translate(
        self,
        source: Picture,
        reference: Sequence[Picture],
        full_size: bool = False,
        domain: str | int | Sequence[str] | None = None,
    ) -> list[Image.Image]: ...

    def translate(
        self,
        source: Picture | Sequence[Picture],
        reference: Picture | Sequence[Picture],
        full_size: bool = False,
        domain: str | int | Sequence[str] | None = None,
    ) -> Image.Image | list[Image.Image]:
        """``source`` repainted in the style of ``reference``.

        Two pictures give a picture. A list and a picture, or two lists of one length, give a list, pair by
        pair; an array or tensor of four dimensions counts as a list. The result is a square of the model's
        size, or with ``full_size`` the whole source, its central square repainted. domain: see ``styles``.
        """
        sources, references = as_list(source), as_list(reference)
        pictures = self._pairs(sources, references, full_size, domain)
        return pictures[0] if is_one(source) and is_one(reference) else pictures

    def _pairs(
        self,
        sources: Sequence[Picture],
        references: Sequence[Picture],
        full_size: bool,
        domain: str | int | Sequence[str] | None,
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
        styles = self.styles(references, domain).expand(count, -1)
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

    def styles(
        self, references: Picture | Sequence[Picture], domain: str | int | Sequence[str] | None = None
    ) -> Tensor:
        """(N, S): what each reference, one or several, gives to a translation.

        domain: for a model that tells domains apart, that of all references or of each, by name. Without it
        the nearest folder above a file whose name is a domain decides.
        """
        pictures = as_list(references)
        names = domains_of(self.translator, pictures, domain)
        told = None if names is None else self.translator.domain_numbers(names)
        return self._encode(self.translator.encode_style, pictures, told)

    @torch.inference_mode()
    def sample_styles(self, count: int, domain: str | None = None, seed: int = 0) -> Tensor:
        """(count, S): styles of a domain, made up without references.

        The i-th depends on model, domain, seed and i alone. UserError for a model that makes no styles up.
        """
        sampler = self.translator
        if not isinstance(sampler, StyleSampler):
            raise UserError("this model makes no styles up; give references instead")
        if count < 1:
            raise UserError(f"there must be at least one style to make up, not {count}")
        if domain is None:
            known = ", ".join(self.translator.domains)
            raise UserError(
                f"styles are made up in one of the domains {known}; add --domain (domain= in Python)"
            )
        told = self.translator.domain_numbers([domain] * count)
        assert told is not None  # who makes up styles does it by domain
        chances = (torch.Generator().manual_seed(mixed("latent", seed, i)) for i in range(count))
        latent = torch.stack([torch.randn(sampler.latent_dim, generator=chance) for chance in chances])
        return sampler.sample_style(latent.to(self.device), told.to(self.device)).float()

    def structures(self, sources: Picture | Sequence[Picture]) -> Tensor:
        """(N, C, h, w): what a translation keeps of each source, one or several."""
        return self._encode(self.translator.encode_structure, as_list(sources))

    @torch.inference_mode()
    def _encode(
        self, half: Callable[..., Tensor], pictures: Sequence[Picture], domain: Tensor | None = None
    ) -> Tensor:
        parts = []
        for start in range(0, len(pictures), self.batch_size):
            rows = slice(start, start + self.batch_size)
            squares = torch.stack([as_square(one, self.image_size) for one in pictures[rows]])
            images = to_unit(squares.to(self.device)).contiguous(memory_format=torch.channels_last)
            told = () if domain is None else (domain[rows].to(self.device),)
            with self._autocast():
                parts.append(half(images, *told).float())
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

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        half: bool = False,
        overwrite: bool = False,
        license: str | None = None,
        scores: str | Path | None = None,
        sample: bool = False,
    ) -> None:
        """Write the model into ``folder``: model.safetensors, model.json and README.md, the model's card.

        half: store float16, which halves the file. license: what others may do with it, by the hub's name of
        it, e.g. ``mit``; the card says that none is stated. scores: a folder of `cluit evaluate`, whose
        figures the card shows beside those of the training. sample: show the run's latest grid too, with the
        pictures that it was held against; a model of portraits always does.

        UserError where ``folder`` is a run or already holds such files, unless they are to be overwritten.
        """
        out = Path(folder).expanduser()
        share.require_free(out, overwrite)
        share.write(
            out, self.translator, self.card, self.origin, name=out.absolute().name, half=half,
            license=license, scores=scores, sample=sample,
        )  # fmt: skip

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool = False,
        token: hub.Token = None,
        half: bool = False,
        license: str | None = None,
        scores: str | Path | None = None,
        sample: bool = False,
    ) -> str:
        """Hand the model in at the hub as ``repo``, ``user/name``, and return the address of its page.

        What ``save_pretrained`` writes, as one commit; the repository is made if need be. private: for
        nobody else to see; UserError where the repository is public already. token: as in
        ``from_pretrained``. The others as in ``save_pretrained``.
        """
        wanted = hub.HubId.read(repo)
        with tempfile.TemporaryDirectory() as scratch:
            share.write(
                Path(scratch), self.translator, self.card, self.origin, name=wanted.repo, half=half,
                license=license, scores=scores, sample=sample,
            )  # fmt: skip
            return hub.upload(Path(scratch), wanted, private=private, token=token)
