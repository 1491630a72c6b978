"""Whether the stores answer, asked at most once a second: /readyz is open to everyone and the check writes to
the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from vitrine.services.errors import VitrineError

_FRESH_SECONDS = 1.0
_DAMAGE_FRESH_SECONDS = 10.0
"""Damage is looked for by asking for each category, and changes little."""
_log = logging.getLogger("vitrine.api")


class Readiness:
    """Thread-safe. ``parts`` are checks by name; each raises a VitrineError if its part cannot be used.
    ``damaged`` returns the damaged categories, by name."""

    def __init__(
        self, parts: Mapping[str, Callable[[], object]], damaged: Callable[[], Mapping[str, str]]
    ) -> None:
        self._parts = {name: (ask, threading.Lock()) for name, ask in parts.items()}
        self._found: dict[str, tuple[float, str]] = {}
        self._ask_damaged, self._damaged_lock = damaged, threading.Lock()
        self._damaged: tuple[float, tuple[str, ...]] | None = None

    def check(self, *names: str) -> dict[str, str]:
        """Return ``ok`` or an error code, by part; of all parts without ``names``. A part that hangs holds up
        no other."""
        return {name: self._state(name) for name in names or self._parts}

    def damaged(self) -> tuple[str, ...]:
        """Return the names of damaged categories: those of the last time where a store does not answer."""
        with self._damaged_lock:
            before = self._damaged
            if before is not None and time.monotonic() - before[0] <= _DAMAGE_FRESH_SECONDS:
                return before[1]
            try:
                names = tuple(sorted(self._ask_damaged()))
            except VitrineError as error:
                _log.warning("damage cannot be looked for: %s", error.message)
                return before[1] if before else ()
            for name in sorted(set(names) - set(before[1] if before else ())):
                _log.warning("category %s is damaged: `vitrine check %s` says what is wrong", name, name)
            self._damaged = time.monotonic(), names
            return names

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
