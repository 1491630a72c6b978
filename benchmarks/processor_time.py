"""How much of the processor other processes have had: what a machine that does other work hardly changes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def processor_ms(processes: Iterable[int]) -> float:
    """Return the milliseconds on a processor of all threads that these processes have now, to the nanosecond
    of Linux' scheduler."""
    return sum(_thread_ns(path) for pid in processes for path in Path(f"/proc/{pid}/task").iterdir()) / 1e6


def _thread_ns(path: Path) -> int:
    try:
        return int((path / "schedstat").read_text().split()[0])
    except OSError:  # a thread that has ended since
        return 0
