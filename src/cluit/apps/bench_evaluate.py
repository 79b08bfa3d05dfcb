"""`cluit bench evaluate`: what it saves to encode every style and every structure only once."""

import json as codec
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cluit.apps.bench import clock_for
from cluit.apps.examination import SOURCES_AT_ONCE
from cluit.apps.measure import count_flops, take_turns
from cluit.core.errors import UserError
from cluit.core.machine import describe, has_fast_bfloat16, pick_device
from cluit.data.portraits import SIZES, Portraits
from cluit.evaluation.examiner import MODEL, Examiner, Judged
from cluit.evaluation.features import open_features, vectors_of
from cluit.evaluation.protocol import random_pairs, structure_codes, style_codes, translations
from cluit.evaluation.structure import structure_kept
from cluit.methods import CONFIGS

LOOP, REUSE, HALF = "straightforward loop", "cluit evaluate", "cluit evaluate, bfloat16"


@dataclass(frozen=True)
class Protocol:
    """Pairs to evaluate, and who does."""

    examiner: Examiner
    sources: Tensor
    """(P,) numbers of pictures."""
    references: Tensor
    """(P, E)."""

    @classmethod
    def of(
        cls,
        sources: int,
        each: int,
        image_size: int,
        width: int,
        features: str,
        batch_size: int,
        device: torch.device,
    ) -> "Protocol":
        """CLUIT with random weights, on as many portraits, each a source. UserError for what cannot be."""
        if image_size not in SIZES:
            raise UserError(f"portraits are drawn at {', '.join(map(str, SIZES))} px, not at {image_size}")
        if batch_size < 1:
            raise UserError(f"the batch size must be positive, got {batch_size}")
        names = [f"{number:06}" for number in range(sources)]
        pairs = random_pairs(names, each)
        try:
            translator = CONFIGS["cluit"](image_size=image_size, width=width).build_translator()
        except ValueError as error:
            raise UserError(str(error)) from error
        translator.eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        portraits = Portraits(sources, image_size, split="test")
        network = open_features(features, device)
        examiner = Examiner(translator, [portraits], [network], batch_size=batch_size, trivial=False)
        return cls(examiner, *pairs.numbers(names))

    def loop(self) -> Iterator[Judged]:
        """Every pair by itself, in batches: both halves, the picture, its features, the structure kept."""
        own, each = self.examiner, self.references.shape[1]
        firsts, seconds = self.sources.repeat_interleave(each), self.references.flatten()
        rows = firsts.split(own.batch_size), seconds.split(own.batch_size)
        for first, second in zip(*rows, strict=True):
            shown, worn = (own.sets[0].batch(numbers.tolist()) for numbers in (first, second))
            styles = style_codes(own.translator, worn, own.precision, own.batch_size)
            structures = structure_codes(own.translator, shown, own.precision, own.batch_size)
            outputs = translations(own.translator, structures, styles[:, None], own.precision, own.batch_size)
            features = [vectors_of(network, outputs[:, 0], own.device) for network in own.networks]
            kept = structure_kept(outputs[:, 0].to(own.device), shown.to(own.device)).cpu()
            yield Judged([vectors[:, None] for vectors in features], None, kept[:, None], None)

    def reuse(self, precision: torch.dtype = torch.float32) -> Iterator[Judged]:
        """The same as `cluit evaluate` has it: all styles, then sources with all of their references."""
        own = replace(self.examiner, precision=precision)
        styles, _ = own.encode(self.sources.tolist())
        rows = self.sources.split(SOURCES_AT_ONCE), self.references.split(SOURCES_AT_ONCE)
        for firsts, seconds in zip(*rows, strict=True):
            yield own.judge(firsts.tolist(), seconds, styles[seconds])[0][MODEL]

    def macs(self) -> dict[str, float]:
        """Multiply-adds of each part of the work, for one picture."""
        own, size = self.examiner, self.examiner.translator.image_size
        picture = torch.zeros(1, 3, size, size, device=own.device)
        with torch.inference_mode():
            structure, style = own.translator.encode_structure(picture), own.translator.encode_style(picture)
            parts: dict[str, Callable[[int], Any]] = {
                "style": lambda _: own.translator.encode_style(picture),
                "structure": lambda _: own.translator.encode_structure(picture),
                "decode": lambda _: own.translator.decode(structure, style),
                "features": lambda _: [network(picture) for network in own.networks],
            }
            return {name: count_flops(part) / 2 for name, part in parts.items()}


