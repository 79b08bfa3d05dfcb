"""Work divided among processes comes back in its order, whatever it holds."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from cluit.apps.crew import as_arrays, as_tensors, crew
from cluit.core.errors import UserError


class Pair(NamedTuple):
    number: int
    rows: list[Any]


class Squarer:
    """A worker; importable, so that another process can make one."""

    def square(self, number: int, rows: Tensor) -> dict[str, Pair]:
        return {"pair": Pair(number**2, [rows * number, None])}

    def fail(self) -> None:
        raise UserError("this cannot be done")

    def rest(self) -> None:
        time.sleep(120)

    def vanish(self) -> None:
        os._exit(1)


def asked(processes: int) -> list[Any]:
    with crew(Squarer(), Squarer, processes) as ask:
        return list(ask("square", ((number, torch.arange(3) + number) for number in range(9))))


def test_two_processes_answer_as_one_in_order() -> None:
    alone, together = asked(1), asked(2)
    for number, (a, b) in enumerate(zip(alone, together, strict=True)):
        assert a["pair"].number == b["pair"].number == number**2
        assert isinstance(b["pair"], Pair)
        assert torch.equal(a["pair"].rows[0], b["pair"].rows[0])
        assert b["pair"].rows[1] is None


def test_a_workers_mistake_and_its_death_are_one_sentence() -> None:
    with pytest.raises(UserError, match="cannot be done"), crew(Squarer(), Squarer, 2) as ask:
        list(ask("fail", [()]))
    with pytest.raises(UserError, match="worker process died"), crew(Squarer(), Squarer, 2) as ask:
        list(ask("vanish", [()]))
    with pytest.raises(UserError, match="at least 1 worker"), crew(Squarer(), Squarer, 0):
        pass


CTRL_C = """
import signal
from test_crew import Squarer
from cluit.apps.crew import crew
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    with crew(Squarer(), Squarer, 2) as ask:
        print("spawning", flush=True)
        list(ask("rest", [()]))
"""


@pytest.mark.parametrize("seconds", [0.0, 0.5, 4.0])
def test_ctrl_c_is_the_first_process_alone_to_tell_of(seconds: float, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(CTRL_C)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, told = process.communicate(timeout=300)  # busy machines take their time
    assert told.count("Traceback") == 1
    assert told.rstrip().endswith("KeyboardInterrupt")
    assert "SpawnProcess" not in told


def test_a_signal_in_a_call_of_the_pool_comes_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it may leave a lock of the pool taken, for which all wait for ever."""
    ended = list[str]()
    submit, before = ProcessPoolExecutor.submit, signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted(self: ProcessPoolExecutor, function: Any, *arguments: Any) -> Any:
        if function is not int:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)  # until one of the threads has it
        future = submit(self, function, *arguments)
        ended.append(function.__name__)
        return future

    monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
    over = threading.Event()
    threading.Thread(target=over.wait).start()  # as those of torch, any of which may be sent a signal
    try:
        with pytest.raises(KeyboardInterrupt), crew(Squarer(), Squarer, 2) as ask:
            list(ask("rest", [()]))
    finally:
        over.set()
        signal.signal(signal.SIGINT, before)
    assert ended == ["int", "int", "_call"]


def test_arrays_and_back_changes_nothing() -> None:
    value = Pair(3, [torch.randn(2, 2), None])
    back = as_tensors(as_arrays({"a": (value, "text")}))
    assert torch.equal(back["a"][0].rows[0], value.rows[0])
    assert back["a"][1] == "text"
