"""Thumbnails of the images of categories: kept in the object store once they are made, the latest in memory.

An image's id derives from its bytes, so what is kept under an id never changes.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitrine.services.errors import NotFound, ReadOnly, StorageFull, Unavailable
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.keys import THUMBNAILS

if TYPE_CHECKING:  # who removes thumbnails loads no Pillow
    from vitrine.services.images.budget import DecodeBudget, ImageLimits

WIDTHS = (160, 320, 640, 1280)
"""In pixels; a narrower picture is kept as wide as it is."""
SHOWN_WIDTH = 320
"""The width that is shown where nobody names one."""
FRESH_SECONDS = 60.0
"""What is in memory is given for so long before the object store is asked whether it is still there: another
process may have deleted the image."""
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_Place = tuple[str, str, int]
"""Category, id of the image, and one of ``WIDTHS``."""


def next_width(width: int) -> int:
    """Return the narrowest of ``WIDTHS`` that is at least ``width``; above the widest, the widest.

    >>> [next_width(width) for width in (1, 160, 161, 5000)]
    [160, 160, 320, 1280]
    """
    return next((wide for wide in WIDTHS if wide >= width), WIDTHS[-1])


def thumbnail_key(category: str, id: str, width: int) -> str:
    """Return the key under which a thumbnail is kept."""
    return f"{THUMBNAILS}{category}/{id[:2]}/{id[2:4]}/{id}-{width}.webp"


def is_whole(data: bytes) -> bool:
    """Return whether a WebP file is as long as its header says: a power failure may have cut it short."""
    return data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") + 8 == len(data)


def gone(id: str) -> NotFound:
    """Return the error of an image whose file is lost."""
    return NotFound(f"The file of image {id} is gone from the object store: index it again.", id=id)


@dataclass(frozen=True)
class _Kept:
    data: bytes
    checked: float


class Thumbnails:
    """Gives and makes the thumbnails of images, at most ``max_bytes`` of them from memory. Thread-safe."""

    def __init__(
        self,
        objects: ObjectStore,
        limits: Callable[[], ImageLimits],
        budget: Callable[[], DecodeBudget],
        *,
        max_bytes: int = 64 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objects, self._limits, self._budget = objects, limits, budget
        self._max_bytes, self._clock = max_bytes, clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Place, _Kept] = OrderedDict()
        self._bytes = 0
        self._making: dict[_Place, Future[bytes]] = {}

    @property
    def bytes_kept(self) -> int:
        """Bytes of all thumbnails in memory."""
        return self._bytes

    def in_memory(self, category: str, id: str, width: int) -> bytes | None:
        """Return a thumbnail without asking any store; None where that does not do."""
        place = category, id, width
        with self._lock:
            found = self._kept.get(place)
            if found is None or self._clock() - found.checked > FRESH_SECONDS:
                return None
            self._kept.move_to_end(place)
            return found.data

    def kept(self, category: str, id: str, width: int) -> bytes | None:
        """Return a thumbnail from memory or the object store; None where it has yet to be made. ``NotFound``
        for an id that is none."""
        if not _ID.fullmatch(id):
            raise NotFound(f"There is no image {id[:80]!r}: ids are UUIDs in lower case.", id=id[:80])
        place, key = (category, id, width), thumbnail_key(category, id, width)
        if (found := self.in_memory(*place)) is not None:
            return found
        with self._lock:
            old = self._kept.get(place)
        if old is not None:
            try:
                if self._objects.stat(key) is not None:
                    return self._remember(place, old.data)
            except Unavailable:
                return old.data
            self._forget(place)
        with suppress(NotFound):
            data = self._objects.get(key)
            if is_whole(data):
                return self._remember(place, data)
        return None

    def get(self, category: str, id: str, width: int, key_of: Callable[[], str]) -> bytes:
        """Return a thumbnail of one of ``WIDTHS``, from memory, the object store, or made of the picture.

        ``key_of`` finds the key of the image's file, where it is needed; what it raises is raised here.
        ``NotFound`` for an id that is none and where the file is gone, ``ImageRefused`` where it does not
        decode. Who asks for one that is being made waits for it.
        """
        if (found := self.kept(category, id, width)) is not None:
            return found
        place, mine = (category, id, width), Future[bytes]()
        with self._lock:
            made = self._kept.get(place)  # by another thread, since this one looked
            making = self._making.get(place)
            if made is None and making is None:
                self._making[place] = mine
        if made is not None:
            return made.data
        if making is not None:
            return making.result()
        try:
            mine.set_result(self._make(place, key_of()))
        except BaseException as error:
            mine.set_exception(error)
        finally:
            with self._lock:
                del self._making[place]
        return mine.result()

    def keep(self, category: str, id: str, width: int, data: bytes, file: str) -> bool:
        """Keep a thumbnail in the object store that was made of the object ``file``. Return False, and keep
        nothing, where the image was deleted meanwhile."""
        key = thumbnail_key(category, id, width)
        self._objects.put(key, data, media_type="image/webp", durable=False)
        if self._objects.stat(file) is not None:
            return True
        self._objects.delete(key)  # a deletion takes the file first, and then the thumbnails there are
        return False

    def remove(self, category: str, ids: Iterable[str]) -> None:
        """Delete the thumbnails of images whose files are deleted."""
        for id in ids:
            for width in WIDTHS:
                self._forget((category, id, width))
                self._objects.delete(thumbnail_key(category, id, width))

    def forget(self, category: str) -> None:
        """Forget what is in memory of a category that was deleted."""
        with self._lock:
            gone = [place for place in self._kept if place[0] == category]
        for place in gone:
            self._forget(place)

    def _make(self, place: _Place, file: str) -> bytes:
        from vitrine.services.images.thumbnails import thumbnail_of_file

        try:
            data = self._objects.get(file)
        except NotFound:  # without the object's key
            raise gone(place[1]) from None
        made = thumbnail_of_file(data, place[2], limits=self._limits(), budget=self._budget())
        with suppress(StorageFull, Unavailable, ReadOnly):  # it is shown all the same
            if not self.keep(*place, made, file):
                return made
        return self._remember(place, made)

    def _remember(self, place: _Place, data: bytes) -> bytes:
        """Keep in memory, and return, what is kept; what was unused longest makes room."""
        with self._lock:
            old = self._kept.pop(place, None)
            self._kept[place] = _Kept(data, self._clock())
            self._bytes += len(data) - (len(old.data) if old else 0)
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1].data)
        return data

    def _forget(self, place: _Place) -> None:
        with self._lock:
            old = self._kept.pop(place, None)
            self._bytes -= len(old.data) if old else 0
