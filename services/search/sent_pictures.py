"""Pictures that people sent to search with: kept for a day, so that the next question by one need not send it
again."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vitrine.services.domain import Embedding, EncoderSpec
from vitrine.services.errors import NotFound, ReadOnly, TooLarge
from vitrine.services.object_store.base import ObjectStat, ObjectStore
from vitrine.services.object_store.keys import PICTURES

if TYPE_CHECKING:  # a search by id needs no pictures
    from vitrine.services.images.budget import DecodeBudget, ImageLimits

KEPT_FOR = timedelta(hours=24)
MAX_BYTES = 256 << 20
"""Of all of them; those sent longest ago make room."""
_MAX_HELD = 64 << 20
"""Bytes of the pictures in memory, where the object store is only read."""
_MAX_VECTORS = 1_000
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SentPicture:
    """A picture that is kept under the hash of its bytes: its size upright, in pixels, and until when."""

    sha256: str
    width: int
    height: int
    expires_at: datetime


class SentPictures:
    """Keeps the pictures that searches are asked by, and the vectors they turned out to have. Thread-safe."""

    def __init__(
        self,
        objects: ObjectStore,
        limits: Callable[[], ImageLimits],
        budget: Callable[[], DecodeBudget],
        *,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._objects, self._limits, self._budget = objects, limits, budget
        self._max_bytes, self._clock = max_bytes, clock
        self._lock = threading.Lock()
        self._vectors: OrderedDict[tuple[EncoderSpec, str], Embedding] = OrderedDict()
        self._in_memory: OrderedDict[str, tuple[datetime, bytes]] = OrderedDict()

    def keep(self, data: bytes) -> SentPicture:
        """Keep a picture; one that is there already begins its day anew. ``ImageRefused``, ``TooLarge``."""
        from vitrine.services.images.open import content_hash, picture_of

        if len(data) > self._max_bytes:
            raise TooLarge(
                f"The picture is larger than all that are kept together ({self._max_bytes:,} bytes): send it "
                "as the file of a search."
            )
        _, (width, height) = picture_of(data, 1, limits=self._limits(), budget=self._budget())
        sha256 = content_hash(data)
        try:
            self._objects.put(PICTURES + sha256, data, durable=False)
        except ReadOnly:
            self._hold(sha256, data)
        else:
            self._make_room(sha256)
        return SentPicture(sha256, width, height, self._clock().replace(microsecond=0) + KEPT_FOR)

    def read(self, sha256: str) -> bytes:
        """Return the bytes of a picture. ``NotFound`` where it was never sent, or has gone."""
        if (held := self._held(sha256)) is not None:
            return held
        self.check(sha256)
        try:
            return self._objects.get(PICTURES + sha256)
        except NotFound:
            raise _gone(sha256) from None

    def check(self, sha256: str) -> None:
        """Raise ``NotFound`` unless the picture is there."""
        if self._held(sha256) is not None:
            return
        stat = self._objects.stat(PICTURES + sha256) if _SHA256.fullmatch(sha256) else None
        if stat is None or self._is_old(stat):
            raise _gone(sha256)

    def thumbnail(self, sha256: str, width: int) -> bytes:
        """Return a small version as WebP. ``NotFound``."""
        from vitrine.services.images.thumbnails import thumbnail_of_file

        return thumbnail_of_file(self.read(sha256), width, limits=self._limits(), budget=self._budget())

    def known_vector(self, spec: EncoderSpec, sha256: str) -> Embedding | None:
        """Return the picture's vector by an encoder, where it was asked for before. ``NotFound`` where the
        picture has gone."""
        self.check(sha256)
        with self._lock:
            found = self._vectors.get((spec, sha256))
            if found is not None:
                self._vectors.move_to_end((spec, sha256))
            return found

    def remember_vector(self, spec: EncoderSpec, sha256: str, vector: Embedding) -> None:
        """Keep a picture's vector for the next question by it."""
        with self._lock:
            self._vectors[spec, sha256] = vector
            while len(self._vectors) > _MAX_VECTORS:
                self._vectors.popitem(last=False)

    def _hold(self, sha256: str, data: bytes) -> None:
        """Keep in memory what cannot be stored; those sent longest ago make room."""
        with self._lock:
            self._in_memory.pop(sha256, None)
            self._in_memory[sha256] = self._clock(), data
            while sum(len(each) for _, each in self._in_memory.values()) > min(_MAX_HELD, self._max_bytes):
                self._in_memory.popitem(last=False)

    def _held(self, sha256: str) -> bytes | None:
        with self._lock:
            since, data = self._in_memory.get(sha256, (None, None))
        return None if since is None or self._clock() - since >= KEPT_FOR else data

    def _is_old(self, stat: ObjectStat) -> bool:
        return self._clock() - stat.modified >= KEPT_FOR

    def _make_room(self, newest: str) -> None:
        """Delete what is older than a day, and what has no room, the oldest first."""
        found = sorted(self._objects.list(PICTURES), key=lambda stat: (stat.modified, stat.key))
        total = sum(stat.size for stat in found)
        for stat in found:
            if stat.key == PICTURES + newest or not (self._is_old(stat) or total > self._max_bytes):
                continue
            self._objects.delete(stat.key)
            total -= stat.size


def _gone(sha256: str) -> NotFound:
    return NotFound(
        f"The picture {sha256[:80]} is not here (any more): send it again (POST /v1/pictures).",
        picture=sha256[:80],
    )
