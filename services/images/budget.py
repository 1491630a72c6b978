"""Limits on what one picture, and all running decodes together, may cost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitrine.services.settings import Settings


@dataclass(frozen=True)
class ImageLimits:
    """Caps on one image file: bytes of the file, pixels of the picture (JPEG has its own cap: it decodes at a
    reduced size)."""

    max_bytes: int = 256 << 20
    max_pixels: int = 50_000_000
    max_jpeg_pixels: int = 250_000_000

    @classmethod
    def of(cls, settings: Settings) -> ImageLimits:
        """Return the caps that the settings name."""
        return cls(
            settings.max_image_mb << 20,
            settings.max_megapixels * 1_000_000,
            settings.max_jpeg_megapixels * 1_000_000,
        )


class DecodeBudget:
    """A gate that keeps the memory of all running decodes under ``total`` bytes, first come first served.

    A picture larger than the whole budget takes all of it, so it runs alone. Thread-safe.
    """

    def __init__(self, total: int) -> None:
        if total <= 0:
            raise ValueError("a decode budget has at least one byte")
        self.total = total
        self._used = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def used(self) -> int:
        """Bytes taken by running decodes."""
        with self._changed:
            return self._used

    @property
    def waiting(self) -> int:
        """Decodes that wait for their share."""
        with self._changed:
            return len(self._queue)

    @contextmanager
    def share(self, wanted: int) -> Iterator[None]:
        """Hold ``wanted`` bytes for the length of the block; waits until they are free and all who came
        before have theirs."""
        taken = min(max(wanted, 0), self.total)
        self._take(taken)
        try:
            yield
        finally:
            with self._changed:
                self._used -= taken
                self._changed.notify_all()

    def _take(self, taken: int) -> None:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                self._changed.wait_for(lambda: self._queue[0] is ticket and self._used + taken <= self.total)
                self._used += taken
            finally:  # also when the wait is interrupted: a ticket left behind would close the gate for ever
                self._queue.remove(ticket)
                self._changed.notify_all()
