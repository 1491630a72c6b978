"""The pictures of a category as the values that a measure keeps of them: read once, held within a bound."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.indexer.enrich.clusters.pixels.measures import (
    PERMUTATIONS,
    Hash,
    Levels,
    Measure,
    Patterns,
    decode_target,
    prepared,
)
from vitrine.services.errors import BadRequest, ImageRefused, NotFound
from vitrine.services.images.open import open_image
from vitrine.services.runtime import Runtime

HELD_BYTES = 256 * 2**20
"""Prepared pictures held at a time: of 64 x 64 pixels some 60,000. Beyond, pictures are read again."""
SIGNATURE_SIDE = 8
LEAST_STEPS = 16
"""Pictures and comparisons that a sitting gets done at least: however short its time is, it comes to an end
some day."""
_PAGE = 500
_FIELDS = ("object_key", "sha256", "phash")


@dataclass(frozen=True)
class StoredPicture:
    """Where a picture lies, and its stored perceptual hash (16 hex digits, or empty)."""

    key: str
    sha256: str
    phash: str


def read_sources(runtime: Runtime, category: str, ids: Sequence[str]) -> list[StoredPicture]:
    """Return the sources in the order of ``ids``; empty ones for images that were deleted meanwhile."""
    found: list[StoredPicture] = []
    for start in range(0, len(ids), _PAGE):
        hits = runtime.vectors.retrieve(category, list(ids[start : start + _PAGE]), with_payload=_FIELDS)
        found += [
            StoredPicture(*(str(hit.payload.get(name) or "") if hit else "" for name in _FIELDS))
            for hit in hits
        ]
    return found


class OutOfTime(InterruptedError):
    """The time budget ran out."""


class Pictures:
    """Prepared pictures by row. Thread-safe. ``reads`` counts the files that were opened.

    ``seen`` (n,): which were opened at all, now or in an earlier call; ``readable`` and ``signatures`` are
    known for these. ``kept`` (n, ...): the prepared values themselves, of measures whose values are small
    numbers; empty for others. ``expired`` says whether the time is up.
    """

    def __init__(
        self,
        runtime: Runtime,
        sources: Sequence[StoredPicture],
        measure: Measure,
        stop: threading.Event,
        *,
        held: int = HELD_BYTES,
    ) -> None:
        self.stop = stop
        self.reads = 0
        self.readable = np.ones(len(sources), bool)
        self.signatures = np.zeros((len(sources), SIGNATURE_SIDE**2), np.uint8)
        self.seen = np.zeros(len(sources), bool)
        self.kept = _room_for(measure, len(sources))
        self.expired: Callable[[], bool] = lambda: False
        self._steps = itertools.count(1)
        self._runtime, self._sources, self._measure = runtime, sources, measure
        self._room = held
        self._held: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def values(self, rows: Iterable[int]) -> dict[int, Any]:
        """Return the prepared values of these pictures; those that cannot be read are left out. Let go of
        them after the comparison.

        ``InterruptedError`` once everything is to stop, ``OutOfTime``.
        """
        found: dict[int, Any] = {}
        for row in rows:
            if not (len(self.kept) and self.seen[row]):
                self.check()
            value = self.value(row)
            if value is not None:
                found[row] = value
        return found

    def value(self, row: int) -> Any:
        """Return the prepared value of one picture, None if it cannot be read. It does not check the time:
        the caller has."""
        value = self._value(row)
        return (
            None if value is None else self._measure.slim(value)
        )  # what comparing leaves in it goes with the caller's

    def can_read(self, row: int) -> bool:
        """Return whether the picture can be read; it is opened only if it never was."""
        if not self.seen[row]:
            self.check()
            self._value(row)
        return bool(self.readable[row])

    def check(self) -> None:
        """Check before a picture is read or compared: ``InterruptedError`` once ``stop`` is set,
        ``OutOfTime`` once time is up."""
        if self.stop.is_set():
            raise InterruptedError
        if next(self._steps) > LEAST_STEPS and self.expired():
            raise OutOfTime

    def normal_signatures(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (len(rows), 64): 8 x 8 grey levels, each row of mean 0 and length 1."""
        levels = self.signatures[rows].astype(np.float32)
        levels -= levels.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(levels, axis=1, keepdims=True)
        normal: NDArray[np.float32] = levels / np.maximum(lengths, 1e-6)
        return normal

    def _value(self, row: int) -> Any:
        with self._lock:
            if row in self._held:
                self._held.move_to_end(row)
                return self._held[row]
            if not self.readable[row]:
                return None
            if len(self.kept) and self.seen[row]:
                return _unpacked(self.kept[row])
        image = self._read(self._sources[row])
        value = None if image is None else prepared(self._measure, image)
        with self._lock:
            self.reads += 1
            self.seen[row] = True
            if image is None or value is None:
                self.readable[row] = False
                return None
            small = image.convert("L").resize((SIGNATURE_SIDE, SIGNATURE_SIDE), Image.Resampling.BOX)
            self.signatures[row] = np.asarray(small).ravel()
            if len(self.kept):
                self.kept[row] = value
            if row not in self._held:
                self._held[row] = value
                self._room -= _size(value)
            while self._room < 0:
                self._room += _size(self._held.popitem(last=False)[1])
        return value

    def _read(self, source: StoredPicture) -> Image.Image | None:
        runtime = self._runtime
        try:
            data = runtime.objects.get(source.key)
            target, sha256 = decode_target(self._measure.scale), source.sha256 or None
            return open_image(
                data, target=target, limits=runtime.limits, budget=runtime.budget, sha256=sha256
            ).image
        except (NotFound, BadRequest, ImageRefused):
            return None


def _room_for(measure: Measure, count: int) -> NDArray[Any]:
    if isinstance(measure, Hash):
        return np.zeros(count, np.uint64)
    return np.zeros((count, PERMUTATIONS), np.uint32) if isinstance(measure, Patterns) else np.zeros(0)


def _unpacked(value: Any) -> Any:
    return value.astype(np.uint64) if isinstance(value, np.ndarray) else int(value)


def _size(value: Any) -> int:
    """Estimate the bytes of a prepared picture."""
    parts = value if isinstance(value, tuple) else (value.grey if isinstance(value, Levels) else value,)
    return 100 + sum(part.nbytes if isinstance(part, np.ndarray) else 32 for part in parts)
