"""The bin: deleted images, outside of every query and count, until they are restored or 24 hours old.

An object of the bin (``_bin/<category>/<moment>-<random>-<slice>``) is written before the points go; the
pictures stay where they are until it is emptied. Emptying marks the object first, so that nothing half gone
is restored, then removes the pictures, then the object. Killed anywhere, a deletion leaves the images both in
the category and in the bin: they count as not deleted, and emptying leaves their pictures alone.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from vitrine.services.category.changes.bin_files import BinFile, without_vectors
from vitrine.services.category.changes.entries import LIFETIME, STAMP, Clock, batched, moment_of
from vitrine.services.category.thumbnails import Thumbnails
from vitrine.services.domain import Hit
from vitrine.services.errors import NotFound, StoreDamaged
from vitrine.services.object_store.base import ObjectStat, ObjectStore
from vitrine.services.object_store.keys import BIN
from vitrine.services.vector_store.base import VectorStore

_MAX_KNOWN = 50_000
"""Ids of binned images that are remembered, in all: some 10 MB."""
_EMPTIED_AT_A_TIME = 100
"""Images whose pictures are removed while nobody else writes."""
_log = logging.getLogger("vitrine.bin")


@dataclass(frozen=True)
class Binned:
    """An image in the bin, and when it was deleted (RFC 3339)."""

    hit: Hit
    deleted_at: str


@dataclass(frozen=True)
class BinPage:
    """Some of the images in the bin, latest deleted first, and how many there are in all."""

    images: tuple[Binned, ...]
    total: int


class Bin:
    """The bins of all categories. Thread-safe. Methods that change it are called while nobody else of this
    process writes to the category, except ``empty``, which takes the lock ``writing`` itself."""

    def __init__(
        self,
        objects: ObjectStore,
        vectors: VectorStore,
        thumbnails: Thumbnails,
        writing: Callable[[str], AbstractContextManager[object]],
        clock: Clock,
    ) -> None:
        self._objects, self._vectors, self._thumbnails = objects, vectors, thumbnails
        self._writing, self._clock = writing, clock
        self._known: OrderedDict[tuple[str, int], tuple[str, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, category: str, name: str, hits: Sequence[Hit]) -> None:
        """Put whole images, with all vectors, into an object of the bin."""
        moment = self._clock().isoformat(timespec="milliseconds")
        BinFile(self._objects, category, f"{BIN}{category}/{name}").write(moment, hits)

    def images(self, category: str, *, limit: int = 100, offset: int = 0) -> BinPage:
        """Return the images that were deleted and not restored, latest first: ``limit`` of them after the
        first ``offset``."""
        total, found = 0, list[Binned]()
        seen = set[str]()
        for file, ids in self._files(category):
            gone = self._gone(category, [id for id in ids if id not in seen])
            seen.update(gone)
            start = max(0, offset - total)
            wanted = gone[start : start + limit - len(found)] if total + len(gone) > offset else []
            total += len(gone)
            if wanted:
                head, hits = file.payloads()
                by_id = {hit.id: hit for hit in hits}
                found += [Binned(by_id[id], head.deleted_at) for id in wanted]
        return BinPage(tuple(found), total)

    def find(self, category: str, id: str) -> Hit | None:
        """Return an image in the bin, without its vectors; None where it is not there."""
        for file, ids in self._files(category):
            if id in ids:
                return next(hit for hit in file.payloads()[1] if hit.id == id)
        return None

    def read(self, category: str, wanted: Collection[str], name: str = "") -> Iterator[tuple[str, list[Hit]]]:
        """Yield for each object of the bin that has some of the images ``wanted`` when they were deleted, and
        these images whole; the latest version of each. ``name``: only objects whose names begin so."""
        left = set(wanted)
        for file, ids in self._files(category, name):
            if left.isdisjoint(ids):
                continue
            head, hits = file.images()
            yield head.deleted_at, [hit for hit in hits if hit.id in left]
            left.difference_update(ids)
            if not left:
                return

    def ids(self, category: str, name: str) -> list[str]:
        """Return the ids of the images in the objects whose names begin with ``name``."""
        return [id for _, ids in self._files(category, name) for id in ids]

    def take_out(self, category: str, restored: Collection[str], name: str = "") -> None:
        """Remove images from the bin: they are in the category again."""
        going = set(restored)
        for file, ids in self._files(category, name):
            if going.isdisjoint(ids):
                continue
            head, hits = file.images()
            staying = [hit for hit in hits if hit.id not in going]
            if staying:
                file.write(head.deleted_at, staying)
            else:
                self._objects.delete(file.key)

    def empty(self, category: str, *, older_than: datetime | None = None) -> int:
        """Remove for good what was deleted by ``older_than`` (None: all), and return how many images that
        were. What was left of an interrupted call goes as well."""
        count = 0
        for stat in self._stats(category):
            file = BinFile(self._objects, category, stat.key)
            old = older_than is None or moment_of(_name(stat.key)) <= older_than
            try:
                with self._writing(category):
                    head = file.head()
                    if not (old or head.emptying):
                        continue
                    if not head.emptying:
                        hits = file.payloads()[1]
                        gone = [without_vectors(hit, ("object_key",)) for hit in hits]
                        file.write(head.deleted_at, gone, emptying=True)
                count += self._remove_pictures(category, file)
            except NotFound:  # another process was faster
                continue
            except StoreDamaged:
                if not old:
                    continue
            self._objects.delete(stat.key)
        return count

    def _remove_pictures(self, category: str, file: BinFile) -> int:
        """Remove the pictures of images that are neither in the category nor in another object of the
        bin."""
        hits = file.payloads()[1]
        count = 0
        for ids in batched([hit.id for hit in hits], _EMPTIED_AT_A_TIME):
            with self._writing(category):
                elsewhere = {id for _, others in self._files(category) for id in others}
                gone = set(self._gone(category, ids)) - elsewhere
                for hit in hits:
                    if hit.id in gone and "object_key" in hit.payload:
                        self._objects.delete(hit.payload["object_key"])
                self._thumbnails.remove(category, gone)
            count += len(gone)
        return count

    def _gone(self, category: str, ids: Sequence[str]) -> list[str]:
        """Return those of the ids that are not in the category."""
        hits = self._vectors.retrieve(category, ids, with_payload=False) if ids else []
        return [id for id, hit in zip(ids, hits, strict=True) if hit is None]

    def _files(self, category: str, name: str = "") -> Iterator[tuple[BinFile, tuple[str, ...]]]:
        """Yield the objects of the bin with the ids in them, latest first; not those that are being
        emptied, nor what is too old to be restored."""
        oldest = self._clock() - LIFETIME
        for stat in reversed(self._stats(category, name)):
            if moment_of(_name(stat.key)) <= oldest:
                continue
            file = BinFile(self._objects, category, stat.key)
            try:
                ids = self._ids(file, stat.size)
            except NotFound:  # emptied meanwhile
                continue
            except StoreDamaged as error:  # the others can still be restored
                _log.warning("%s", error.message)
                continue
            if ids:
                yield file, ids

    def _stats(self, category: str, name: str = "") -> list[ObjectStat]:
        """Return the objects of the bin, oldest first."""
        found = self._objects.list(f"{BIN}{category}/{name}")
        return [stat for stat in found if STAMP.match(_name(stat.key))]

    def _ids(self, file: BinFile, size: int) -> tuple[str, ...]:
        """Return the ids in an object; none while it is being emptied. An object that was changed has another
        size, or it is away."""
        key = (file.key, size)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        head, ids = file.ids()
        found = () if head.emptying else tuple(ids)
        with self._lock:
            self._known[key] = found
            while sum(map(len, self._known.values())) > _MAX_KNOWN and len(self._known) > 1:
                self._known.popitem(last=False)
        return found


def _name(key: str) -> str:
    return key.rpartition("/")[2]
