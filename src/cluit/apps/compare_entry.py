"""The entry check: by what a row of a comparison counts as trained, so that nobody beats one that is not.

A model has learned to translate where all three hold, by what it makes of held-out pictures:

- Its training stayed finite.
- It beats two trivial answers in colour, the source and the average of source and reference. On portraits,
  whose true translations are known: its backgrounds are nearer to the truth than those of either. On other
  pictures: the mean colours of its outputs are less than half as far from the references' as the sources'
  are, which is where those of the average lie.
- Its outputs differ by source and by reference, at least as much as a training must not to be warned of.

None of this asks for quality: a model that passes may still be the worst of all.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cluit.apps.monitor import LEAST_REFERENCE_EFFECT, LEAST_SOURCE_EFFECT
from cluit.core.images import to_unit
from cluit.evaluation.effects import effect
from cluit.evaluation.examiner import Examiner

SHOWN = 16  # sources, each with as many references

Entry = dict[str, float]


def entry(examiner: Examiner, sources: Tensor, references: Tensor) -> Entry:
    """What some test pictures show of the model.

    sources, references: numbers of test pictures, of any shape, some of which are crossed.

    source_effect, reference_effect: see `effect`. colour, colour_of_source: how far the mean colours of the
    outputs, and of the sources, are from the references', in levels of 255.
    """
    firsts, seconds = some(sources), some(references)
    styles, _ = examiner.encode(seconds)
    outputs = to_unit(examiner.paint(firsts, styles.expand(len(firsts), -1, -1)))
    shown, worn = (to_unit(examiner.sets[0].batch(numbers)) for numbers in (firsts, seconds))
    return {
        "source_effect": effect(outputs, shown),
        "reference_effect": effect(outputs.transpose(0, 1), worn),
        "colour": colour_distance(outputs, worn[None]),
        "colour_of_source": colour_distance(shown[:, None], worn[None]),
    }


def some(numbers: Tensor) -> list[int]:
    """At most so many different ones, spread over all."""
    distinct = numbers.flatten().unique()
    return distinct[torch.linspace(0, len(distinct) - 1, SHOWN).long().unique()].tolist()


def colour_distance(a: Tensor, b: Tensor) -> float:
    """Between the mean colours of pictures in [-1, 1], (..., 3, H, W), in levels of 255: a mean over all."""
    return (a.mean(dim=(-2, -1)) - b.mean(dim=(-2, -1))).abs().mean().item() * 127.5


def reasons(found: Entry, truth: Mapping[str, float] | None, trivial: Mapping[str, Any]) -> list[str]:
    """Why the model does not count as trained; none where it does.

    truth: on portraits, its scores against the true translations. trivial: records of the trivial answers.
    """
    told = []
    if truth is None:
        ours, theirs = found["colour"], found["colour_of_source"]
        if ours >= theirs / 2:
            told.append(
                f"the mean colours of its outputs are {ours:.1f} levels from the references', those of the "
                f"source {theirs:.1f} and of the average {theirs / 2:.1f}"
            )
    else:
        ours = truth["mae_background"]
        others = {answer: trivial[answer]["truth"]["mae_background"] for answer in ("source", "average")}
        if ours >= min(others.values()):
            those = " and ".join(f"of the {answer} {value:.1f}" for answer, value in others.items())
            told.append(f"its backgrounds are {ours:.1f} levels off, those {those}")
    for what, least in (("source", LEAST_SOURCE_EFFECT), ("reference", LEAST_REFERENCE_EFFECT)):
        if (ours := found[f"{what}_effect"]) < least:
            told.append(f"its outputs differ by {what} {ours:.2f} as much as these do, less than {least}")
    return told
