"""Wait for a store that does not answer: servers restart and networks drop out, and a long run should outlast
that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from vitrine.services.errors import Unavailable

Made = TypeVar("Made")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds between tries: doubled from the first to the longest."""
_SAID_SECONDS = 5.0
_WAKE_SECONDS = 0.1


class Patience:
    """Calls a store again while it raises ``Unavailable``, for ``seconds`` at most; one for all threads of a
    run.

    ``pause`` and ``clock`` are for tests. ``waited``: seconds in which at least one call was waiting.
    """

    def __init__(
        self,
        seconds: float,
        *,
        pause: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self.waited = 0.0
        self._pause = pause or self._sleep
        self._clock = clock
        self._over: Callable[[], bool] = lambda: False
        self._say: Callable[[str], object] = lambda text: None
        self._lock = threading.Lock()
        self._waiting, self._since, self._said = 0, 0.0, float("-inf")
        self._reason = ""

    def begin(self, over: Callable[[], bool], say: Callable[[str], object] | None) -> None:
        """Begin a run. ``over``: whether the run ends, so that waiting has no use any more. ``say`` gets a
        sentence every few seconds."""
        self._over = over
        self._say = say or self._say

    def ended(self) -> bool:
        """Return whether the run ends, so that waiting has no use any more."""
        return self._over()

    def call(self, work: Callable[[], Made]) -> Made:
        """Return what ``work`` gives; it may be called several times. Raises ``Unavailable`` once the
        patience is at its end."""
        try:
            return work()
        except Unavailable as error:
            first = error
        self._enter()
        try:
            return self._again(work, first, self._clock() + self.seconds)
        finally:
            self._leave()

    def notes(self) -> list[str]:
        """Return what a report says about outages that were outlasted."""
        return (
            [f"Waited {self.waited:.0f} s in all for a store that did not answer: {self._reason}"]
            if self._reason
            else []
        )

    def _again(self, work: Callable[[], Made], error: Unavailable, until: float) -> Made:
        pause = FIRST_PAUSE
        while (left := until - self._clock()) > 0 and not self._over():
            self._tell(error, left)
            self._pause(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                return work()
            except Unavailable as again:
                error = again
        raise error

    def _tell(self, error: Unavailable, left: float) -> None:
        with self._lock:
            self._reason = error.message
            now = self._clock()
            due = now - self._said >= _SAID_SECONDS
            self._said = now if due else self._said
        if due:
            self._say(f"{error.message} Trying again, for {left:.0f} s at most.")

    def _enter(self) -> None:
        with self._lock:
            self._since = self._since if self._waiting else self._clock()
            self._waiting += 1

    def _leave(self) -> None:
        with self._lock:
            self._waiting -= 1
            self.waited += 0.0 if self._waiting else self._clock() - self._since

    def _sleep(self, seconds: float) -> None:
        """Sleep, but wake up soon after the run is over."""
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0 and not self._over():
            time.sleep(min(left, _WAKE_SECONDS))
