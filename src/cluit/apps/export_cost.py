"""What a model costs in one form or another: milliseconds per picture, and how far its pictures are off."""

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cluit.core.images import to_bytes
from cluit.core.machine import describe
from cluit.core.types import Translator

ROUNDS = 15
AT_ONCE = 16

Paint = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Sources, references, domains of these -> pictures."""


@dataclass(frozen=True)
class Cost:
    """Of one form of a model."""

    name: str
    single: float
    """Milliseconds for a source and a reference, from both to the picture: the median of `ROUNDS`."""
    batched: float
    """The same for each of 16 such pairs at once."""
    mean: float
    """Mean absolute difference to the first form's pictures, in levels of 255."""
    largest: int


def painting(translator: Translator, dtype: torch.dtype = torch.float32) -> Paint:
    """All three steps of a translation on the CPU, under autocast unless in float32."""

    def paint(sources: Tensor, references: Tensor, domains: Tensor | None) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            told = () if domains is None else (domains,)
            return translator.translate(sources, translator.encode_style(references, *told))

    return paint


def as_cluit_does(translator: Translator, dtype: torch.dtype = torch.float32) -> Paint:
    """A copy of the translator in PyTorch, its weights in memory as `Painter` has them."""
    used = copy.deepcopy(translator)
    used.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return painting(used, dtype)


def costs(forms: Mapping[str, Paint], pictures: Tensor, domains: int) -> list[Cost]:
    """The cost of each form. They take turns, so that a machine that slows down slows all of them.

    pictures: (N, 3, S, S) in [-1, 1], each a source and the reference of another. domains: how many the model
    tells apart, which take turns.
    """
    references = pictures.roll(1, 0)
    told = torch.arange(len(pictures)) % domains if domains else None
    painted = {name: to_bytes(paint(pictures, references, told)).int() for name, paint in forms.items()}
    truth = next(iter(painted.values()))
    seconds = {at_once: {name: list[float]() for name in forms} for at_once in (1, AT_ONCE)}
    for at_once, taken in seconds.items():
        rows = torch.arange(at_once) % len(pictures)
        inputs = pictures[rows], references[rows], None if told is None else told[rows]
        for _ in range(ROUNDS):
            for name, paint in forms.items():
                began = time.perf_counter()
                paint(*inputs)
                taken[name].append((time.perf_counter() - began) / at_once)
    single, batched = seconds[1], seconds[AT_ONCE]
    differences = {name: (picture - truth).abs() for name, picture in painted.items()}
    return [
        Cost(
            name,
            1000 * statistics.median(single[name]),
            1000 * statistics.median(batched[name]),
            difference.float().mean().item(),
            int(difference.max()),
        )
        for name, difference in differences.items()
    ]


def show(rows: Sequence[Cost]) -> None:
    """Print a table of Markdown, and the machine."""
    print(f"\n{describe(torch.device('cpu'))}, median of {ROUNDS} rounds in turns\n")
    print(f"| | ms per picture, singly | {AT_ONCE} at once | mean difference, levels of 255 | largest |")
    print("|---|---:|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row.name} | {row.single:.2f} | {row.batched:.2f} | {row.mean:.3f} | {row.largest} |",
        )
    print()
