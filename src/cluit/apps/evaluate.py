"""`cluit evaluate`: the paper's protocol for any model, beside what trivial answers come to.

Every picture is encoded once, every pair painted once. Only styles and features of test pictures are kept;
outputs are judged block by block and added up.
"""

import inspect
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cluit.apps import evaluate_page, failures
from cluit.apps.crew import crew
from cluit.apps.evaluation_set import EvaluationSet
from cluit.apps.examination import ORACLE, Examination, Job
from cluit.apps.gallery import free_folder, progress
from cluit.core.files import disk_errors
from cluit.core.machine import describe
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
    twins = (Path(name).with_suffix(".json").name for name in (PAGE, FAILURES))
    folder = free_folder(Path(out), PAGE, FAILURES, PAIRS, *twins)
    job = Job(
        str(model), str(data), None if real is None else str(real),
        tuple(features) or (EfficientNetLite0.name, *([ORACLE] if oracle else [])),
        None if oracle is None else str(oracle), trivial, device, precision, batch_size,
    )  # fmt: skip
    examiner = job.examiner()
    digests = [content(pictures) for pictures in examiner.sets]  # decodes all: what is damaged is known now
    known = EvaluationSet.of(examiner.sets, examiner.oracle, None if attributes is None else Path(attributes))
    chosen = random_pairs(known.names, each, seed, limit) if pairs is None else Pairs.read(Path(pairs))
    work = Examination(examiner, known, *chosen.numbers(known.names), seed)

    looking, judging, counting = Clock(), Clock(), Clock()
    with crew(examiner, job.examiner, workers) as ask, bar(len(work.sources)) as advance:
        tables = [work.look(which, digest, ask, looking) for which, digest in enumerate(digests)]
        crowds = work.real_crowds(tables[-1])
        tallies = work.judge(tables[0], crowds, ask, judging, advance)
    with counting.running("distances"):
        scores = {name: work.scores(tally, crowds) for name, tally in tallies.items()}
    record = {
        "command": command_line(settings),
        "settings": {**settings, "features": job.features},
        "machine": describe(examiner.device),
        "test": {**work.counts(), "content": digests[0]},
        "networks": {network.name: network.dim for network in examiner.networks},
        "oracle": oracle_record(examiner),
        "scores": scores,
        "notes": [*known.notes, *small_sets(examiner, crowds, tallies[MODEL])],
        "timings": {
            **timings(looking, judging, counting, work, len(tallies)),
            "wall": time.perf_counter() - began,
        },
    }
    write(folder, record, chosen, failures.Shown(work, tables[0].styles[work.references]), tallies[MODEL])
    return record


def write(folder: Path, record: Mapping[str, Any], pairs: Pairs, shown: failures.Shown, tally: Tally) -> None:
    """The pairs, the page of failures and the page of scores."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    pairs.write(folder / PAIRS)
    failures.write(folder / FAILURES, record, failures.rankings(tally, shown.work), shown)
    evaluate_page.write(folder / PAGE, record, shown)
    print(f"page: {(folder / PAGE).resolve()}")


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
    looking: Clock, judging: Clock, counting: Clock, work: Examination, answers: int
) -> dict[str, Any]:
    """Where the time went, in seconds, summed over processes; pictures a second of their stage; memory.

    looking: the test pictures' styles and features; judging: all answers to all pairs.
    """
    outputs = work.references.numel()
    computed = outputs * (answers if answers == 1 else answers - len(LOOKED_UP))
    rates = {
        "decode": outputs / judging.seconds["decode"],
        "features": computed * len(work.examiner.networks) / judging.seconds["features"],
        "structure": outputs * answers / judging.seconds["structure"],
    }
    return {
        "looking": looking.seconds,
        "judging": judging.seconds,
        **counting.seconds,
        "pictures_per_second": rates,
        "outputs": outputs,
        "peak_memory": peak_memory(work.examiner.device),
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
