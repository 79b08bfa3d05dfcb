"""Where the time goes."""

import time
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple


class Spent(NamedTuple):
    """What a phase of the work took."""

    pictures: int = 0
    seconds: float = 0.0


@dataclass
class Clock:
    """What each phase of the work took, in the order in which they began."""

    phases: dict[str, Spent] = field(default_factory=dict)

    @contextmanager
    def running(self, phase: str, pictures: Sized) -> Iterator[None]:
        """To work on ``pictures`` within; only their number counts."""
        began = time.perf_counter()
        yield
        self.add({phase: Spent(len(pictures), time.perf_counter() - began)})

    def add(self, phases: Mapping[str, Spent]) -> None:
        """What another clock counted."""
        for phase, (pictures, seconds) in phases.items():
            before = self.phases.get(phase, Spent())
            self.phases[phase] = Spent(before.pictures + pictures, before.seconds + seconds)
