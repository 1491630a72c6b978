"""The progress of training on stderr: a bar for what takes long, a line for each epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from vitrine.cli.output import note

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar
    from rich.progress import TaskID

LINE_SECONDS = 10.0


class Progress:
    """A bar on a terminal; elsewhere a line every ten seconds. ``close`` takes the bar away."""

    def __init__(self, epochs: int = 0, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._epochs = epochs
        self._bar: RichBar | None = None
        self._task: TaskID | None = None
        self._what, self._told = "", time.monotonic()

    def tell(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` images or steps of one kind of work are done."""
        if self._stream.isatty():
            self._draw(what, done, total)
        elif time.monotonic() - self._told >= LINE_SECONDS:
            self._told = time.monotonic()
            note(f"{what}: {done} of {total} ({done / max(total, 1):.0%})")

    def epoch(self, row: Mapping[str, float]) -> None:
        """Print the losses and figures of an epoch."""
        parts = [f"epoch {int(row['epoch'])} of {self._epochs}: loss {row['loss']:.4f}"]
        if "recall_at_1" in row:
            parts.append(f"validation recall@1 {row['recall_at_1']:.3f}, MAP@R {row['map_at_r']:.3f}")
        parts.append(f"{row['seconds']:.1f} s")
        self.note(", ".join(parts))

    def note(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        self._bar.console.print(text, highlight=False) if self._bar is not None else note(text)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _draw(self, what: str, done: int, total: int) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichBar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bar = RichBar(*columns, console=Console(file=self._stream), transient=True)
            self._bar.start()
        if what != self._what or self._task is None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._what, self._task = what, self._bar.add_task(what, total=total)
        self._bar.update(self._task, completed=done, total=total)
