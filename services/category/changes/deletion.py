"""Put images into the bin, take them out again, and delete them for good."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from vitrine.services.category.changes.bin import Bin
from vitrine.services.category.changes.entries import Deletion, Record, Restoration, batched
from vitrine.services.category.changes.outcomes import Outcome, TakenBack
from vitrine.services.category.changes.reading import SLICE, Images
from vitrine.services.category.fields import FIELDS, QUALITY
from vitrine.services.category.journal import Line
from vitrine.services.category.payload import index_kinds, joined_kinds
from vitrine.services.category.thumbnails import Thumbnails
from vitrine.services.domain import Hit, Point
from vitrine.services.object_store.base import ObjectStore

Versions = Callable[[str], Mapping[str, Mapping[str, str]]]
"""Returns for a category, by payload object (``clusters``, ``maps``), the keys in service and since when."""
_BY_PEOPLE = tuple(each.family or each.name for each in FIELDS if each.set_by in ("people", "edits"))


@dataclass(frozen=True, eq=False)
class Deleter:
    """Deletes and restores images of all categories."""

    images: Images
    bin: Bin
    objects: ObjectStore
    thumbnails: Thumbnails
    versions: Versions

    def delete(
        self, record: Record, ids: Sequence[str], wanted: Callable[[Hit], bool] = lambda hit: True
    ) -> Outcome:
        """Put those of the images that are ``wanted`` into the bin, a slice at a time: first into the bin,
        then away from the category. Their pictures stay."""
        category, images = record.category, self.images
        names = [spec.name for spec in images.catalog.get(category).encoders]
        step = Deletion(f"{record.name}-{len(record.steps):02d}")
        there, gone, missing = 0, list[str](), list[str]()
        for number, part in enumerate(batched(list(dict.fromkeys(ids)), SLICE)):
            with images.catalog.writing(category):
                found = images.find(category, part, vectors=names)
                going = [hit for hit in found.hits if wanted(hit)]
                if going:
                    self.bin.put(category, f"{step.name}-{number:06d}", going)
                    record.save(step)
                    images.vectors.delete(category, [hit.id for hit in going])
                    images.journal.write(category, [Line(hit.id, gone=True) for hit in going])
                    images.count_anew(category)
            there, missing = there + len(found.hits), missing + found.missing
            gone += [hit.id for hit in going]
        return Outcome(there, gone, tuple(missing), record.undo)

    def restore(self, record: Record, ids: Sequence[str], name: str = "") -> Outcome:
        """Take images out of the bin, of the objects whose names begin with ``name``, a slice at a time. One
        that is in the category is left as it is."""
        category, step = record.category, Restoration()
        there, missing = 0, list[str]()
        for part in batched(list(dict.fromkeys(ids)), SLICE):
            with self.images.catalog.writing(category):
                gone = self.images.find(category, part, False).missing
                points = dict[str, Point]()
                for deleted_at, hits in self.bin.read(category, gone, name):
                    points |= {hit.id: self._point(category, hit, deleted_at) for hit in hits}
                if points:
                    self._bring_back(record, step, points, name)
            missing += [id for id in gone if id not in points]
            there += len(part) - len(gone) + len(points)
        return Outcome(there, step.digests.keys(), tuple(missing), record.undo)

    def remove(self, category: str, ids: Sequence[str]) -> int:
        """Delete images for good, and return how many there were. Points go first, then their objects, so
        that no point is ever without its picture."""
        images, count = self.images, 0
        for part in batched(list(dict.fromkeys(ids)), SLICE):
            with images.catalog.writing(category):
                hits = images.find(category, part, ("object_key",)).hits
                if hits:
                    images.vectors.delete(category, [hit.id for hit in hits])
                    images.journal.write(category, [Line(hit.id, gone=True) for hit in hits])
                    images.count_anew(category)
                for hit in hits:
                    self.objects.delete(hit.payload["object_key"])
                self.thumbnails.remove(category, [hit.id for hit in hits])
            count += len(hits)
        return count

    def take_back_deletion(self, record: Record, step: Deletion) -> TakenBack:
        """Restore what was deleted."""
        ids = self.bin.ids(record.category, step.name)
        done = self.restore(record, ids, step.name).done
        return TakenBack(done, [id for id in ids if id not in done])

    def take_back_restoration(self, record: Record, step: Restoration) -> TakenBack:
        """Delete what was restored, unless people have said something of it since."""
        kept: list[str] = []

        def same(hit: Hit) -> bool:
            if _digest(hit.payload) == step.digests[hit.id]:
                return True
            kept.append(hit.id)
            return False

        outcome = self.delete(record, list(step.digests), same)
        return TakenBack(outcome.done, [*outcome.missing, *kept])

    def _bring_back(self, record: Record, step: Restoration, points: Mapping[str, Point], name: str) -> None:
        category, images = record.category, self.images
        step.digests |= {id: _digest(point.payload) for id, point in points.items()}
        record.save(step)
        kinds = joined_kinds([index_kinds(point.payload) for point in points.values()])
        images.catalog.ensure_indexes(category, kinds)
        images.vectors.upsert(category, list(points.values()))
        images.journal.write_whole(category, {id: point.payload for id, point in points.items()})
        self.bin.take_out(category, points.keys(), name)
        images.count_anew(category)

    def _point(self, category: str, hit: Hit, deleted_at: str) -> Point:
        """Return an image of the bin as a point of the category: without what runs said of it that were
        replaced since."""
        payload, deleted = dict(hit.payload), datetime.fromisoformat(deleted_at)
        for group, since in self.versions(category).items():
            if group in payload:
                payload[group] = {
                    key: value
                    for key, value in payload[group].items()
                    if key in since and datetime.fromisoformat(since[key]) <= deleted
                }
        known = {spec.name for spec in self.images.catalog.get(category).encoders}
        return Point(hit.id, {name: row for name, row in hit.vectors.items() if name in known}, payload)


def _digest(payload: Mapping[str, Any]) -> str:
    """Return a digest of what people have said of an image."""
    said = {name: value for name in _BY_PEOPLE if (value := payload.get(name)) not in (None, [], {})}
    if QUALITY in payload.get("scored_by", {}):  # a tagger gave it
        said.pop(QUALITY, None)
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
