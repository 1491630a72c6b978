"""Stores that are cut short: a test tries every moment at which a program may be killed."""

from __future__ import annotations

from typing import Any

CHANGES = frozenset(
    (
        *("put", "replace", "delete"),
        *("upsert", "set_payload", "delete_payload"),
        *("drop", "ensure", "add_vector"),
    )
)


class Interrupted(Exception):
    """Stands for a kill: nothing of ours catches it."""


class Failing:
    """A store whose changes are counted, over all stores that share ``left``; the one after the last of them
    is a kill."""

    def __init__(self, store: Any, left: list[int]) -> None:
        self._store, self._left = store, left

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in CHANGES:
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            if self._left[0] == 0:
                raise Interrupted
            self._left[0] -= 1
            return method(*arguments, **options)

        return call
