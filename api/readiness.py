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
    """Answers whether both stores can be reached, asking them at most once a second. Thread-safe. ``parts``
    are checks by name; each raises a VitrineError if its part cannot be used."""

    def __init__(self, parts: Mapping[str, Callable[[], object]]) -> None:
        self._parts = {name: _Part(name, ask) for name, ask in parts.items()}

    def check(self, *names: str) -> dict[str, str]:
        """Return ``ok`` or an error code, by part; of all parts without ``names``. A part that hangs holds up
        no other."""
        return {name: self._parts[name].state() for name in names or self._parts}


class _Part:
    def __init__(self, name: str, ask: Callable[[], object]) -> None:
        self._name = name
        self._ask = ask
        self._lock = threading.Lock()
        self._asked = 0.0
        self._found = ""

    def state(self) -> str:
        with self._lock:
            if not self._found or time.monotonic() - self._asked > _FRESH_SECONDS:
                self._found = _state(self._name, self._ask)
                self._asked = time.monotonic()
            return self._found


def _state(name: str, ask: Callable[[], object]) -> str:
    try:
        ask()
    except VitrineError as error:
        _log.warning("%s is not ready: %s", name, error.message)
        return error.code
    return "ok"
