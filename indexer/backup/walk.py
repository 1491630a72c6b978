"""Which files a backup consists of, and the points in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge

from vitrine.indexer.backup.contents import Backup, StoredCategory, StoredPart
from vitrine.indexer.backup.part import Part, PartPayloads, unpack, unpack_payloads
from vitrine.indexer.backup.place import Place
from vitrine.services.domain import Point
from vitrine.services.errors import StoreDamaged


@dataclass(frozen=True)
class File:
    """A file that a backup needs, and what it holds. ``bytes`` are known but of pictures."""

    sha256: str
    bytes: int | None
    holds: str


def files_of(place: Place, backup: Backup) -> Iterator[File]:
    """Yield the files of a backup, those of a category after its parts, which name the pictures.
    ``StoreDamaged`` where a part cannot be read."""
    for category in backup.categories:
        yield from parts_of(category)
        yield from objects_of(category)
        yield from snapshot_of(category)
        for part in (*category.parts, *category.late):
            yield from pictures_of(category, payloads_of(place, part))


def parts_of(category: StoredCategory) -> Iterator[File]:
    """Yield the files with the points of a category."""
    for part in (*category.parts, *category.late):
        yield File(part.sha256, part.bytes, f"{part.points} images of category {category.name}")


def objects_of(category: StoredCategory) -> Iterator[File]:
    """Yield the files with the other objects of a category."""
    for stored in category.objects:
        yield File(stored.sha256, stored.bytes, stored.key)


def snapshot_of(category: StoredCategory) -> Iterator[File]:
    """Yield the file with the snapshot of a category's collection, if there is one."""
    if category.snapshot is not None:
        held = f"the snapshot of category {category.name}"
        yield File(category.snapshot.sha256, category.snapshot.bytes, held)


def pictures_of(category: StoredCategory, part: PartPayloads) -> Iterator[File]:
    """Yield the files with the pictures that a part names."""
    lacking = set(category.lacking)
    for payload in part.payloads:
        key = payload.get("object_key")
        if key and "sha256" in payload and key not in lacking:
            yield File(payload["sha256"], None, key)


def payloads_of(place: Place, part: StoredPart) -> PartPayloads:
    """Return a part without its vectors. ``StoreDamaged``."""
    try:
        return unpack_payloads(place.get(part.sha256))
    except (LookupError, TypeError, ValueError) as error:
        raise _unreadable(place, part) from error


def whole(place: Place, part: StoredPart) -> Part:
    """Return a part. ``StoreDamaged``."""
    try:
        return unpack(place.get(part.sha256))
    except (LookupError, TypeError, ValueError) as error:
        raise _unreadable(place, part) from error


def points_of(place: Place, category: StoredCategory) -> Iterator[list[Point]]:
    """Yield the points of a category as they were at the end, a part at a time; each once."""
    decided: dict[str, int] = {}
    for number, part in enumerate(category.late):
        found = payloads_of(place, part)
        decided |= dict.fromkeys((*found.ids, *found.gone), number)
    for part in category.parts:
        yield [point for point in whole(place, part).points if point.id not in decided]
    for number, part in enumerate(category.late):
        yield [point for point in whole(place, part).points if decided[point.id] == number]


def ids_of(place: Place, category: StoredCategory) -> Iterator[str]:
    """Yield the ids of a category's points as they were at the end, in order."""
    decided: dict[str, bool] = {}
    for part in category.late:
        found = payloads_of(place, part)
        decided |= dict.fromkeys(found.ids, True) | dict.fromkeys(found.gone, False)
    early = (id for part in category.parts for id in payloads_of(place, part).ids if id not in decided)
    return merge(early, sorted(id for id, is_there in decided.items() if is_there))


def _unreadable(place: Place, part: StoredPart) -> StoreDamaged:
    file = place.file(part.sha256)
    return StoreDamaged(f"The file {file} of the backup in {place.name} cannot be read.", file=file)
