"""How far a job is: a bar on a terminal, a line now and then in a log, nothing for programs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from vitrine.services.jobs.job import VARIABLE

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar

LINE_SECONDS = 10.0
LINE_SHARE = 0.1
QUIET_SECONDS = 2.0
"""No line sooner than this after the beginning of a stage or the last line: what is quick needs none."""


class Counts(Protocol):
    """What a job has done so far; a report is one."""

    @property
    def done(self) -> int: ...

    @property
    def refused(self) -> int: ...


@dataclass
class Tally:
    """Plain counts, for work without a report."""

    done: int = 0
    refused: int = 0


class Progress(Protocol):
    """Follows a job through its stages, one after the other.

    ``start`` names a stage and how many images (or pairs) it takes, where that is known; ``update`` comes
    with every page or batch, often from another thread than ``start`` and ``finish``; ``say`` with what is
    waited for, from any thread.
    """

    def start(self, stage: str, total: int | None) -> None: ...

    def update(self, report: Counts) -> None: ...

    def say(self, text: str) -> None: ...

    def finish(self, report: Counts) -> None: ...


def make_progress(*, quiet: bool = False, stream: TextIO | None = None) -> Progress | None:
    """Return the progress that fits ``stream`` (standard error unless given); None when ``quiet``. In the
    process of a job it is the table of jobs that is told."""
    if VARIABLE in os.environ:
        from vitrine.indexer.job.shown.in_table import progress_of_this_job

        return progress_of_this_job()
    stream = stream or sys.stderr
    if quiet:
        return None
    drawn = stream.isatty() or (stream is sys.stderr and _in_notebook())
    return BarProgress(stream) if drawn else LineProgress(stream)


def _in_notebook() -> bool:
    """Return whether this is a notebook in which rich can draw a bar, for which it needs ipywidgets."""
    if "ipykernel" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter and find_spec("ipywidgets") is not None


class StageByStage:
    """Shows work that names its stage with every count; ``close`` ends the last stage."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._stage: str | None = None
        self._tally = Tally()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done in ``stage``."""
        if self._progress is None:
            return
        if stage != self._stage:
            self.close()
            self._stage = stage
            self._progress.start(stage, total)
        self._tally = Tally(done)
        self._progress.update(self._tally)
        if done >= total:
            self.close()

    def close(self) -> None:
        if self._progress is not None and self._stage is not None:
            self._progress.finish(self._tally)
        self._stage = None


@dataclass
class StageState:
    """How far a stage is: ``done`` of ``total`` (None: unknown), ``refused`` of these, and ``rate`` a second.

    What was done before the first update does not count for the rate: a stage that goes on from an earlier
    run begins far from 0.
    """

    stage: str = ""
    total: int | None = None
    done: int = 0
    refused: int = 0
    rate: float = 0.0
    _first: tuple[int, float] | None = field(default=None, repr=False)

    def see(self, counts: Counts, now: float) -> None:
        """Take in the counts at ``now``, in seconds of a monotonic clock."""
        self.done, self.refused = counts.done, counts.refused
        if self.total:  # a source knows its total before it has looked into every file
            self.total = max(self.total, self.done)
        self._first = self._first or (self.done, now)
        before, since = self._first
        self.rate = (self.done - before) / (now - since) if now > since else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Return the time to the end of the stage at this rate; None where it cannot be known."""
        return (self.total - self.done) / self.rate if self.total and self.rate else None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of all of it."""
        left = self.seconds_left
        return {
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "refused": self.refused,
            "rate": round(self.rate, 1),
            "seconds_left": None if left is None else round(left, 1),
        }


class LineProgress:
    """Print a plain line every ten seconds, and at every tenth of a known total, but none within two seconds
    of the last one."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._state = StageState()
        self._printed, self._printed_at = clock(), 0

    def start(self, stage: str, total: int | None) -> None:
        self._printed, self._printed_at = self._clock(), 0
        self._state = StageState(stage, total)

    def update(self, report: Counts) -> None:
        now, state = self._clock(), self._state
        tenth = state.total is not None and report.done - self._printed_at >= LINE_SHARE * state.total
        state.see(report, now)
        since = now - self._printed
        if since >= LINE_SECONDS or (tenth and since >= QUIET_SECONDS):
            self._printed, self._printed_at = now, report.done
            print(self._line(), file=self._stream, flush=True)

    def say(self, text: str) -> None:
        print(f"{self._state.stage}: {text}", file=self._stream, flush=True)

    def finish(self, report: Counts) -> None:
        pass  # the report itself follows

    def _line(self) -> str:
        state, left = self._state, self._state.seconds_left
        share = f" of {state.total} ({state.done / state.total:.0%})" if state.total else ""
        speed = f", {state.rate:.1f} images/s" if state.rate else ""
        time_left = "" if left is None else f", {left:.0f} s left"
        refused = f", {state.refused} refused" if state.refused else ""
        return f"{state.stage}: {state.done}{share} images{speed}{time_left}{refused}"


class BarProgress:
    """Show a bar with the rate and the time that is left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._state = StageState()
        self._bar: RichBar | None = None

    def start(self, stage: str, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]} {task.fields[rate]} {task.fields[refused]} {task.fields[said]}"),
            TimeRemainingColumn(),
        )
        if self._bar is not None:  # a stage within a stage takes its place
            self._bar.stop()
        self._state = StageState(stage, total)
        self._bar = Progress(*columns, console=Console(file=self._stream), transient=True)
        count = f"0/{total}" if total else ""
        self._task = self._bar.add_task(stage, total=total, count=count, rate="", refused="", said="")
        self._bar.start()

    def update(self, report: Counts) -> None:
        if self._bar is not None:
            state = self._state
            state.see(report, time.monotonic())
            self._bar.update(
                self._task,
                completed=state.done,
                total=state.total,
                count=f"{state.done}/{state.total}" if state.total else str(state.done),
                rate=f"{state.rate:.1f} images/s" if state.rate else "",
                refused=f"{state.refused} refused" if state.refused else "",
                said="",
            )

    def say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, said=text)

    def finish(self, report: Counts) -> None:
        if self._bar is not None:
            self._bar.stop()
