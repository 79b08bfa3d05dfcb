"""What a run is looked at with while it trains: held-out pictures, always the same pairs.

Everything here looks at the averaged translator and moves nothing, so a run that is looked at more often is
the same run. No label, factor or true translation has a say in which model is the best.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from cluit.apps.settings import Settings, model_card
from cluit.core.files import atomic_file, disk_errors
from cluit.core.images import as_picture, grid, to_bytes, to_unit
from cluit.core.types import Method, Metrics, Translator
from cluit.data.dataset import Pictures
from cluit.data.labels import Labelled
from cluit.engine.divergence import require_finite
from cluit.engine.log import Writer
from cluit.evaluation.effects import effect
from cluit.evaluation.realism import Realism
from cluit.export import weights

SHOWN = 8  # sources, and references, of a sample grid
AT_ONCE = 32  # pictures translated together
WARM_UP = 2000  # steps before which an effect near zero is no cause for alarm
LEAST_SOURCE_EFFECT = 0.15  # true translations of portraits have 0.6, and a generator without its source 0
LEAST_REFERENCE_EFFECT = 0.1  # true translations of portraits have 0.9, and one that copies its source 0
LEAST_POSE = 0.5  # mean correlation of the pose with the source's; a healthy run passes 0.7 after 500 steps
POSE = ("position", "scale", "tilt", "turn")

IGNORES_SOURCE = (
    "the generator ignores its source: outputs of one reference look alike, however low the losses; "
    "begin again with a higher --cycle-weight-start and --reconstruction-weight-start, with --beta1 0.5, "
    "or with a lower --style-weight"
)
IGNORES_REFERENCE = (
    "the generator ignores its reference: outputs of one source look alike; "
    "begin again with a higher --style-weight, or with a lower --cycle-weight"
)

Scores = dict[str, float]
Judge = Callable[[Translator, Method], Scores]
"""Further scores, where more is known of the data: of the averaged translator and the method. They are logged
and may cause a warning, but have no say in which model is the best."""


class Monitor:
    """Two hooks, ``score`` and ``grid``."""

    def __init__(
        self,
        run: Path,
        method: Method,
        held_out: Pictures | Labelled,
        settings: Settings,
        writers: Sequence[Writer],
        console: Console,
        judge: Judge | None = None,
    ) -> None:
        self.run, self.method, self.settings = run, method, settings
        self.writers, self.console, self.judge = writers, console, judge
        self.device = next(method.parameters()).device
        everything, self.domain = range(len(held_out)), None
        if isinstance(held_out, Labelled):
            self.pictures, labels = held_out.batch(everything)
            names = [held_out.labels.classes[label] for label in labels]
            self.domain = method.translator.domain_numbers(names)
        else:
            self.pictures = held_out.batch(everything)
        self.shown = min(SHOWN, len(held_out) // 2)
        self.sources, self.references = self.pictures[: self.shown], self.pictures[self.shown :][: self.shown]
        self.realism = Realism(self.device)
        for part in self.pictures.split(AT_ONCE):
            self.realism.look(self.realism.real, self.seen(part))
        self.best = best_score(run)
        self.warned: set[str] = set()

    def seen(self, pixels: Tensor) -> Tensor:
        """uint8 (N, 3, S, S) -> [-1, 1], on the device."""
        return to_unit(pixels.to(self.device)).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def score(self, done: int, metrics: Metrics, translator: Translator) -> None:
        """Log the scores, warn of what they reveal, and keep the model if it is the best so far.

        Diverged where there is nothing left to score.
        """
        require_finite({"average": translator.state_dict(), **self.method.state_dict()}, done)
        scores = self.scores(translator, done)
        all_scores = scores | (self.judge(translator, self.method) if self.judge else {})
        warnings = faults_of(all_scores) if done >= WARM_UP else []
        entry: dict[str, Any] = {**all_scores, **({"warning": "; ".join(warnings)} if warnings else {})}
        for writer in self.writers:
            writer.write(done, entry)
        self.tell(done, all_scores, warnings)
        if not faults_of(scores) and scores["realism"] < self.best:
            self.best = scores["realism"]
            card = {**model_card(self.settings, done), "score": self.best}
            weights.save(self.run / "best", translator, card)

    def scores(self, translator: Translator, done: int) -> Scores:
        """What can be said on any pictures."""
        crowd = self.realism.crowd()
        for fake in self.translations(translator):
            require_finite({"a translation": fake}, done)
            self.realism.look(crowd, fake)
        outputs = self.crossed(translator)
        require_finite({"a translation": outputs}, done)
        return {
            "realism": self.realism.distance(crowd),
            "source_effect": effect(outputs, self.seen(self.sources)),
            "reference_effect": effect(outputs.transpose(0, 1), self.seen(self.references)),
        }

    def translations(self, translator: Translator) -> Iterator[Tensor]:
        """Every held-out picture in the style of another."""
        places = torch.arange(len(self.pictures))
        references = places.roll(len(places) // 2)
        for source, reference in zip(places.split(AT_ONCE), references.split(AT_ONCE), strict=True):
            yield translator.translate(self.seen(self.pictures[source]), self.styles(translator, reference))

    def crossed(self, translator: Translator) -> Tensor:
        """What a grid shows: (A, A, 3, S, S), each of its sources in the style of each of its references."""
        styles = self.styles(translator, torch.arange(self.shown, 2 * self.shown))
        return cross(translator, self.seen(self.sources), styles)

    def styles(self, translator: Translator, places: Tensor) -> Tensor:
        """Of the held-out pictures at these places, (N,) -> (N, S)."""
        domain = None if self.domain is None else self.domain[places].to(self.device)
        return translator.encode_style(self.seen(self.pictures[places]), domain)

    def tell(self, done: int, scores: Scores, faults: list[str]) -> None:
        """Print the scores, and every fault that was not there the last time."""
        text = "  ".join(f"{name} {value:.3g}" for name, value in scores.items())
        self.console.print(f"step {done} · held out: {text}", highlight=False, soft_wrap=True)
        for fault in faults:
            if fault not in self.warned:
                self.console.print(f"warning: step {done}: {fault}", style="bold red", soft_wrap=True)
        self.warned = set(faults)

    @torch.no_grad()
    def grid(self, done: int, metrics: Metrics, translator: Translator) -> None:
        """RUN/grids/step-….png: a row per source, a column per reference, both shown at the edge."""
        outputs = self.crossed(translator)
        blank = torch.full_like(self.sources[0], 255)
        rows = [[blank, *self.references]]
        rows += [[source, *row] for source, row in zip(self.sources, to_bytes(outputs), strict=True)]
        path = self.run / "grids" / f"step-{done:08d}.png"
        with disk_errors(path):
            path.parent.mkdir(exist_ok=True)
        with atomic_file(path) as file:
            as_picture(grid(rows)).save(file, "png")


def cross(translator: Translator, sources: Tensor, style: Tensor) -> Tensor:
    """(A, 3, S, S), (B, S) -> (A, B, 3, S, S): every source in every style."""
    structure = translator.encode_structure(sources)
    rows = [translator.decode(one.expand(len(style), -1, -1, -1), style) for one in structure[:, None]]
    return torch.stack(rows)


def faults_of(scores: Scores) -> list[str]:
    """What makes a model useless however real its pictures look; NaN, of equal pictures, is no fault.

    Where the pose is read, as on portraits, outputs that follow it badly on the whole are a fault too: they
    may still differ by source, by no more than where the head is.
    """
    faults = []
    pose = [scores[name] for name in POSE if name in scores]
    if scores["source_effect"] < LEAST_SOURCE_EFFECT or (pose and sum(pose) / len(pose) < LEAST_POSE):
        faults.append(IGNORES_SOURCE)
    if scores["reference_effect"] < LEAST_REFERENCE_EFFECT:
        faults.append(IGNORES_REFERENCE)
    return faults


def best_score(run: Path) -> float:
    """Of the best model so far, as it says itself; infinite where there is none."""
    try:
        return float(json.loads((run / "best" / weights.CARD).read_text())["score"])
    except (OSError, ValueError, KeyError, TypeError):
        return float("inf")
