"""Change an object that others may change at the same moment, in this process or another."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from vitrine.services.errors import Conflict, NotFound
from vitrine.services.object_store.base import ObjectStore

_TRIES = 60
_LONGEST_WAIT_SECONDS = 0.25


def edit(objects: ObjectStore, key: str, change: Callable[[bytes | None], bytes]) -> bytes:
    """Write what ``change`` makes of the object (None: there is none), and return the bytes as written. If
    another writer was faster, it is made again from what that one has written, so that no change is lost.

    ``change`` may run several times. ``Conflict`` if others are faster time and again.
    """
    for tried in range(_TRIES):
        try:
            present, version = objects.read(key)
        except NotFound:
            changed, version = change(None), None
        else:
            changed = change(present)
            if changed == present:
                return present
        try:
            objects.replace(key, changed, version)
            return changed
        except Conflict:
            # writers that have just met wait for different times, so that they do not meet again
            time.sleep(random.uniform(0, min(_LONGEST_WAIT_SECONDS, 0.005 * (tried + 1))))
    raise Conflict(f"The object {key!r} is being changed by many at once: try again.", key=key)
