"""A cache of recently requested thumbnails, in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

Thumbnail = tuple[bytes, str]
"""Bytes of a picture and its media type."""


class ThumbnailCache:
    """The most recently used thumbnails by (sha256, width), at most ``max_bytes`` of them. Thread-safe."""

    def __init__(self, max_bytes: int = 64 << 20) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Thumbnail] = OrderedDict()
        self._bytes = 0

    def get(self, sha256: str, width: int) -> Thumbnail | None:
        """Return a thumbnail, None if it is not kept."""
        with self._lock:
            found = self._kept.get((sha256, width))
            if found is not None:
                self._kept.move_to_end((sha256, width))
            return found

    def put(self, sha256: str, width: int, thumbnail: Thumbnail) -> None:
        """Keep it; those unused longest make room."""
        with self._lock:
            old = self._kept.pop((sha256, width), None)
            self._kept[sha256, width] = thumbnail
            self._bytes += len(thumbnail[0]) - (len(old[0]) if old else 0)
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1][0])

    @property
    def bytes_kept(self) -> int:
        """Bytes of all pictures that are kept."""
        return self._bytes
