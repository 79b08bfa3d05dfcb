"""A model at work on pictures: any in, PIL images out; and as files that are handed on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

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
from cluit.export import hub

NOTHING = "there is no picture to translate; give at least one source and one reference"


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
            out, self, name=out.absolute().name, half=half, license=license, scores=scores, sample=sample
        )

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
                Path(scratch),
                self,
                name=wanted.repo,
                half=half,
                license=license,
                scores=scores,
                sample=sample,
            )
            return hub.upload(Path(scratch), wanted, private=private, token=token)
