"""The one primitive that the indexing loop is made of: work on other threads, results in order, never far ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Protocol, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


class Sized(Protocol):
    """Something that holds ``size`` bytes."""

    @property
    def size(self) -> int: ...


Some = TypeVar("Some", bound=Sized)


def in_order(pool: Executor, work: Callable[[Given], Made], items: Iterable[Given], ahead: int) -> Iterator[Made]:
    """``work`` of each item, in order; at most ``ahead`` of them are under way or done and waiting to be taken.

    Items are taken on the thread that asks for results, so a chain of these reads its source only as fast as its end is asked.
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


def in_batches(items: Iterable[Some], count: int, max_bytes: int) -> Iterator[list[Some]]:
    """Lists of at most ``count`` items; a list ends early once it holds ``max_bytes``."""
    batch: list[Some] = []
    held = 0
    for item in items:
        batch.append(item)
        held += item.size
        if len(batch) == count or held >= max_bytes:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
