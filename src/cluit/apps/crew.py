"""Work divided among processes, results in the order of the work."""

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from cluit.core.errors import UserError

AHEAD = 2  # calls waiting per process, beside the one it works on
MOMENT = 0.2  # seconds
STOPS = signal.SIGINT, signal.SIGTERM


class Ask(Protocol):
    """Calls one method of a worker with each of the arguments; results come in their order."""

    def __call__(self, method: str, arguments: Iterable[Sequence[Any]], /) -> Iterator[Any]: ...


@contextmanager
def crew(worker: Any, make: Callable[[], Any], processes: int) -> Iterator[Ask]:
    """What asks ``worker`` itself or, of several processes, as many workers of their own.

    make: a picklable function that gives another ``worker``; called once in each process, which has its share
    of the threads. Results depend on ``processes`` only as far as a worker's depend on its threads.
    """
    if processes < 1:
        raise UserError(f"somebody has to do the work; give at least 1 worker, not {processes}")
    if processes == 1:
        yield lambda method, arguments: (getattr(worker, method)(*one) for one in arguments)
        return
    threads = max(1, torch.get_num_threads() // processes)
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    before = multiprocessing.active_children()
    pool = ProcessPoolExecutor(processes, context, initializer=_start, initargs=(make, threads))
    with _stops_held():
        for _ in range(processes):
            pool.submit(int)  # each call starts a process, as none can be at leisure yet

    def ask(method: str, arguments: Iterable[Sequence[Any]]) -> Iterator[Any]:
        ahead = deque[Future[Any]]()
        for one in arguments:
            with _stops_held():
                ahead.append(pool.submit(_call, method, as_arrays(tuple(one))))
            if len(ahead) > processes * (1 + AHEAD):
                yield as_tensors(_result(ahead.popleft()))
        while ahead:
            yield as_tensors(_result(ahead.popleft()))

    try:
        yield ask
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, of too little memory perhaps; take fewer --workers"
        ) from error
    except (KeyboardInterrupt, SystemExit):
        for process in multiprocessing.active_children():
            if process not in before:  # nobody waits for what they are at
                process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _stops_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM come after this context, and never to a process that is started within it.

    A terminal sends them to all processes, but only the first has something to say. And in the middle of a
    call of the pool an exception may leave one of its locks taken, for which its own thread waits for ever.
    """
    held = list[int]()
    handlers = {}
    if threading.current_thread() is threading.main_thread():  # no other runs Python's handlers
        for number in STOPS:
            handlers[number] = signal.signal(number, lambda number, frame: held.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # which a process inherits, unlike a handler
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in held:
            signal.raise_signal(late)


def _result(future: Future[Any]) -> Any:
    """What ``future`` comes to. A signal waits for a moment at most."""
    while True:
        with _stops_held():
            if wait([future], timeout=MOMENT).done:
                return future.result()


_worker: Any = None


def _start(make: Callable[[], Any], threads: int) -> None:
    global _worker
    torch.set_num_threads(threads)
    _worker = make()


def _call(method: str, arguments: tuple[Any, ...]) -> Any:
    return as_arrays(getattr(_worker, method)(*as_tensors(arguments)))


def as_arrays(value: Any) -> Any:
    """Tensors in tuples, lists and dictionaries as arrays: these travel by value, not by shared memory."""
    return _each(value, Tensor, lambda tensor: tensor.cpu().numpy())


def as_tensors(value: Any) -> Any:
    """The way back."""
    return _each(value, np.ndarray, torch.from_numpy)


def _each(value: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, dict):
        return {key: _each(one, kind, function) for key, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_each(one, kind, function) for one in value))
    if isinstance(value, tuple | list):
        return type(value)(_each(one, kind, function) for one in value)
    return value
