"""Make categories again from a backup, on whatever engine and object store the settings name."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from vitrine.indexer.backup.contents import StoredCategory, StoredObject
from vitrine.indexer.backup.pictures import AT_ONCE
from vitrine.indexer.backup.place import Place, hash_of
from vitrine.indexer.backup.report import BackupReport
from vitrine.indexer.backup.snapshots import drop_others, load_snapshot
from vitrine.indexer.backup.walk import objects_of, parts_of, points_of
from vitrine.indexer.job.job import Job
from vitrine.indexer.job.progress import Progress
from vitrine.services.domain import Hit, Point
from vitrine.services.errors import AlreadyExists, NotFound, StoreDamaged
from vitrine.services.object_store.keys import media_type_of
from vitrine.services.runtime import Runtime

_POINTERS = ("current.json",)
_UPSERTED = 500
_ROUNDED = 1e-3
"""How far components of a vector may be apart that engines have rounded, of which one keeps float16."""


def restore_backup(
    runtime: Runtime,
    place: Place,
    *,
    backup: str | None = None,
    categories: Sequence[str] = (),
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> BackupReport:
    """Make these categories of a backup again (none named: all; ``backup`` None: the latest), as they were.

    Each is in service when all of it is there and every file had the content that it should have; a run that
    was interrupted goes on where it stopped. The search index is built in the background afterwards.
    ``AlreadyExists`` before anything is written if a category of the name is there; ``NotFound``,
    ``StoreDamaged`` naming the file of the backup.
    """
    found = place.read(backup)
    wanted = [_named(found.category(name), name, place) for name in categories] or list(found.categories)
    for stored in wanted:
        _check_room(runtime, stored, wanted)
    report = BackupReport(place.name, "Restored", found.name)
    job = Job(runtime, "", report, progress, stop)
    with job.running(keep_errors=True):
        place.look()
        for stored in wanted:
            _check_files(place, stored)
        for stored in wanted:
            _CategoryRestore(runtime, place, stored, job, report).run()
            report.categories[stored.name] = stored.points
    return report


class _CategoryRestore:
    """Brings one category back."""

    def __init__(
        self, runtime: Runtime, place: Place, stored: StoredCategory, job: Job, report: BackupReport
    ) -> None:
        self._runtime = runtime
        self._objects, self._vectors, self._catalog = runtime.objects, runtime.vectors, runtime.catalog
        self._place, self._stored, self._job, self._report = place, stored, job, report
        self._lacking = set(stored.lacking)
        self._compares = stored.snapshot is not None and runtime.vectors.snapshots is not None
        """What a snapshot brought may be newer than the backup, also where this was interrupted since."""

    def run(self) -> None:
        stored = self._stored
        category = replace(stored.category, images=stored.points)
        self._catalog.restore(category, stored.collection, self._fill)
        self._vectors.optimize(stored.name, wait=False)

    def _fill(self) -> None:
        """Bring pictures before their points, and what names other objects last."""
        name, done = self._stored.name, 0
        if self._compares and not self._vectors.count(name):
            with self._job.stage(f"Snapshot of {name}"):
                load_snapshot(self._runtime, self._place, self._stored, self._report.notes)
        with self._job.stage(f"Restore {name}", self._stored.points) as advance:
            for points in points_of(self._place, self._stored):
                for start in range(0, len(points), _UPSERTED):
                    some = points[start : start + _UPSERTED]
                    self._bring(some)
                    done += len(some)
                    advance(done, self._stored.points)
        if self._vectors.count(name) > self._stored.points:
            drop_others(self._vectors, self._place, self._stored)
        with self._job.stage(f"Objects of {name}", len(self._stored.objects)) as advance:
            ordered = sorted(self._stored.objects, key=lambda stored: stored.key.endswith(_POINTERS))
            for number, stored in enumerate(ordered, 1):
                self._copy(stored.key, stored.sha256, stored.bytes)
                advance(number, len(ordered))
        there = self._vectors.count(name)
        if there != self._stored.points:
            raise StoreDamaged(
                f"Category {name!r} has {there} images after restoring, its backup {self._stored.points}: "
                f"`vitrine category delete {name}`, then restore it again, or another backup.",
                category=name,
            )

    def _bring(self, points: Sequence[Point]) -> None:
        """Store points that are not there yet, or are otherwise in the snapshot, their pictures before
        them."""
        using = tuple(vector.name for vector in self._stored.collection.vectors) if self._compares else ()
        found = self._vectors.retrieve(
            self._stored.name,
            [point.id for point in points],
            with_payload=self._compares,
            with_vectors=using,
        )
        new = [point for point, hit in zip(points, found, strict=True) if not self._is_as(point, hit)]
        pictures = [
            StoredObject(key, point.payload["sha256"], point.payload.get("bytes", 0), "")
            for point in (points if self._compares else new)
            if (key := point.payload.get("object_key")) and key not in self._lacking
        ]
        with ThreadPoolExecutor(AT_ONCE, "pictures") as pool:
            for _ in pool.map(lambda one: self._copy(one.key, one.sha256, one.bytes), pictures):
                pass
        if new:
            self._vectors.upsert(self._stored.name, new)

    def _is_as(self, point: Point, hit: Hit | None) -> bool:
        """Return whether a point is there as the backup has it."""
        if hit is None or not self._compares:
            return hit is not None
        return (
            hit.payload == point.payload
            and hit.vectors.keys() == point.vectors.keys()
            and all(
                np.allclose(hit.vectors[name], vector, rtol=0, atol=_ROUNDED)
                for name, vector in point.vectors.items()
            )
        )

    def _copy(self, key: str, sha256: str, size: int) -> None:
        """Store an object, unless it is there."""
        try:
            if hash_of(self._objects, key) == sha256:
                return
        except NotFound:
            pass
        self._place.copy_out(sha256, size, self._objects, key, media_type_of(key))
        self._report.files += 1
        self._report.bytes += size


def _named(stored: StoredCategory | None, name: str, place: Place) -> StoredCategory:
    if stored is None:
        raise NotFound(
            f"The backup in {place.name} has no category {name!r}: `vitrine backup list` names them.",
            category=name,
        )
    return stored


def _check_room(runtime: Runtime, stored: StoredCategory, wanted: Sequence[StoredCategory]) -> None:
    """Raise ``AlreadyExists`` with what to do where a category is there."""
    try:
        runtime.catalog.check_room(stored.category)
    except AlreadyExists as error:
        others = " ".join(f"-c {other.name}" for other in wanted if other.name != stored.name)
        rest = f" The others can be restored by {others}." if others else ""
        raise AlreadyExists(
            f"{error.message.rstrip('.')}. Nothing was restored: restore into another data folder (--data), "
            f"or delete it first, by `vitrine category delete {stored.name}`.{rest}",
            category=stored.name,
        ) from error


def _check_files(place: Place, stored: StoredCategory) -> None:
    """Raise ``StoreDamaged`` for a file that is missing or cut short, before anything is written."""
    for file in (*parts_of(stored), *objects_of(stored)):
        if not place.has(file.sha256, file.bytes):
            raise StoreDamaged(
                f"The file {place.file(file.sha256)} of the backup in {place.name} is missing or cut short; "
                f"it holds {file.holds}. Restore another backup, which `vitrine backup list` names.",
                file=place.file(file.sha256),
            )
