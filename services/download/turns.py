"""Whose turn it is to download: so many at once, and so many from one host; and which hosts are given up."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_WAKE_SECONDS = 0.1


class Turns:
    """Lets at most ``most`` downloads run at once, ``of_one_host`` of them from one host, and none from a
    host that asked for a pause. Thread-safe."""

    def __init__(self, most: int, of_one_host: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._of_one_host, self._clock = most, of_one_host, clock
        self._running: Counter[str] = Counter()
        self._resting: dict[str, float] = {}
        self._free = threading.Condition()

    @contextmanager
    def turn(self, host: str, over: Callable[[], bool]) -> Iterator[bool]:
        """Wait for a turn, and hold it while the block runs; False, without a turn, once ``over()``."""
        with self._free:
            while not (ended := over()) and not self._may(host):
                self._free.wait(_WAKE_SECONDS)
            if not ended:
                self._running[host] += 1
        try:
            yield not ended
        finally:
            if not ended:
                with self._free:
                    self._running -= Counter((host,))  # a count of 0 is forgotten
                    self._free.notify_all()

    def rest(self, host: str, seconds: float) -> None:
        """Leave a host alone for so long."""
        with self._free:
            now = self._clock()
            self._resting = {name: until for name, until in self._resting.items() if until > now}
            self._resting[host] = max(self._resting.get(host, now), now + seconds)

    def _may(self, host: str) -> bool:
        return (
            self._running.total() < self._most
            and self._running[host] < self._of_one_host
            and self._clock() >= self._resting.get(host, 0.0)
        )


class GivenUp:
    """Hosts that only fail: after ``most`` downloads in a row that failed, a host is left alone for
    ``seconds``, so that a dead one with thousands of URLs does not hold up all others. Thread-safe."""

    def __init__(
        self, most: int = 20, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._failed: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def __contains__(self, host: str) -> bool:
        count, until = self._failed.get(host, (0, 0.0))
        return count >= self._most and self._clock() < until

    def note(self, host: str, *, failed: bool) -> None:
        """Note how a download from a host went. Once it was left alone, one more failure is enough."""
        with self._lock:
            if failed:
                count = self._failed.get(host, (0, 0.0))[0] + 1
                self._failed[host] = count, self._clock() + self._seconds
            else:
                self._failed.pop(host, None)
