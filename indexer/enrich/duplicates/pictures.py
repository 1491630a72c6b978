"""Read pictures of a category from the object store for a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from PIL import Image

from vitrine.indexer.enrich.duplicates.compare.orb_prefilter import SIDE as SKETCHED
from vitrine.indexer.enrich.duplicates.compare.orb_prefilter import Sketch, sketch
from vitrine.indexer.enrich.duplicates.compare.prepared_picture import SIDE, PreparedPicture, prepare
from vitrine.indexer.enrich.duplicates.compare.whole import Whole
from vitrine.services.errors import BadRequest, ImageRefused, NotFound, VitrineError
from vitrine.services.images.open import picture_of, whole_picture
from vitrine.services.runtime import Runtime

Made = TypeVar("Made")
MOST_PIXELS = 50_000_000
"""A larger picture is not compared at full resolution, so that it is never sure to be a copy."""
Payloads = Sequence[Mapping[str, Any]]
"""By position; they have object_key, width and height."""


class Pictures:
    """Reads pictures by their position in ``payloads``. Thread-safe. ``unreadable``: those that could not be
    read."""

    def __init__(
        self, runtime: Runtime, payloads: Payloads, *, given: Mapping[int, bytes] | None = None
    ) -> None:
        """Read pictures from the object store; ``given``: the bytes of pictures that are not in the object
        store yet."""
        self.unreadable: set[int] = set()
        self._runtime = runtime
        self._payloads = payloads
        self._given = given or {}

    def prepared(self, place: int) -> PreparedPicture | None:
        """Return the picture prepared for a comparison; None if it cannot be read."""
        return self._opened(place, SIDE, prepare)

    def sketch(self, place: int, *, flips: bool) -> Sketch | None:
        """Return its features for the prefilter; None if it cannot be read."""
        return self._opened(place, SKETCHED, lambda image, size: sketch(image, flips=flips))

    def whole(self, place: int) -> Whole | None:
        """Return the picture at full resolution; None if it cannot be read, or has too many pixels."""
        payload = self._payloads[place] if place < len(self._payloads) else {}
        if payload.get("width", 0) * payload.get("height", 0) > MOST_PIXELS:
            return None
        limits = replace(self._runtime.limits, max_jpeg_pixels=MOST_PIXELS)
        return self._read(
            place, lambda data: Whole(whole_picture(data, limits=limits, budget=self._runtime.budget))
        )

    def _opened(
        self, place: int, side: int, make: Callable[[Image.Image, tuple[int, int]], Made]
    ) -> Made | None:
        limits, budget = self._runtime.limits, self._runtime.budget
        return self._read(place, lambda data: make(*picture_of(data, side, limits=limits, budget=budget)))

    def _read(self, place: int, make: Callable[[bytes], Made]) -> Made | None:
        try:
            data = self._given.get(place)
            return make(
                data
                if data is not None
                else self._runtime.objects.get(str(self._payloads[place].get("object_key", "")))
            )
        except (NotFound, BadRequest, ImageRefused):
            self.unreadable.add(place)
        except VitrineError:  # the store fails, not one picture
            raise
        except (
            Exception
        ):  # libraries raise nearly anything on odd pictures: it is this picture that cannot be compared
            self.unreadable.add(place)
        return None
