"""What only portraits can tell of a run, as their factors are known: for the log, never for the choice."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cluit.apps.monitor import AT_ONCE, Judge, Scores
from cluit.core.images import to_unit
from cluit.core.types import Method, Translator
from cluit.data.portraits import Portraits
from cluit.evaluation.probe import linear_probe
from cluit.evaluation.reader import FaceReader
from cluit.evaluation.truth import held_out_pairs, species_of

COLUMNS = {
    "mae": "error",
    "mae_face": "face",
    "mae_background": "background",
    "ssim_face": "similarity",
    "position": "position",
    "scale": "scale",
    "tilt": "tilt",
    "turn": "turn",
    "species": "species",
}
"""Scores against the true translation, and what a table calls them."""

NOTE = (
    "Error: mean absolute difference from the true translation, in levels of 255, over the whole picture, "
    "over the face and over the background. Similarity: structural, in the face, 1 at best. Position to "
    "turn: correlation of the head's pose, as a judge reads it, with the source's. Species: share read as "
    "the reference's."
)
"""What these columns mean."""

PAIRS = 256
PROBED, PROBED_TEST = 1024, 512  # pictures that a probe learns from, and is tested on


def portraits_judge(size: int, device: torch.device) -> Judge:
    """Scores against the true translation, and how well species is read from what the method has learned.

    A model that tells domains apart is told the species, which then can be read from its style codes.
    """
    reader, pairs = FaceReader.load(), held_out_pairs(PAIRS, size)
    known = Portraits(PROBED + PROBED_TEST, size, split="probe")
    pictures, labels = known.batch(range(len(known))), torch.tensor(known.labels)

    def judge(translator: Translator, method: Method) -> Scores:
        def styles(references: Tensor, species: Sequence[str]) -> Tensor:
            domain = translator.domain_numbers(species)
            return translator.encode_style(references, None if domain is None else domain.to(device))

        def translate(source: Tensor, reference: Tensor, species: Sequence[str]) -> Tensor:
            return translator.translate(source, styles(reference, species))

        parts = [to_unit(part.to(device)) for part in pictures.split(AT_ONCE)]
        told = [species_of(known.style[places]) for places in torch.arange(len(known)).split(AT_ONCE)]
        codes = {
            "probe_features": torch.cat([method.features(part).float().cpu() for part in parts]),
            "probe_style": torch.cat(
                [styles(part, species).float().cpu() for part, species in zip(parts, told, strict=True)]
            ),
        }
        return pairs.score(translate, reader, device) | {
            name: linear_probe(x[:PROBED], labels[:PROBED], x[PROBED:], labels[PROBED:])
            for name, x in codes.items()
        }

    return judge
