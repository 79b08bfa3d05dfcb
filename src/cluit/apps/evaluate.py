"""`cluit evaluate`: the paper's protocol for any model, beside what trivial answers come to.

Every picture is encoded once, every pair painted once. Only styles and features of test pictures are kept;
outputs are judged block by block and added up.
"""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cluit.apps import evaluate_page, failures, report
from cluit.apps.crew import crew
from cluit.apps.domains import require_domains
from cluit.apps.evaluation_set import EvaluationSet, Known, needs_table
from cluit.apps.examination import ORACLE, Examination, Job, reader_of
from cluit.apps.gallery import free_folder, progress
from cluit.apps.sigterm import ended_by_sigterm
from cluit.core.errors import UserError
from cluit.core.files import cache_folder, scratch_folder, together
from cluit.core.machine import describe, peak_memory
from cluit.core.weights import fingerprint
from cluit.data.folder import ImageFolder
from cluit.data.labels import listed
from cluit.evaluation.cache import content
from cluit.evaluation.clock import Clock
from cluit.evaluation.examiner import MODEL, Examiner
from cluit.evaluation.features import EfficientNetLite0
from cluit.evaluation.pixels import Pixels, decode_once
from cluit.evaluation.protocol import Pairs, random_pairs
from cluit.evaluation.tally import Tally

EACH = 10  # references for each source, the paper's
PAGE, PAIRS = "index.html", "pairs.json"


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    out: str | Path,
    pairs: str | Path | None = None,
    each: int = EACH,
    seed: int = 0,
    limit: int | None = None,
    real: str | Path | None = None,
    features: Sequence[str] = (),
    oracle: str | Path | None = None,
    attributes: str | Path | None = None,
    trivial: bool = True,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int = 16,
    workers: int = 1,
) -> dict[str, Any]:
    """Score ``model`` on the test pictures ``data``; write pages, JSON twins and the pairs into ``out``.

    Arguments as the command's flags. Returns the page's JSON twin. UserError for whatever is wrong.
    """
    began, settings = time.perf_counter(), plain(locals())
    twins = (Path(name).with_suffix(".json").name for name in (PAGE, failures.PAGE))
    folder = free_folder(Path(out), PAGE, failures.PAGE, PAIRS, *twins, apart=[data, real])
    if pairs is not None and (limit is not None or each != EACH):
        raise UserError("a file of --pairs says who meets whom; leave out --limit and --each, or --pairs")
    job = Job(
        str(model), str(data), None if real is None else str(real),
        tuple(features) or (EfficientNetLite0.name, *([ORACLE] if oracle else [])),
        None if oracle is None else str(oracle), trivial, device, precision, batch_size,
    )  # fmt: skip
    examiner, clock = job.examiner(), Clock()
    opened = job.open(examiner.translator.image_size, as_files=attributes is not None)
    require_domains(examiner.translator.domains, opened[0].classes)
    if attributes is not None and not needs_table(opened[0], examiner.oracle):
        raise UserError(
            "--attributes is for an oracle of attributes and a folder of pictures; leave it out, or add "
            "such an --oracle"
        )
    with ended_by_sigterm(), scratch_folder(cache_folder("pixels")) as place:
        sets, digests = decode_all(opened, place, clock)
        known = EvaluationSet.of(opened, examiner.oracle, None if attributes is None else Path(attributes))
        chosen = choose(known.names, pairs, each, seed, limit)
        shown = [one or own for one, own in zip(sets, opened, strict=True)]
        examiner = replace(examiner, sets=shown, reader=reader_of(shown))
        work = Examination(examiner, known, *chosen.numbers(known.names), seed)
        making = partial(job.examiner, sets)
        with crew(examiner, making, workers) as ask, bar(len(work.sources)) as advance:
            found = work.examine(digests, ask, clock, advance)
        with clock.running("distances", range(len(found.tallies) * work.references.numel())):
            scores = {name: work.scores(tally, found.real) for name, tally in found.tallies.items()}
        record = {
            "command": command_line(settings),
            "settings": {**settings, "features": job.features},
            "weights": fingerprint(examiner.translator),
            "machine": describe(examiner.device),
            "test": {**work.counts(), "content": digests[0]},
            "networks": {network.name: network.dim for network in examiner.networks},
            "oracle": oracle_record(examiner),
            "scores": scores,
            "notes": [*known.notes, *rare_classes(work), *small_sets(work), *no_kernel(work)],
            "timings": timings(clock, time.perf_counter() - began, examiner.device),
        }
        worst = failures.Shown(work, found.table.styles[work.references])
        write(folder, record, chosen, worst, found.tallies[MODEL])
    print(f"page: {(folder / PAGE).resolve()}")
    return record


