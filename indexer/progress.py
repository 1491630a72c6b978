"""How a run is watched: a bar on a terminal, a line now and then in a log, nothing for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar

LINE_SECONDS = 10.0
LINE_SHARE = 0.1


class Counts(Protocol):
    """What a run has done so far: the report of any job."""

    @property
    def done(self) -> int: ...

    @property
    def refused(self) -> int: ...


@dataclass
class Tally:
    """The counts of what has no report of its own."""

    done: int = 0
    refused: int = 0


class Progress(Protocol):
    """Is told how a run goes; ``update`` comes from another thread than ``start`` and ``finish``, a batch at a time."""

    def start(self, total: int | None) -> None: ...

    def update(self, report: Counts) -> None: ...

    def finish(self, report: Counts) -> None: ...


def make_progress(
    *, quiet: bool = False, stream: TextIO | None = None, title: str = "indexing", unit: str = "images"
) -> Progress | None:
    """The progress that fits ``stream`` (standard error unless given); None when ``quiet``. ``title`` says what is done, ``unit``
    to what."""
    stream = stream or sys.stderr
    if quiet:
        return None
    return BarProgress(stream, title, unit) if stream.isatty() else LineProgress(stream, title, unit)


class LineProgress:
    """A plain line every ten seconds, and at every tenth of a known total."""

    def __init__(
        self, stream: TextIO, title: str = "indexing", unit: str = "images", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._title, self._unit = title, unit
        self._clock = clock
        self._total: int | None = None
        self._started = self._told = clock()
        self._told_at = 0

    def start(self, total: int | None) -> None:
        self._total, self._told_at = total, 0
        self._started = self._told = self._clock()

    def update(self, report: Counts) -> None:
        now = self._clock()
        tenth = self._total is not None and report.done - self._told_at >= LINE_SHARE * self._total
        if tenth or now - self._told >= LINE_SECONDS:
            self._told, self._told_at = now, report.done
            print(self._line(report, now - self._started), file=self._stream, flush=True)

    def finish(self, report: Counts) -> None:
        pass  # the report itself follows

    def _line(self, report: Counts, seconds: float) -> str:
        rate = report.done / seconds if seconds else 0.0
        share = f" of {self._total} ({report.done / self._total:.0%})" if self._total else ""
        left = f", {(self._total - report.done) / rate:.0f} s left" if self._total and rate else ""
        refused = f", {report.refused} refused" if report.refused else ""
        return f"{self._title}: {report.done}{share} {self._unit}, {rate:.1f} {self._unit}/s{left}{refused}"


class BarProgress:
    """A bar with the rate and the time that is left."""

    def __init__(self, stream: TextIO, title: str = "indexing", unit: str = "images") -> None:
        self._stream = stream
        self._title, self._unit = title, unit
        self._bar: RichBar | None = None

    def start(self, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn(self._title),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} " + self._unit + "/s {task.fields[refused]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=Console(file=self._stream), transient=True)
        self._task = self._bar.add_task("", total=total, rate=0.0, refused="")
        self._started = time.monotonic()
        self._bar.start()

    def update(self, report: Counts) -> None:
        if self._bar is not None:
            refused = f"{report.refused} refused" if report.refused else ""
            rate = report.done / max(time.monotonic() - self._started, 1e-9)
            self._bar.update(self._task, completed=report.done, rate=rate, refused=refused)

    def finish(self, report: Counts) -> None:
        if self._bar is not None:
            self._bar.stop()
