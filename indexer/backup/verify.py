"""Read backups to see whether they are as they were written, and delete old ones."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from vitrine.indexer.backup.contents import Backup, StoredCategory
from vitrine.indexer.backup.pictures import AT_ONCE
from vitrine.indexer.backup.place import BACKUPS, Place
from vitrine.indexer.backup.report import Fault, PruneReport, VerifyReport
from vitrine.indexer.backup.walk import (
    File,
    files_of,
    objects_of,
    parts_of,
    payloads_of,
    pictures_of,
    snapshot_of,
)
from vitrine.indexer.job.progress import Progress, Tally
from vitrine.services.errors import BadRequest, StoreDamaged

_BATCH = 256
_YOUNG_SECONDS = 24 * 3600
"""Content that no backup names may be of one that is being made."""


def verify_backups(
    place: Place,
    *,
    backup: str | None = None,
    quick: bool = False,
    remove_damaged: bool = False,
    progress: Progress | None = None,
) -> VerifyReport:
    """Read every file of a backup (None: of all) and compare it with its hash; ``quick``: see only whether
    files are there and of the right size, but for parts, which name the others.

    ``remove_damaged``: delete damaged files, so that the next backup copies them again. ``NotFound``.
    """
    report, started, seen = VerifyReport(place.name), time.perf_counter(), set[str]()
    names = [backup] if backup is not None else place.names()
    if not names:
        place.read()  # NotFound
    place.look()
    tally = Tally()
    for name in names:
        try:
            found = place.read(name)
        except StoreDamaged as error:
            report.faults.append(Fault(f"{BACKUPS}{name}.json", "the backup itself", error.message))
            continue
        report.backups.append(name)
        if progress:
            progress.start(f"Verify {name}", None)
        for files in _batches(_files(place, found), seen):
            _check(place, files, report, quick=quick)
            tally.done, tally.refused = report.files, len(report.faults)
            if progress:
                progress.update(tally)
        if progress:
            progress.finish(tally)
    if remove_damaged:
        for fault in report.faults:
            if not fault.file.startswith(BACKUPS):
                place.delete_content(fault.file.rpartition("/")[2])
                report.removed += 1
    report.seconds = time.perf_counter() - started
    return report


def prune_backups(place: Place, *, keep: int) -> PruneReport:
    """Delete all backups but the latest ``keep``, and the content that none of these needs and that is older
    than a day. ``BadRequest`` for fewer than one. ``StoreDamaged``, before anything is deleted, where a
    backup that is kept cannot be read to the end."""
    if keep < 1:
        raise BadRequest(f"At least one backup has to be kept, not {keep}.")
    report, started = PruneReport(place.name), time.perf_counter()
    names = place.names()
    report.kept, report.deleted = names[-keep:], names[:-keep]
    needed = {file.sha256 for name in report.kept for file in files_of(place, place.read(name))}
    for name in report.deleted:
        place.delete(name)
    oldest = time.time() - _YOUNG_SECONDS
    for name in set(place.names()) - set(names):  # made meanwhile, of what was there
        needed |= {file.sha256 for file in files_of(place, place.read(name))}
    for sha256, size, modified in list(place.contents()):
        if sha256 not in needed and modified < oldest:
            place.delete_content(sha256)
            report.files += 1
            report.bytes += size
    report.seconds = time.perf_counter() - started
    return report


def _files(place: Place, backup: Backup) -> Iterator[File]:
    """Yield the files of a backup; where a part cannot be read, its pictures are left out."""
    for category in backup.categories:
        yield from parts_of(category)
        yield from objects_of(category)
        yield from snapshot_of(category)
        yield from _pictures(place, category)


def _pictures(place: Place, category: StoredCategory) -> Iterator[File]:
    for part in (*category.parts, *category.late):
        try:
            found = payloads_of(place, part)
        except StoreDamaged:  # found as a file already
            continue
        yield from pictures_of(category, found)


def _batches(files: Iterator[File], seen: set[str]) -> Iterator[Sequence[File]]:
    """Yield files in batches, each hash once."""
    batch: list[File] = []
    for file in files:
        if file.sha256 not in seen:
            seen.add(file.sha256)
            batch.append(file)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def _check(place: Place, files: Sequence[File], report: VerifyReport, *, quick: bool) -> None:
    def why(file: File) -> str:
        if not place.has(file.sha256, file.bytes):
            return "it is cut short" if place.has(file.sha256) else "it is missing"
        if quick:
            return ""
        try:
            place.check(file.sha256)
        except StoreDamaged:
            return "its content has another hash"
        return ""

    with ThreadPoolExecutor(AT_ONCE, "files") as pool:
        for file, reason in zip(files, pool.map(why, files), strict=True):
            report.files += 1
            report.bytes += place.size(file.sha256)
            if reason:
                report.faults.append(Fault(place.file(file.sha256), file.holds, reason))
