"""Pictures of a category on their way from the object store to a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from PIL import Image

from indexer.duplicates.seen import SIDE, Seen, see
from indexer.duplicates.sketch import SIDE as SKETCHED
from indexer.duplicates.sketch import Sketch, sketch
from services.errors import BadRequest, ImageRefused, NotFound
from services.images import picture_of, pixel_hash
from services.runtime import Runtime

Made = TypeVar("Made")
Payloads = Sequence[Mapping[str, Any]]
"""By position; they have object_key, width and height."""


class Pictures:
    """Reads pictures by their position in ``payloads``. For many threads. ``unreadable``: those that could not be read."""

    def __init__(self, runtime: Runtime, payloads: Payloads, *, given: Mapping[int, bytes] | None = None) -> None:
        """``given``: the bytes of pictures that are not in the object store yet."""
        self.unreadable: set[int] = set()
        self._runtime = runtime
        self._payloads = payloads
        self._given = given or {}

    def seen(self, place: int) -> Seen | None:
        """Ready to be compared; None where it cannot be read."""
        found = self._opened(place, SIDE)
        return found and see(*found)

    def sketch(self, place: int, *, flips: bool) -> Sketch | None:
        """Ready to be compared at a glance; None where it cannot be read."""
        found = self._opened(place, SKETCHED)
        return found and sketch(found[0], flips=flips)

    def same_pixels(self, one: int, other: int) -> bool:
        """Whether every pixel is the same, in its own mode; only asked where all small ones are."""
        hashes = [self._read(place, self._pixel_hash) for place in (one, other)]
        return hashes[0] is not None and hashes[0] == hashes[1]

    def _pixel_hash(self, data: bytes) -> str:
        return pixel_hash(data, limits=self._runtime.limits, budget=self._runtime.budget)

    def _opened(self, place: int, side: int) -> tuple[Image.Image, tuple[int, int]] | None:
        limits, budget = self._runtime.limits, self._runtime.budget
        return self._read(place, lambda data: picture_of(data, side, limits=limits, budget=budget))

    def _read(self, place: int, make: Callable[[bytes], Made]) -> Made | None:
        try:
            data = self._given.get(place)
            return make(data if data is not None else self._runtime.objects.get(str(self._payloads[place].get("object_key", ""))))
        except (NotFound, BadRequest, ImageRefused):
            self.unreadable.add(place)
            return None
