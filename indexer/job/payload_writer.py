"""Write changes of payloads to the store, a page at a time. A job that is killed does the last pages
again."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from vitrine.services.category.journal import changed_line
from vitrine.services.category.read_all import pages
from vitrine.services.domain import Hit, Payload
from vitrine.services.errors import NotFound
from vitrine.services.filters.conditions import Filter
from vitrine.services.runtime import Runtime
from vitrine.services.vector_store.base import VectorStore

T = TypeVar("T")
PAGE = 500
"""Images read and written at a time. Whoever edits an image meanwhile waits for as long: a fraction of a
second."""
FLUSH_EVERY = 20_000
"""Images between two flushes. With fifty indexes a flush takes a second or more whatever it holds; what a
power failure undoes, the next run does again."""


@dataclass(frozen=True)
class Change:
    """Fields to set on an image, in one step, after the field paths of ``delete`` have gone, in one step.

    ``unsaid``: field paths at which something takes the place of what people had said.
    """

    set: Payload = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.set or self.delete)


class PayloadWriter:
    """Writes to the images of one category, durable at the latest after ``flush``. Images that were deleted
    since they were read are left out.

    ``key``: the object of the payload that fields are set in, such as ``metadata``.
    """

    def __init__(self, runtime: Runtime, category: str, *, key: str | None = None) -> None:
        self.runtime, self.category = runtime, category
        self._key = key
        self._waiting = 0

    @contextmanager
    def page(self) -> Iterator[None]:
        """Let nobody else of this process write while a page is read and written. Every ``FLUSH_EVERY``
        images it is then made durable, while others may write again."""
        with self.runtime.catalog.writing(self.category):
            yield
        if self._waiting >= FLUSH_EVERY:
            self.flush()

    def write(self, changes: Mapping[str, Change]) -> int:
        """Change images, by id, inside ``page`` where the caller has read them. Return how many of those that
        change were still there."""
        wanted = {id: change for id, change in changes.items() if change}
        left = write_to_those_left(self.runtime.vectors, self.category, wanted, self._apply)
        self._waiting += len(left)
        return len(left)

    def flush(self) -> None:
        """Make all that was written durable."""
        if self._waiting:
            self.runtime.vectors.flush(self.category)
            self._waiting = 0

    def _apply(self, changes: Mapping[str, Change]) -> None:
        alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for id, change in changes.items():
            alike[change.delete].append(id)
        alike.pop((), None)
        for fields, ids in alike.items():  # first: a score may go before the word on who gave it, not after
            self.runtime.vectors.delete_payload(self.category, ids, fields)
        updates = {id: change.set for id, change in changes.items() if change.set}
        if updates:
            self.runtime.vectors.set_payload(self.category, updates, key=self._key, durable=False)
        lines = (
            changed_line(
                id, {self._key: change.set} if self._key else change.set, (*change.delete, *change.unsaid)
            )
            for id, change in changes.items()
        )
        self.runtime.journal.write(self.category, lines)


def write_to_those_left(
    vectors: VectorStore, category: str, given: dict[str, T], write: Callable[[dict[str, T]], None]
) -> dict[str, T]:
    """Write what is ``given`` by image id, without the images that were deleted since they were read. Return
    what was written.

    ``write`` raises ``NotFound`` where one of its images is not there; what it wrote before it writes again.
    """
    left = given
    while left:
        try:
            write(left)
            break
        except NotFound:
            hits = vectors.retrieve(category, list(left), with_payload=False)
            there = {hit.id for hit in hits if hit is not None}
            if len(there) == len(left):
                raise
            left = {id: value for id, value in left.items() if id in there}
    return left


def revise(
    writer: PayloadWriter,
    change: Callable[[Sequence[Hit]], Mapping[str, Change]],
    *,
    fields: tuple[str, ...] = (),
    vectors: tuple[str, ...] = (),
    filter: Filter | None = None,
    size: int | None = None,
    stop: threading.Event | None = None,
) -> Iterator[tuple[int, int]]:
    """Read all images, or those that ``filter`` finds, page by page in order of id, and write what ``change``
    makes of them, while nobody else of this process writes.

    Yields how many images of a page were read, and how many changed. ``change`` is given hits with these
    payload ``fields`` and named ``vectors``. Durable at the end, however that comes. ``InterruptedError``
    where ``stop`` is set before a page.
    """
    store = writer.runtime.vectors
    read = pages(store, writer.category, filter=filter, fields=fields, using=vectors, size=size or PAGE)
    try:
        while True:
            with writer.page():
                hits = next(read, None)
                if hits is None:
                    return
                if stop is not None and stop.is_set():
                    raise InterruptedError
                written = writer.write(change(hits))
            yield len(hits), written
    finally:
        writer.flush()


def erase_field(
    runtime: Runtime, category: str, field: str, inside: Filter, *, stop: threading.Event | None = None
) -> None:
    """Remove a field path from all images that ``inside`` finds as long as they have it. Raises
    ``InterruptedError`` if ``stop`` is set before the end; the same call again goes on."""
    gone = Change(delete=(field,))

    def without(hits: Sequence[Hit]) -> dict[str, Change]:
        return {hit.id: gone for hit in hits}

    writer = PayloadWriter(runtime, category)
    for _ in revise(writer, without, filter=inside, stop=stop):
        pass