def bench_evaluate(
    *,
    sources: int = 24,
    each: int = 10,
    image_size: int = 64,
    width: int = 32,
    features: str = "random",
    batch_size: int = 16,
    rounds: int = 5,
    device: str = "auto",
    slow: bool = False,
    busy: bool = False,
    json: bool = False,
) -> None:
    """Measure the evaluation of ``sources`` with ``each`` references beside the loop that reuses nothing.

    rounds: in which both take turns, after one that warms up. slow: as of `bench_step`.
    busy: see `clock_for`.
    UserError where a number is out of range.
    """
    record = measured(sources, each, image_size, width, features, batch_size, rounds, device, slow, busy)
    print(codec.dumps(record, indent=2) if json else told(record))


def measured(
    sources: int,
    each: int,
    image_size: int,
    width: int,
    features: str,
    batch_size: int,
    rounds: int,
    device: str,
    slow: bool,
    busy: bool = False,
) -> dict[str, Any]:
    """All figures, as JSON values. ratio: of the loop's seconds to ours, round by round; bound: the same of
    multiply-adds."""
    if rounds < 1:
        raise UserError(f"rounds must be positive, got {rounds}")
    where = pick_device(device)
    clock = clock_for(where, busy)
    protocol = Protocol.of(sources, each, image_size, width, features, batch_size, where)
    ways: dict[str, Callable[[], Iterator[Judged]]] = {LOOP: protocol.loop, REUSE: protocol.reuse}
    if slow or has_fast_bfloat16(where):
        ways[HALF] = partial(protocol.reuse, torch.bfloat16)
    works = {name: partial(run, way) for name, way in ways.items()}
    for work in works.values():
        work(0)
    seconds = take_turns(works, rounds, where, clock)
    macs = protocol.macs()
    once = macs["style"] + macs["structure"]
    judged = macs["decode"] + macs["features"]
    bound = (once + judged) / (once / each + judged)
    ratios = {name: [a / b for a, b in zip(seconds[LOOP], seconds[name], strict=True)] for name in ways}
    reached = statistics.median(ratios[REUSE])
    return {
        "machine": describe(where),
        "sources": sources,
        "each": each,
        "image_size": image_size,
        "width": width,
        "features": features,
        "batch_size": batch_size,
        "rounds": rounds,
        "processor_time": busy,
        "macs": macs,
        "macs_per_pair": {LOOP: once + judged, REUSE: once / each + judged},
        "bound": bound,
        "ratio": reached,
        "share_of_bound": reached / bound,
        "rows": [
            {
                "name": name,
                "seconds": statistics.median(times),
                "fastest": min(times),
                "slowest": max(times),
                "pairs_per_second": sources * each / statistics.median(times),
                "ratio": statistics.median(ratios[name]),
                "lowest_ratio": min(ratios[name]),
                "highest_ratio": max(ratios[name]),
            }
            for name, times in seconds.items()
        ],
    }


def run(way: Callable[[], Iterator[Judged]], _: int) -> None:
    """To the end."""
    for _judged in way():
        pass


def told(record: Mapping[str, Any]) -> str:
    """For people."""
    macs, pairs = record["macs"], record["macs_per_pair"]
    medians = "medians of processor time" if record["processor_time"] else "medians"
    lines = [
        record["machine"],
        f"{record['sources']} sources × {record['each']} references at {record['image_size']} px, width "
        f"{record['width']}, features {record['features']}, {record['batch_size']} at once: {medians} of "
        f"{record['rounds']} rounds, fastest to slowest",
        f"{'':26}{'seconds':>10} {'':22}{'pairs/s':>9}{'ratio':>8}",
    ]
    for row in record["rows"]:
        spread = f"({row['fastest']:.3f} to {row['slowest']:.3f})"
        ratios = f"({row['lowest_ratio']:.2f} to {row['highest_ratio']:.2f})"
        lines.append(
            f"{row['name']:26}{row['seconds']:>10.3f} {spread:22}{row['pairs_per_second']:>9.1f}"
            f"{row['ratio']:>7.2f}× {ratios}"
        )
    parts = ", ".join(f"{name} {value / 1e6:,.1f} M" for name, value in macs.items())
    return "\n".join(
        [
            *lines,
            f"multiply-adds for a picture: {parts}",
            f"for a pair: {pairs[LOOP] / 1e6:,.1f} M in the loop, {pairs[REUSE] / 1e6:,.1f} M where styles "
            f"and structures are encoded once: at most {record['bound']:.2f}× as fast; reached "
            f"{record['ratio']:.2f}×, {record['share_of_bound']:.0%} of that bound",
        ]
    )
