"""Make a backup of categories while everything runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import orjson

from vitrine.indexer.backup.artifacts import ArtifactCopier
from vitrine.indexer.backup.contents import Backup, StoredCategory, StoredObject, schema_json
from vitrine.indexer.backup.pictures import PictureCopier
from vitrine.indexer.backup.place import Place
from vitrine.indexer.backup.points import PointsReader
from vitrine.indexer.backup.report import BackupReport
from vitrine.indexer.backup.snapshots import add_snapshot
from vitrine.indexer.backup.walk import files_of
from vitrine.indexer.job.job import Advance, Job
from vitrine.indexer.job.progress import Progress
from vitrine.services.category.manifest import Category, manifest_json, manifest_key, read_manifest
from vitrine.services.errors import Conflict, NotFound, StoreDamaged
from vitrine.services.runtime import Runtime

_FEW = 200
"""Changes that are read while other writers wait."""
_ROUNDS = 10
_PASSES = 4
"""Times that a category is read whole, where the engine does not tell what others write."""


def create_backup(
    runtime: Runtime,
    place: Place,
    *,
    categories: Sequence[str] = (),
    snapshots: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> BackupReport:
    """Back up these categories (none named: all), each as it is at one moment, while others search and write.

    ``snapshots``: where vectors are on a Qdrant server, its snapshot of each collection too, so that a server
    need not build the search index again; it is as large as the collection, and written again whenever
    something has changed.

    What the place has from earlier backups is not copied again. The backup counts once it is complete: until
    then its name is not listed, and a run that is interrupted has only saved the next one work. A category
    that is damaged is left out and named, and the report is ``failed``. ``NotFound`` (a category that is
    named).
    """
    report = BackupReport(place.name)
    job = Job(runtime, "", report, progress, stop)
    names = list(categories) or [category.name for category in runtime.catalog.list()]
    for name in categories:
        runtime.catalog.get(name)
    for one in () if categories else runtime.catalog.remains():
        if one.state == "damaged" and one.name not in names:
            report.damaged[one.name] = one.message
    with job.running(keep_errors=True):
        begun = datetime.now(UTC)
        place.look()
        place.files, place.bytes = 0, 0
        before = place.latest()
        found = []
        for name in names:
            try:
                with job.stage(f"Back up {name}", runtime.vectors.count(name)) as advance:
                    taken = _CategoryBackup(runtime, place, name, before, report, advance).take()
                if taken is not None and snapshots:
                    former = None if before is None else before.category(name)
                    with job.stage(f"Snapshot of {name}"):
                        taken = add_snapshot(runtime, place, taken, former, report.notes)
            except StoreDamaged as error:
                if "file" in error.details:  # of the backup itself
                    raise
                report.damaged[name] = error.message
                continue
            except NotFound:
                if name in categories:
                    raise
                report.notes.append(f"Category {name} was deleted meanwhile.")
                continue
            finally:
                report.files, report.bytes = place.files, place.bytes
            if taken is not None:
                found.append(taken)
                report.categories[name] = taken.points
        backup = Backup(
            f"{begun:%Y%m%dT%H%M%S}{begun.microsecond // 1000:03d}Z",
            begun.isoformat(timespec="milliseconds"),
            version("vitrine"),
            tuple(found),
            tuple(report.notes),
        )
        _check_complete(place, backup)
        place.write(backup)
        report.backup = backup.name
    return report


class _CategoryBackup:
    """Takes one category into a backup."""

    def __init__(
        self,
        runtime: Runtime,
        place: Place,
        name: str,
        before: Backup | None,
        report: BackupReport,
        advance: Advance,
    ) -> None:
        self._runtime, self._name, self._report = runtime, name, report
        self._advance = advance
        self._read = 0
        self._pictures = PictureCopier(runtime.objects, place)
        self._points = PointsReader(runtime.vectors, name, place, self._pictures, self._seen)
        begun = None if before is None else datetime.fromisoformat(before.begun_at)
        former = None if before is None else before.category(name)
        self._artifacts = ArtifactCopier(runtime.objects, place, self._pictures, former, begun)

    def take(self) -> StoredCategory | None:
        """Return the category as it is in the backup by now; None if it was deleted meanwhile."""
        try:
            category = self._present()
            self._points.read()
            return self._by_changes(category) if self._points.knows_changes else self._by_reading_again()
        except NotFound:
            if self._category() is not None:
                raise
            self._report.notes.append(f"Category {self._name!r} was deleted while it was backed up.")
            return None

    def _by_changes(self, category: Category) -> StoredCategory:
        """Read what was changed meanwhile, until that is little, and then the rest of it while nobody
        writes. ``category``: as it was before the points were read."""
        while True:
            self._artifacts.try_to_copy(category)
            self._points.catch_up(until=_FEW, rounds=_ROUNDS)
            with self._runtime.catalog.writing(self._name):
                self._points.catch_up()
                present = self._present()
                if _vectors_of(present) == _vectors_of(category):
                    return self._stored(present, self._artifacts.copy(present))
            category = self._present()
            self._points.read()  # it has other vectors by now, of which the changes do not tell

    def _by_reading_again(self) -> StoredCategory:
        """Read everything again until nothing is new: as it was when the objects were copied in between."""
        for _ in range(_PASSES):
            category, before = self._present(), tuple(self._points.parts)
            objects = self._artifacts.try_to_copy(category)
            self._points.read()
            same = before == tuple(self._points.parts) and self._present() == category
            if same and objects is not None:
                return self._stored(category, objects)
        self._report.notes.append(
            f"Category {self._name!r} was written to all the time: images that were changed in the last "
            "minutes may lack a part of a change. Back it up again when less is done."
        )
        with self._runtime.catalog.writing(self._name):
            self._points.read()
            present = self._present()
            return self._stored(present, self._artifacts.copy(present))

    def _stored(self, category: Category, objects: tuple[StoredObject, ...]) -> StoredCategory:
        lacking = sorted((key, why) for key, (_, why) in self._pictures.lacking.items())
        self._report.lacking += [(self._name, key, why) for key, why in lacking]
        schema = self._runtime.vectors.info(self._name).schema
        return StoredCategory(
            self._name,
            self._points.points,
            orjson.loads(manifest_json(category)),
            schema_json(schema),
            tuple(self._points.parts),
            tuple(self._points.late),
            objects,
            tuple(key for key, _ in lacking),
        )

    def _present(self) -> Category:
        found = self._category()
        if found is None:
            raise NotFound(f"There is no category {self._name!r} any more.", category=self._name)
        return found

    def _category(self) -> Category | None:
        """Return the category as the object store has it now; None if there is none in service."""
        try:
            found = read_manifest(self._name, self._runtime.objects.get(manifest_key(self._name)))
        except NotFound:
            return None
        return None if found.deleting else found

    def _seen(self, points: int) -> None:
        self._read += points
        self._advance(self._read, max(self._read + 1, points))


def _vectors_of(category: Category) -> object:
    return (category.encoders, category.promoted, category.default, category.quantization)


def _check_complete(place: Place, backup: Backup) -> None:
    """Raise ``Conflict`` where files have gone that earlier backups had written."""
    place.look()
    for file in files_of(place, backup):
        if not place.has(file.sha256, file.bytes):
            raise Conflict(
                f"The file {place.file(file.sha256)} in {place.name} has gone while the backup was made "
                f"({file.holds}): make it again.",
                file=place.file(file.sha256),
            )
