"""Whether the stores answer, asked at most once a second: /readyz is open to everyone and the check writes to
the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from vitrine.services.errors import VitrineError

_FRESH_SECONDS = 1.0
_log = logging.getLogger("vitrine.api")


class Readiness:
    """Thread-safe. ``parts`` are checks by name; each raises a VitrineError if its part cannot be used."""

    def __init__(self, parts: Mapping[str, Callable[[], object]]) -> None:
        self._parts = {name: (ask, threading.Lock()) for name, ask in parts.items()}
        self._found: dict[str, tuple[float, str]] = {}

    def check(self, *names: str) -> dict[str, str]:
        """Return ``ok`` or an error code, by part; of all parts without ``names``. A part that hangs holds up
        no other."""
        return {name: self._state(name) for name in names or self._parts}

    def _state(self, name: str) -> str:
        ask, lock = self._parts[name]
        with lock:
            asked, state = self._found.get(name, (0.0, ""))
            if state and time.monotonic() - asked <= _FRESH_SECONDS:
                return state
            try:
                ask()
                state = "ok"
            except VitrineError as error:
                _log.warning("%s is not ready: %s", name, error.message)
                state = error.code
            self._found[name] = time.monotonic(), state
            return state
