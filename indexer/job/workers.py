"""Run work on other threads and get the results in order, never far ahead: what the indexing loop is made
of."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Protocol, TypeVar

SLICE_SECONDS, WRITE_SECONDS = 3.0, 2.0
"""With a slow encoder or source fewer images are encoded and written at a time: Ctrl-C or a crash loses
little of their work, and whoever watches sees them go by."""
ENCODING = 2
"""Slices that an encoder has at a time: it begins with the next one before it is done with the last."""
MAX_BATCH_BYTES = 64_000_000
"""A batch of large files ends early: some six are under way at a time, each holding its files' bytes."""
Given = TypeVar("Given")
Made = TypeVar("Made")


class Sized(Protocol):
    """Anything that holds ``size`` bytes."""

    @property
    def size(self) -> int: ...


Some = TypeVar("Some", bound=Sized)


def open_pool(stack: ExitStack, name: str, threads: int) -> Executor:
    """Return threads that end with the stack: what they have begun they finish, the rest is dropped."""
    pool = ThreadPoolExecutor(threads, f"index-{name}")
    stack.callback(pool.shutdown, wait=True, cancel_futures=True)
    return pool


def in_order(
    pool: Executor, work: Callable[[Given], Made], items: Iterable[Given], ahead: int
) -> Iterator[Made]:
    """Yield ``work`` of each item, in order; at most ``ahead`` of them are under way or done and waiting to
    be taken.

    Items are taken on the thread that asks for results, so a chain of these reads its source only as fast as
    its end is asked.
    """
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


class Pace:
    """Finds how many items to take at a time so that they take ``seconds`` of work, at most twice that.

    As many as that allows: a model takes an image in a large batch in a third of the time that it takes one
    alone.
    """

    def __init__(self, most: int, seconds: float, *, first: int = 4) -> None:
        self.count = min(first, most)
        self._most = most
        self._seconds = seconds
        self._one = threading.Lock()

    def turn(self) -> AbstractContextManager[object]:
        """Return what the work at one lot is done in. Only where the largest lots are quick enough may two be
        worked at at once: of slow work little is to be lost."""
        return nullcontext() if self.count >= self._most else self._one

    def note(self, count: int, took: float) -> None:
        """Note that ``count`` items took so many seconds."""
        if count and took < self._seconds:
            fit = max(2 * count, int(count * self._seconds / max(took, 1e-9)))
            self.count = min(self._most, max(self.count, fit))
        elif count and took > 2 * self._seconds:
            self.count = max(1, int(count * 2 * self._seconds / took))


def in_batches(
    items: Iterable[Some],
    count: int | Pace,
    max_bytes: int,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[list[Some]]:
    """Yield lists of at most ``count`` items; a list ends early once it holds ``max_bytes``, or ``seconds``
    after the last one."""
    return gathered(([item] for item in items), count, max_bytes, seconds, clock)


def gathered(
    groups: Iterable[list[Some]],
    count: int | Pace,
    max_bytes: int,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[list[Some]]:
    """Cut into lists as ``in_batches`` does, but for items that come in groups: time ends a list only where a
    group ends."""
    batch: list[Some] = []
    held, since = 0, clock()
    for group in groups:
        for item in group:
            batch.append(item)
            held += item.size
            if len(batch) >= (count.count if isinstance(count, Pace) else count) or held >= max_bytes:
                yield batch
                batch, held, since = [], 0, clock()
        if batch and clock() - since >= seconds:
            yield batch
            batch, held, since = [], 0, clock()
    if batch:
        yield batch
