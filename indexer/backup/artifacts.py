"""Copy the other objects of a category (taggers, runs, maps, bin, undo, saved searches ...) into a backup,
all as they were at one moment."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from vitrine.indexer.backup.contents import StoredCategory, StoredObject
from vitrine.indexer.backup.pictures import PictureCopier
from vitrine.indexer.backup.place import Place
from vitrine.services.category.changes.bin_files import BinFile
from vitrine.services.category.leftovers import PLACES
from vitrine.services.category.manifest import Category
from vitrine.services.domain import Hit
from vitrine.services.encoders.reference import STORED
from vitrine.services.errors import Conflict, NotFound, StoreDamaged
from vitrine.services.object_store.base import ObjectStat, ObjectStore
from vitrine.services.object_store.keys import BIN, THUMBNAILS

_TRIES = 20
_SETTLED = timedelta(seconds=2)
"""An object that was changed this long before it was read would show another time if it had changed again."""
_log = logging.getLogger("vitrine.backup")


class ArtifactCopier:
    """Copies the objects of one category but its pictures. ``before``: the category in the last backup: what
    has not changed since is not read again. ``begun_at``: when that one was begun."""

    def __init__(
        self,
        objects: ObjectStore,
        place: Place,
        pictures: PictureCopier,
        before: StoredCategory | None,
        begun_at: datetime | None,
    ) -> None:
        self._objects, self._place, self._pictures = objects, place, pictures
        self._read_at: dict[str, datetime] = {}
        self._known: dict[str, StoredObject] = {}
        self._binned: dict[tuple[str, str], tuple[Hit, ...]] = {}
        if before is not None and begun_at is not None:
            self._known = {stored.key: stored for stored in before.objects}
            self._read_at = dict.fromkeys(self._known, begun_at)

    def copy(self, category: Category) -> tuple[StoredObject, ...]:
        """Copy all objects, and return them as they are at one moment. ``Conflict`` if they change all the
        time, which they do not while nobody else writes."""
        found = self.try_to_copy(category, _TRIES)
        if found is None:
            raise Conflict(
                f"The objects of category {category.name!r} change all the time: back it up when less is "
                "done."
            )
        return found

    def try_to_copy(self, category: Category, tries: int = 1) -> tuple[StoredObject, ...] | None:
        """Do the same; None where they change all the time: what did not is copied by then."""
        listed = self._listed(category)
        for _ in range(tries):
            found = [self._stored(stat) for stat in listed]
            again = self._listed(category)
            if again == listed:
                stored = [each for each in found if each is not None]
                return (*stored, *self._pictures_of_bin(category.name, stored))
            listed = again
        return None

    def _listed(self, category: Category) -> list[ObjectStat]:
        prefixes = {f"{place}{category.name}/" for place in PLACES if place != THUMBNAILS}
        for spec in category.encoders:  # an encoder may lie with the category that it was made in
            if spec.model.startswith(STORED):
                prefixes.add(spec.model.removeprefix(STORED) + "/")
        stats = {stat.key: stat for prefix in sorted(prefixes) for stat in self._objects.list(prefix)}
        return [stats[key] for key in sorted(stats)]

    def _stored(self, stat: ObjectStat) -> StoredObject | None:
        """Return the object as it lies in the backup; None if it is gone, which the next listing shows."""
        moment = stat.modified.isoformat()
        known = self._known.get(stat.key)
        if (
            known is not None
            and (known.bytes, known.modified) == (stat.size, moment)
            and stat.modified < self._read_at[stat.key] - _SETTLED
            and self._place.has(known.sha256, known.bytes)
        ):
            return known
        read_at = datetime.now(UTC)
        try:
            content = self._place.put_object(self._objects, stat.key, stat.size)
        except NotFound:
            return None
        stored = StoredObject(stat.key, content.sha256, content.bytes, moment)
        self._known[stat.key], self._read_at[stat.key] = stored, read_at
        return stored

    def _pictures_of_bin(self, category: str, stored: Iterable[StoredObject]) -> list[StoredObject]:
        """Copy the pictures of deleted images, which no point names, and return them."""
        found: dict[str, StoredObject] = {}
        for each in stored:
            if not each.key.startswith(BIN):
                continue
            hits = self._hits(category, each)
            self._pictures.copy(hits)
            for payload in (hit.payload for hit in hits):
                if "object_key" in payload and self._place.has(payload["sha256"]):
                    found[payload["object_key"]] = _picture(payload, each.modified)
        return list(found.values())

    def _hits(self, category: str, stored: StoredObject) -> tuple[Hit, ...]:
        known = (stored.key, stored.sha256)
        if known not in self._binned:
            try:
                head, hits = BinFile(self._objects, category, stored.key).payloads()
            except (NotFound, StoreDamaged) as error:  # it is copied as it is; the others can be restored
                _log.warning("%s", error)
                return ()
            self._binned[known] = () if head.emptying else tuple(hits)
        return self._binned[known]


def _picture(payload: Mapping[str, Any], modified: str) -> StoredObject:
    return StoredObject(payload["object_key"], payload["sha256"], payload["bytes"], modified)
