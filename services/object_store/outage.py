"""A server that does not answer: one caller at a time waits for it, so that the others keep their threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 0.25
"""How long the others wait for what the one learns; a server that is well answers sooner."""


class Outage:
    """Whether a server answers, as its callers find. Thread-safe. ``silence``: what they raise if it does
    not."""

    def __init__(self, silence: tuple[type[Exception], ...]) -> None:
        self._silence = silence
        self._lock = threading.Lock()
        self._away = False
        self._trial: threading.Event | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch each call to the server made inside. ``ConnectionError`` at once while another caller finds
        out whether the server is back."""
        trial = self._enter()
        away = False
        try:
            yield
        except self._silence:
            away = True
            raise
        finally:
            with self._lock:
                self._away = away
                if trial is not None:
                    self._trial = None
                    trial.set()

    def _enter(self) -> threading.Event | None:
        """Return the trial that the caller makes for all; None: the server answers, as far as is known."""
        with self._lock:
            if not self._away:
                return None
            running = self._trial
            if running is None:
                self._trial = threading.Event()
                return self._trial
        running.wait(PATIENCE_SECONDS)
        with self._lock:
            if self._away:
                raise ConnectionError("it has not answered before, and is being tried by another caller")
        return None
