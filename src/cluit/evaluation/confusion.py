"""Which species outputs show where several share one label: the reference's, or another of that label.

The paper's section 4.1 reports that a supervised method draws a rather random species of a coarse label where
the paper's own draws the reference's. On portraits with coarse labels it can be counted.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cluit.data.factors import SPECIES
from cluit.data.portraits import Portraits
from cluit.evaluation.marks import known, marks_of


def species_confusion(read: Tensor, wanted: Tensor, shown: Tensor, labels: Sequence[str]) -> dict[str, Any]:
    """What N outputs show, as JSON values.

    read, wanted, shown: (N,) long, indices into ``SPECIES``: as the face reader sees the output, of the
    reference, of the source. labels: of each of ``SPECIES`` the label that its pictures have.

    counts: of all outputs, rows by ``wanted``, columns by ``read``. coarse: by each label that several of the
    wanted species have, see `within`; over outputs whose source has another label, since where a source's own
    species stays it would pass for one that was drawn at random.
    """
    names, species = sorted(set(labels)), wanted.unique().tolist()
    groups = {name: [i for i in species if labels[i] == name] for name in names}
    numbers = torch.tensor([names.index(label) for label in labels])
    across = numbers[wanted] != numbers[shown]
    return {
        "species": SPECIES,
        "labels": list(labels),
        "counts": marks_of(SPECIES, read, wanted).counts.tolist(),
        "coarse": {
            label: within(read[across], wanted[across], group)
            for label, group in groups.items()
            if len(group) > 1
        },
    }


def within(read: Tensor, wanted: Tensor, group: Sequence[int]) -> dict[str, Any]:
    """Of the outputs whose reference is one of the species ``group``, as JSON values.

    outputs: how many. reference, sibling, other: shares that show the reference's species, another of the
    group, one outside it. told_apart: of those that show one of the group, the share that shows the
    reference's; the mean over the species of the group, so that always showing the same one, or any by
    chance, gives ``chance``, 1 / len(group), however often each is asked for. None where it is a share of
    nothing.
    """
    members = torch.tensor(group)
    asked = torch.isin(wanted, members)
    read, wanted = read[asked], wanted[asked]
    inside, right = torch.isin(read, members), read == wanted
    shares = {"reference": right, "sibling": inside & ~right, "other": ~inside}
    recalls = torch.stack([right[inside & (wanted == i)].double().mean() for i in members])
    return {
        "outputs": len(read),
        **{name: known(which.double().mean().item()) for name, which in shares.items()},
        "told_apart": known(recalls.mean().item()),
        "chance": 1 / len(group),
    }


def labels_of_species(portraits: Portraits) -> list[str]:
    """Of each of ``SPECIES`` the label that these portraits have for it; its own name where none came."""
    labels = list(SPECIES)
    for species, label in zip(portraits.style.species.tolist(), portraits.labels, strict=True):
        labels[species] = portraits.classes[label]
    return labels
