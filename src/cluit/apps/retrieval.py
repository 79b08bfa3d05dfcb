"""How well a search finds: precision by class, and the same style in another pose, beside baselines."""

import sys
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.analysis.neighbours import precision_at_k, ranks
from cluit.apps.api import Painter
from cluit.apps.gallery import Gallery
from cluit.core.errors import UserError
from cluit.core.images import to_unit
from cluit.data.portraits import Portraits, draw
from cluit.evaluation.features import EfficientNetLite0, Features, open_features, vectors_of
from cluit.evaluation.truth import species_of

K = 10  # of precision@10
FEWEST = (
    2 * K + 1
)  # pictures for it: among fewer, most of the others are neighbours whatever they are compared by
NO_PRECISION = f"No precision@{K}: it takes at least {FEWEST} pictures, in two subfolders or more"
MOST = 2000  # pictures that are compared with one another; a larger folder is sampled
PIXELS = 64  # side at which raw pixels are compared, at most
PROBES = 200  # styles looked for in another pose

CODES = "style codes"

Represent = Callable[[Tensor, Sequence[str]], Tensor]
"""uint8 (N, 3, S, S) and the species of each -> (N, D): what pictures are compared by. A model that tells
domains apart is told the species; nothing else looks at it."""


def open_baseline(wanted: str | None, device: torch.device) -> Features:
    """The network that style codes have to beat: by default one trained on ImageNet where it is installed."""
    if wanted is not None:
        return open_features(wanted, device)
    try:
        return open_features(EfficientNetLite0.name, device)
    except UserError as error:
        print(f"{error}; the baseline is an untrained network", file=sys.stderr)
        return open_features("random", device)


def raw_pixels(pixels: Tensor, species: Sequence[str] = ()) -> Tensor:
    """In [-1, 1], from pictures of at most PIXELS a side."""
    images = to_unit(pixels)
    if images.shape[-1] > PIXELS:
        images = F.interpolate(images, size=(PIXELS, PIXELS), mode="area")
    return images.flatten(1)


class Compared:
    """A sample of a gallery under several representations, the style codes first."""

    def __init__(
        self,
        painter: Painter,
        gallery: Gallery,
        names: Sequence[str],
        codes: Tensor,
        network: Features,
        domain: str | None = None,
    ) -> None:
        """names, codes: of all pictures that can be read, (N,) and (N, S). network: a baseline.

        domain: of all pictures, where a model is not to be told their species.
        """

        def styles(pixels: Tensor, species: Sequence[str]) -> Tensor:
            told = (domain or species) if painter.translator.domains else None
            return painter.styles(list(pixels), told).cpu()

        def seen(pixels: Tensor, species: Sequence[str] = ()) -> Tensor:
            return vectors_of(network, pixels, painter.device)

        others: dict[str, Represent] = {"raw pixels": raw_pixels, f"{network.name} features": seen}
        told = painter.translator.domains and domain is None  # the very class that precision is taken by
        codes_of = f"{CODES} (class told)" if told else CODES
        self.ways = {codes_of: styles, **others}
        row = {name: number for number, name in enumerate(names)}
        numbers, parts = list[int](), {name: list[Tensor]() for name in others}
        for readable, pixels in gallery.batches(gallery.sample(MOST), "comparing with baselines"):
            numbers += readable
            for name, way in others.items():
                parts[name].append(way(pixels, ()))
        self.numbers, self.labels = numbers, gallery.labels[numbers]
        self.vectors = {codes_of: codes[[row[gallery.names[i]] for i in numbers]]}
        self.vectors |= {name: torch.cat(some) for name, some in parts.items()}


def precision_by_class(compared: Compared, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision@10 by representation: the mean over classes under "", then each class; and what chance has.

    Empty where there are fewer than two classes or than ``FEWEST`` pictures.
    """
    labels = compared.labels
    if not classes or len(labels) < FEWEST:
        return {}
    there = [(name, labels == number) for number, name in enumerate(classes) if (labels == number).any()]
    found = {name: precision_at_k(vectors, labels, K) for name, vectors in compared.vectors.items()}
    counts = torch.bincount(labels, minlength=len(classes))
    found["chance"] = ((counts[labels] - 1) / (len(labels) - 1)).float()
    table = {}
    for way, precision in found.items():
        each = {name: precision[members].mean().item() for name, members in there}
        table[way] = {"": sum(each.values()) / len(each), **each}
    return table


def pose_invariance(compared: Compared, portraits: Portraits) -> dict[str, dict[str, float]]:
    """By representation, whether a portrait finds the same animal in another pose among all the others.

    recall_at_1, recall_at_10: shares of ``PROBES`` new styles whose other pose comes first, or among the ten
    first, of the distractors: the compared portraits, none of which has one of these styles. median_rank: of
    the other pose. style_over_pose: share of probes that are nearer to their style in another pose than to
    another style in their own pose.
    """
    probes = Portraits(3 * PROBES, portraits.size, split="search", cache_bytes=0)
    style, other_style = probes.style[:PROBES], probes.style[PROBES : 2 * PROBES]
    pose, other_pose = probes.structure[:PROBES], probes.structure[2 * PROBES :]
    query, target, same_pose = (
        draw(*factors, portraits.size)
        for factors in ((pose, style), (other_pose, style), (pose, other_style))
    )
    taken = {*zip(*(values.tolist() for values in vars(style).values()), strict=True)}
    factors = [values[compared.numbers].tolist() for values in vars(portraits.style).values()]
    strangers = [row for row, one in enumerate(zip(*factors, strict=True)) if one not in taken]
    scores = {}
    for name, way in compared.ways.items():
        q, t = way(query, species_of(style)), way(target, species_of(style))
        p = way(same_pose, species_of(other_style))
        places = ranks(compared.vectors[name][strangers], q, t)
        nearer = F.cosine_similarity(q, t) > F.cosine_similarity(q, p)
        scores[name] = {
            "recall_at_1": (places == 1).float().mean().item(),
            "recall_at_10": (places <= K).float().mean().item(),
            "median_rank": places.float().median().item(),
            "distractors": float(len(strangers)),
            "style_over_pose": nearer.float().mean().item(),
        }
    return scores


def sentences(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """The main figures, for the terminal."""
    told = []
    if table := scores["precision_at_10"]:
        told.append(f"precision@{K}: " + ", ".join(f"{way} {row['']:.3f}" for way, row in table.items()))
    else:
        told.append(NO_PRECISION)
    if table := scores["another_pose"]:
        shares = (f"{way} {row['recall_at_1']:.3f}" for way, row in table.items())
        told.append("same style in another pose found first: " + ", ".join(shares))
    return told
