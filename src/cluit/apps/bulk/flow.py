"""Work done in threads, results in its order, no more of it in memory than is stated."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    work: Callable[[T], R], items: Iterable[T], pool: Executor, ahead: int
) -> Generator[R, None, None]:
    """``work`` of each item, at most ``ahead`` of them beside the one that is waited for."""
    return results((pool.submit(work, item) for item in items), ahead)


def results(futures: Iterable[Future[R]], ahead: int) -> Generator[R, None, None]:
    """What they come to, in order; the next is begun only where fewer than ``ahead`` are not yet taken."""
    waiting = deque[Future[R]]()
    try:
        for future in futures:
            waiting.append(future)
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def ready(result: R) -> Future[R]:
    """A future that is there already."""
    future = Future[R]()
    future.set_result(result)
    return future
