"""The stages of a job: timed, shown, and ended where somebody asks for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from vitrine.indexer.job.progress import Progress, Tally

Watch = Callable[[str], Progress | None]
"""Gives the progress of a stage by its name, such as "writing"."""
Told = Callable[[int, int], None]
"""Is told how many of how many are done; ``InterruptedError`` where the job is to end."""


@dataclass(eq=False)
class Stages:
    """``seconds`` gets how long each stage took, by its name. ``stop`` ends the stage that is under way."""

    seconds: dict[str, float]
    watch: Watch | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Told]:
        """Time and show what is inside, of ``total`` where that is known. ``InterruptedError`` where ``stop``
        is set before."""
        progress, tally, started = self.watch(name) if self.watch else None, Tally(), time.perf_counter()

        def told(done: int, of: int) -> None:
            self.check()
            tally.done = done
            if progress:
                progress.update(tally)

        if progress:
            progress.start(total)
        try:
            self.check()
            yield told
        finally:
            self.seconds[name] = round(time.perf_counter() - started, 3)
            if progress:
                progress.finish(tally)

    def check(self) -> None:
        """``InterruptedError`` once ``stop`` is set."""
        if self.stop.is_set():
            raise InterruptedError

    def apart(self, work: Callable[[], object]) -> None:
        """See ``apart``."""
        apart(work, self.stop)


def apart(work: Callable[[], object], stop: threading.Event) -> None:
    """Run ``work`` on another thread: Ctrl-C, which reaches this one, sets ``stop`` and waits for the page
    under way.

    Work that ends itself where ``stop`` is set raises ``InterruptedError``; so does this, for Ctrl-C.
    """
    with ThreadPoolExecutor(1, "writing") as pool:
        done = pool.submit(work)
        try:
            done.result()
        except KeyboardInterrupt:
            stop.set()
            raise InterruptedError from None
