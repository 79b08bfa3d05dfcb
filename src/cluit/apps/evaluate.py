"""`cluit evaluate`: the paper's protocol for any model, beside what trivial answers come to.

Every picture is encoded once, every pair painted once. Only styles and features of test pictures are kept;
outputs are judged block by block and added up.
"""

import inspect
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from cluit.apps import evaluate_page, failures
from cluit.apps.crew import crew
from cluit.apps.evaluation_set import EvaluationSet
from cluit.apps.examination import ORACLE, Job, judge, look, real_crowds
from cluit.core.errors import UserError
from cluit.core.files import disk_errors
from cluit.core.machine import describe
from cluit.data.portraits import Portraits
from cluit.evaluation.cache import content
from cluit.evaluation.crowd import Crowd
from cluit.evaluation.examiner import LOOKED_UP, MODEL, Clock, Examiner
from cluit.evaluation.features import EfficientNetLite0
from cluit.evaluation.protocol import Pairs, random_pairs
from cluit.evaluation.tally import Tally

PAGE, FAILURES, PAIRS = "index.html", "worst.html", "pairs.json"


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    out: str | Path,
    pairs: str | Path | None = None,
    each: int = 10,
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
    folder = free_folder(Path(out).expanduser())
    job = Job(
        str(model), str(data), None if real is None else str(real),
        tuple(features) or (EfficientNetLite0.name, *([ORACLE] if oracle else [])),
        None if oracle is None else str(oracle), trivial, device, precision, batch_size,
    )  # fmt: skip
    examiner = job.examiner()
    digests = [content(pictures) for pictures in examiner.sets]  # decodes all: what is damaged is known now
    known = EvaluationSet.of(examiner.sets, examiner.oracle, None if attributes is None else Path(attributes))
    chosen = random_pairs(known.names, each, seed, limit) if pairs is None else Pairs.read(Path(pairs))
    sources, references = chosen.numbers(known.names)

    looking, judging, counting = Clock(), Clock(), Clock()
    with crew(examiner, job.examiner, workers) as ask, bar(len(sources)) as progress:
        tables = [look(examiner, which, digest, ask, looking) for which, digest in enumerate(digests)]
        crowds = real_crowds(examiner, known, tables[-1], seed)
        tallies = judge(examiner, known, tables[0], crowds, sources, references, seed, ask, judging, progress)
    with counting.running("distances"):
        scores = {
            name: scores_of(tally, examiner, known, crowds, sources, references, seed)
            for name, tally in tallies.items()
        }
    record = {
        "command": command_line(settings),
        "settings": {**settings, "features": job.features},
        "machine": describe(examiner.device),
        "test": {
            "pictures": len(set(known.names)), "content": digests[0], "real": len(known.real),
            "sources": len(sources), "each": chosen.each,
            "classes": known.classes.classes if known.classes else (),
        },
        "networks": {network.name: network.dim for network in examiner.networks},
        "oracle": oracle_record(examiner),
        "scores": scores,
        "notes": [*known.notes, *small_sets(examiner, crowds, tallies[MODEL])],
        "timings": {
            "wall": time.perf_counter() - began,
            **timings(looking, judging, counting, references.numel(), tallies, examiner),
        },
    }  # fmt: skip
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    chosen.write(folder / PAIRS)
    shown = failures.Shown(examiner, known.names, sources, references, tables[0].styles[references])
    worst = failures.rankings(tallies[MODEL], known, examiner, sources, references)
    failures.write(folder / FAILURES, record, worst, shown)
    evaluate_page.write(folder / PAGE, record, shown)
    print(f"page: {(folder / PAGE).resolve()}")
    return record


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as JSON values."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}


def command_line(settings: Mapping[str, Any]) -> str:
    """What gives the same scores: all settings that are not the defaults."""
    defaults = {name: one.default for name, one in inspect.signature(evaluate).parameters.items()}
    words = ["cluit", "evaluate", str(settings["model"])]
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if name == "model" or value == defaults[name]:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, list | tuple):
            words += [f"--{flag}", *map(str, value)]
        else:
            words += [f"--{flag}", str(value)]
    return shlex.join(words)


def free_folder(out: Path) -> Path:
    """UserError where an evaluation is already there, or something that is no folder."""
    taken = [out] if os.path.lexists(out) and not out.is_dir() else []
    taken += [out / name for name in (PAGE, FAILURES, PAIRS) if os.path.lexists(out / name)]
    if taken:
        raise UserError(f"{taken[0]} is already there; choose another --out")
    return out


@contextmanager
def bar(total: int) -> Iterator[Callable[[int], None]]:
    """Progress in sources, where somebody looks; call it with how many more are done."""
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("evaluating", total=total)
        yield lambda more: progress.advance(task, more)


def scores_of(
    tally: Tally,
    examiner: Examiner,
    known: EvaluationSet,
    real: Sequence[Crowd],
    sources: Tensor,
    references: Tensor,
    seed: int,
) -> dict[str, Any]:
    """All that one answer comes to, as JSON values."""
    names = [network.name for network in examiner.networks]
    classes = known.classes.classes if known.classes else ()
    test = examiner.sets[0]
    marks = tally.marks(known.wanted, references) if known.wanted is not None else None
    truth = tally.truth_scores(test, sources, references) if isinstance(test, Portraits) else None
    return {
        **tally.scores(real, names, classes, seed),
        "oracle": None if marks is None else marks.record(),
        "truth": truth,
    }


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


def small_sets(examiner: Examiner, real: Sequence[Crowd], made: Tally) -> list[str]:
    """A warning for each network that has more features than there are pictures to tell them from."""
    warnings = []
    for network, crowd, outputs in zip(examiner.networks, real, made.crowds, strict=True):
        counts = [gaussian.count for one in (crowd, outputs) for gaussian in one.classes if gaussian.count]
        if min(counts) <= network.dim:
            warnings.append(
                f"Fréchet distances under {network.name} are biased upwards: a class has only "
                f"{min(counts):,} pictures for {network.dim:,} features. Compare them at equal numbers of "
                "pictures alone; the kernel distance has no such bias."
            )
    return warnings


def timings(
    looking: Clock,
    judging: Clock,
    counting: Clock,
    outputs: int,
    tallies: Mapping[str, Tally],
    examiner: Examiner,
) -> dict[str, Any]:
    """Where the time went, in seconds, summed over processes; pictures a second of their stage; memory.

    looking: the test pictures' styles and features; judging: all answers to all pairs; outputs: of the model.
    """
    computed = outputs * sum(name not in LOOKED_UP for name in tallies)
    rates = {
        "decode": outputs / judging.seconds["decode"],
        "features": computed * len(examiner.networks) / judging.seconds["features"],
        "structure": outputs * len(tallies) / judging.seconds["structure"],
    }
    return {
        "looking": looking.seconds,
        "judging": judging.seconds,
        **counting.seconds,
        "pictures_per_second": rates,
        "outputs": outputs,
        "peak_memory": peak_memory(examiner.device),
    }


def peak_memory(device: torch.device) -> dict[str, int]:
    """Bytes at most: of this process, of the largest of its children, and on a CUDA device."""
    try:
        import resource
    except ImportError:  # Windows
        return {}
    unit = 1 if sys.platform == "darwin" else 1024
    peak = {
        "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "largest_worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit,
    }
    return peak | ({"cuda": torch.cuda.max_memory_allocated(device)} if device.type == "cuda" else {})
