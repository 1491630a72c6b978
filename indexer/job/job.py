"""A long piece of work on a category: its stages, how far it is, how it is stopped, and how it ended.

A new kind of enrichment is a function that makes a ``Job``, finds something out, and gives ``Job.revise``
what to write on each image; see ``enrich/metadata/split_hashtags.py`` for the smallest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from vitrine.indexer.job.payload_writer import Change, PayloadWriter, revise
from vitrine.indexer.job.progress import Progress, Tally
from vitrine.services.domain import Hit
from vitrine.services.errors import VitrineError
from vitrine.services.files import any_error
from vitrine.services.runtime import Runtime

Advance = Callable[[int, int], None]
"""Called with how many of how many are done; raises ``InterruptedError`` where the job is to end before
that."""
Status = Literal["complete", "refused", "interrupted", "failed", "out_of_time"]
EXIT_CODES: Mapping[Status, int] = {
    "complete": 0,
    "failed": 1,
    "refused": 3,
    "out_of_time": 4,
    "interrupted": 130,
}


@dataclass(kw_only=True)
class Report:
    """What a job did, complete or not: the base of all reports.

    ``seconds``: in all; ``stages``: seconds by stage. ``notes``: sentences for people. ``interrupted``:
    Ctrl-C or ``stop`` ended it; ``error`` did.
    """

    interrupted: bool = False
    error: VitrineError | None = None
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """Return how many images could not be taken."""
        return 0

    @property
    def partial(self) -> bool:
        """Return whether something was refused that people have to look at."""
        return self.refused > 0

    @property
    def status(self) -> Status:
        if self.error:
            return "failed"
        if self.interrupted:
            return "interrupted"
        return "refused" if self.partial else "complete"

    @property
    def exit_code(self) -> int:
        """0 complete, 1 failed, 3 some were refused, 4 the time was up, 130 interrupted."""
        return EXIT_CODES[self.status]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        own = {name: value for name, value in vars(self).items() if name not in _COMMON}
        return {"status": self.status, **own, "seconds": round(self.seconds, 3), "notes": self.notes}

    def error_json(self) -> dict[str, str] | None:
        """Return the error as a JSON object; None where there was none."""
        return {"code": self.error.code, "message": self.error.message} if self.error else None

    def summary(self) -> str:
        """Return a few lines for people: the notes, and how it ended."""
        return "\n".join([*self.notes, *self.ending()])

    def ending(self) -> list[str]:
        """Return what to tell people about a job that ended before its time."""
        stored = "What is counted above is stored; run again to go on."
        if self.error:
            return [f"Ended early ({self.error.code}): {self.error.message} {stored}"]
        return [f"Interrupted. {stored}"] if self.interrupted else []


def first_few(lines: Sequence[str], count: int, where: str, indent: str = "    ") -> list[str]:
    """Return the first ten lines, indented, and how many of ``count`` more there are and ``where``."""
    more = [f"... and {count - _SHOWN} more ({where})"] if count > _SHOWN else []
    return [indent + line for line in [*lines[:_SHOWN], *more]]


_SHOWN = 10
_COMMON = ("interrupted", "error", "seconds", "stages", "notes")


class Job:
    """One job on one category, from its first stage to the end of its ``report``.

    ``stop`` may be set from another thread: the job then ends after the page or batch under way.
    """

    def __init__(
        self,
        runtime: Runtime,
        category: str,
        report: Report,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.runtime, self.category, self.report = runtime, category, report
        self.progress = progress
        self.stop = stop or threading.Event()

    @contextmanager
    def running(self, *, keep_errors: bool = False) -> Iterator[None]:
        """Time the work inside, and note in the report that Ctrl-C or ``stop`` ended it; with ``keep_errors``
        also that an error did, which is raised otherwise."""
        started = time.perf_counter() - self.report.seconds
        try:
            yield
        except (KeyboardInterrupt, InterruptedError):
            self.report.interrupted = True
        except Exception as error:
            if not keep_errors:
                raise
            self.report.error = any_error(error)
        finally:
            self.report.seconds = time.perf_counter() - started

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """Time and show the work inside, which takes ``total`` images where that is known. Raises
        ``InterruptedError`` if ``stop`` is set already."""
        progress, tally, started = self.progress, Tally(), time.perf_counter()

        def advance(done: int, of: int) -> None:
            if done < of:  # what is complete is not interrupted
                self.check()
            tally.done, tally.refused = done, self.report.refused
            if progress:
                progress.update(tally)

        if progress:
            progress.start(name, total)
        try:
            self.check()
            yield advance
        finally:
            spent = self.report.stages.get(name, 0.0) + time.perf_counter() - started
            self.report.stages[name] = round(spent, 3)
            if progress:
                progress.finish(tally)

    def check(self) -> None:
        """Raise ``InterruptedError`` once ``stop`` is set."""
        if self.stop.is_set():
            raise InterruptedError

    def apart(self, work: Callable[[], object]) -> None:
        """Run ``work`` on another thread: Ctrl-C, which reaches this one, sets ``stop`` and waits for the
        page under way.

        Work that ends itself where ``stop`` is set raises ``InterruptedError``; so does this, for Ctrl-C.
        """
        with ThreadPoolExecutor(1, "writing") as pool:
            done = pool.submit(work)
            try:
                done.result()
            except KeyboardInterrupt:
                self.stop.set()
                raise InterruptedError from None

    def revise(
        self,
        stage: str,
        change: Callable[[Sequence[Hit]], Mapping[str, Change]],
        *,
        fields: tuple[str, ...],
        key: str | None = None,
        page: int | None = None,
        wrote: Callable[[int, int], None] | None = None,
    ) -> None:
        """Read the ``fields`` of all images of the category page by page, ``change`` them and write them
        back.

        Nobody else of this process writes to the category between reading and writing a page. ``key``: the
        payload object that changes set fields in. ``wrote`` is called with how many images of a page were
        read, and how many changed. Durable at the end, however that comes.
        """
        total = self.runtime.vectors.count(self.category)
        writer = PayloadWriter(self.runtime, self.category, key=key)

        def work() -> None:
            done = 0
            for read, written in revise(writer, change, fields=fields, size=page, stop=self.stop):
                if wrote:
                    wrote(read, written)
                done += read
                advance(done, total)

        with self.stage(stage, total) as advance:
            self.apart(work)