def decode_all(sets: Sequence[Known], place: Path, clock: Clock) -> tuple[list[Pixels | None], list[str]]:
    """The pixels of those that are folders, as files in ``place``; the `content` of all.

    After it all damage is known, and names and labels are for good.
    """
    decoded, digests = list[Pixels | None](), list[str]()
    for number, pictures in enumerate(sets):
        with clock.running("decode", pictures):
            pixels, digest = (
                decode_once(pictures, place / str(number))
                if isinstance(pictures, ImageFolder)
                else (None, content(pictures))
            )
        decoded.append(pixels)
        digests.append(digest)
    return decoded, digests


def choose(names: Sequence[str], pairs: str | Path | None, each: int, seed: int, limit: int | None) -> Pairs:
    """Those of the file ``pairs`` or, without one, random ones. UserError for fewer than two."""
    chosen = random_pairs(names, each, seed, limit) if pairs is None else Pairs.read(Path(pairs))
    if len(chosen.sources) * chosen.each < 2:
        raise UserError("distances need at least 2 translations; give more sources, or references each")
    return chosen


def write(folder: Path, record: Mapping[str, Any], pairs: Pairs, shown: failures.Shown, tally: Tally) -> None:
    """The pairs, the page of failures and the page of scores: all or, so that it can be tried again, none."""
    with together(folder) as unfinished:
        pairs.write(unfinished / PAIRS)
        failures.write(unfinished / failures.PAGE, record, failures.rankings(tally, shown.work), shown)
        evaluate_page.write(unfinished / PAGE, record, shown)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as JSON values."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}


def command_line(settings: Mapping[str, Any]) -> str:
    """What gives the same scores: all settings that are not the defaults."""
    defaults = {name: one.default for name, one in inspect.signature(evaluate).parameters.items()}
    changed = {name: value for name, value in settings.items() if name != "model" and value != defaults[name]}
    return report.command_line(["evaluate", settings["model"]], changed)


@contextmanager
def bar(total: int) -> Iterator[Callable[[int], None]]:
    """Progress in sources, where somebody looks; call it with how many more are done."""
    with progress() as shown:
        task = shown.add_task("evaluating", total=total)
        yield lambda more: shown.advance(task, more)


def oracle_record(examiner: Examiner) -> dict[str, Any] | None:
    """Which oracle it is, and how good it is itself."""
    if examiner.oracle is None:
        return None
    card = examiner.oracle.card
    return {
        "name": examiner.oracle.name,
        "classes": examiner.oracle.classes,
        "attributes": examiner.oracle.multi,
        "test": card.get("test"),
        "grey": card.get("grey"),
    }


def rare_classes(work: Examination) -> list[str]:
    """A warning where the mean by class is not one of all classes."""
    # without labels there is one crowd of all, and no class that could be rare
    rare = [name for name, counts in zip(work.classes, work.class_counts(), strict=False) if min(counts) < 2]
    if not rare:
        return []
    return [
        f"No Fréchet distance of {listed(rare)}, which fewer than two real pictures or outputs show; "
        "means by class leave that out."
    ]


def small_sets(work: Examination) -> list[str]:
    """A warning for each network that has more features than there are pictures to tell them from."""
    warnings, fewest = [], min(count for counts in work.class_counts() for count in counts if count)
    for network in work.examiner.networks:
        if fewest <= network.dim:
            where = " in the smallest class" if work.classes else ""
            warnings.append(
                f"Fréchet distances under {network.name} are biased upwards: for {network.dim:,} features "
                f"there are too few pictures, {fewest:,}{where}. Compare them at equal "
                "numbers of pictures alone"
                + ("; the kernel distance has no such bias." if work.blocks else ".")
            )
    return warnings


def no_kernel(work: Examination) -> list[str]:
    """Why there is no kernel distance, where there is none."""
    if work.blocks:
        return []
    return [
        "No kernel distance: it takes two sources with a reference each, all different, and two real "
        "pictures that are none of these; give more pictures, or other ones as --real."
    ]


def timings(clock: Clock, wall: float, device: torch.device) -> dict[str, Any]:
    """Of each phase its pictures, its seconds, summed over processes, and its pictures a second; memory.

    wall: seconds that all took by the clock.
    """
    phases = {
        phase: {"pictures": pictures, "seconds": seconds, "pictures_per_second": pictures / seconds}
        for phase, (pictures, seconds) in clock.phases.items()
    }
    return {"phases": phases, "wall": wall, "peak_memory": peak_memory(device)}
