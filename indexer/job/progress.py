"""How a run is watched: a bar on a terminal, a line now and then in a log, nothing for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar

LINE_SECONDS = 10.0
LINE_SHARE = 0.1
QUIET_SECONDS = 2.0
"""No line sooner than this after the beginning of a stage or the last line: what is quick needs none."""


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
    """Hears how a run goes; ``update`` comes from another thread than ``start`` and ``finish``, a batch at a
    time. ``say`` comes with what is waited for, from any thread."""

    def start(self, total: int | None) -> None: ...

    def update(self, report: Counts) -> None: ...

    def say(self, text: str) -> None: ...

    def finish(self, report: Counts) -> None: ...


def make_progress(
    *, quiet: bool = False, stream: TextIO | None = None, title: str = "indexing", unit: str = "images"
) -> Progress | None:
    """The progress that fits ``stream`` (standard error unless given); None when ``quiet``. ``title`` says
    what is done, ``unit`` to what."""
    stream = stream or sys.stderr
    if quiet:
        return None
    drawn = stream.isatty() or (stream is sys.stderr and _in_notebook())
    return BarProgress(stream, title, unit) if drawn else LineProgress(stream, title, unit)


def _in_notebook() -> bool:
    """Whether this is a notebook in which rich can draw a bar, for which it needs ipywidgets."""
    if "ipykernel" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter and find_spec("ipywidgets") is not None


class LineProgress:
    """A plain line every ten seconds, and at every tenth of a known total, but none within two seconds of the
    last one."""

    def __init__(
        self,
        stream: TextIO,
        title: str = "indexing",
        unit: str = "images",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._title, self._unit = title, unit
        self._clock = clock
        self._total: int | None = None
        self._rate = _Rate()
        self._told, self._told_at = clock(), 0

    def start(self, total: int | None) -> None:
        self._told, self._told_at = self._clock(), 0
        self._total, self._rate = total, _Rate()

    def update(self, report: Counts) -> None:
        now = self._clock()
        self._rate.see(report.done, now)
        if now - self._told < QUIET_SECONDS:
            return
        tenth = self._total is not None and report.done - self._told_at >= LINE_SHARE * self._total
        if tenth or now - self._told >= LINE_SECONDS:
            self._told, self._told_at = now, report.done
            print(self._line(report), file=self._stream, flush=True)

    def say(self, text: str) -> None:
        print(f"{self._title}: {text}", file=self._stream, flush=True)

    def finish(self, report: Counts) -> None:
        pass  # the report itself follows

    def _line(self, report: Counts) -> str:
        rate, total = self._rate.value, _at_least(self._total, report.done)
        share = f" of {total} ({report.done / total:.0%})" if total else ""
        left = f", {(total - report.done) / rate:.0f} s left" if total and rate else ""
        refused = f", {report.refused} refused" if report.refused else ""
        speed = f", {rate:.1f} {self._unit}/s" if rate else ""
        return f"{self._title}: {report.done}{share} {self._unit}{speed}{left}{refused}"


def _at_least(total: int | None, done: int) -> int | None:
    """A source knows its total before it has looked into every file: what turns up besides makes it
    larger."""
    return max(total, done) if total else None


class _Rate:
    """What is done a second since the first news, 0 before there are two. What came before the first does not
    count: a stage that goes on from an earlier run begins far from 0."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None
        self.value = 0.0

    def see(self, done: int, now: float) -> None:
        self._first = self._first or (done, now)
        before, since = self._first
        self.value = (done - before) / (now - since) if now > since else 0.0


class BarProgress:
    """A bar with the rate and the time that is left."""

    def __init__(self, stream: TextIO, title: str = "indexing", unit: str = "images") -> None:
        self._stream = stream
        self._title, self._unit = title, unit
        self._bar: RichBar | None = None

    def start(self, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn(self._title),
            BarColumn(),
            TextColumn("{task.fields[count]} {task.fields[rate]} {task.fields[refused]} {task.fields[said]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=Console(file=self._stream), transient=True)
        self._task = self._bar.add_task(
            "", total=total, count=f"0/{total}" if total else "", rate="", refused="", said=""
        )
        self._total, self._rate = total, _Rate()
        self._bar.start()

    def update(self, report: Counts) -> None:
        if self._bar is not None:
            refused = f"{report.refused} refused" if report.refused else ""
            self._rate.see(report.done, time.monotonic())
            total = _at_least(self._total, report.done)
            count = f"{report.done}/{total}" if total else str(report.done)
            rate = f"{self._rate.value:.1f} {self._unit}/s" if self._rate.value else ""
            self._bar.update(
                self._task,
                completed=report.done,
                total=total,
                count=count,
                rate=rate,
                refused=refused,
                said="",
            )

    def say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, said=text)

    def finish(self, report: Counts) -> None:
        if self._bar is not None:
            self._bar.stop()
