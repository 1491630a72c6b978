"""Look at one category and tell what is not as it should be, while others may write to it.

What looks wrong at first is looked at again before it is told: an image that is being indexed has an object
before it has a point, and one that is deleted has neither.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from vitrine.indexer.check.again import id_of
from vitrine.indexer.check.findings import Finding
from vitrine.indexer.sources.records import ADOPTED
from vitrine.services.artifacts.store import ArtifactStore
from vitrine.services.category.catalog import Category
from vitrine.services.category.changes.bin_files import BinFile
from vitrine.services.category.changes.entries import LIFETIME, STAMP, moment_of
from vitrine.services.category.journal import digest, kept
from vitrine.services.category.read_all import pages
from vitrine.services.domain import Hit
from vitrine.services.errors import NotFound, StoreDamaged
from vitrine.services.filters.conditions import Filter, HasVector
from vitrine.services.images.open import category_of_key, content_hash
from vitrine.services.object_store.base import ObjectStat
from vitrine.services.object_store.keys import BIN, TAGGERS, UNDO
from vitrine.services.runtime import Runtime

PAGE: Final = 500
SETTLED_SECONDS: Final = 2.0
"""After so long what another program was about to write is written; an object that is younger is passed
over."""
_REPAIR: Final = "`vitrine check {name} --repair` "
REBUILD: Final = "`vitrine category rebuild {name}` makes it again from its pictures and its journal."

Advance = Callable[[int, int], None]


@dataclass
class Look:
    """What was seen of one category. Of each sound image, by id: a digest of what the journal keeps of it,
    and the key of its picture."""

    findings: list[Finding] = field(default_factory=list)
    digests: dict[str, bytes] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    images: int = 0
    read_bytes: int = 0

    def tell(self, code: str, category: str, what: str, advice: str, **more: object) -> None:
        self.findings.append(
            Finding(code, category, what, advice.format(name=category), **more)  # type: ignore[arg-type]
        )


def look_at(runtime: Runtime, name: str, *, deep: bool, advance: Advance = lambda done, of: None) -> Look:
    """Return what is wrong with a category. ``deep`` reads every picture and compares it with the hash that
    it is named by."""
    look = Look()
    try:
        category = runtime.catalog.manifest(name)
    except StoreDamaged as error:
        advice = _REPAIR + "puts its copy in its place."
        look.tell("manifest_damaged", name, error.message.partition(". ")[0] + ".", advice)
        return look
    try:
        runtime.catalog.get(name)
    except StoreDamaged as error:
        look.tell("collection_missing", name, error.message.partition(". ")[0] + ".", REBUILD)
        return look
    try:
        _schema(runtime, category, look)
        _points(runtime, category, look, advance)
    except StoreDamaged as error:
        look.tell("collection_damaged", name, error.message.partition(". ")[0] + ".", REBUILD)
        return look
    _objects(runtime, category, look, deep)
    _vectors(runtime, category, look)
    _count(runtime, category, look)
    _artifacts(runtime, category, look)
    _sayings(runtime, category, look)
    _journal(runtime, category, look)
    _bin(runtime, category, look)
    _leftovers(runtime, category, look)
    return look


def _schema(runtime: Runtime, category: Category, look: Look) -> None:
    present = runtime.vectors.info(category.name).schema
    lacking = [field for field, kind in category.indexes.items() if present.indexes.get(field) != kind]
    vectors = [spec.name for spec in category.encoders if present.dim(spec.name) != spec.dim]
    if lacking or vectors:
        look.tell(
            "index_missing",
            category.name,
            f"The collection lacks {len(lacking)} indexes and {len(vectors)} vectors of the manifest.",
            _REPAIR + "makes them.",
            where=[*lacking, *vectors],
        )


def _points(runtime: Runtime, category: Category, look: Look, advance: Advance) -> None:
    """Read every point, its payload and its vectors; page by page, and one by one where a page is damaged.

    ``StoreDamaged`` where only pages are: a list also reads what a later change has taken the place of.
    """
    store, name = runtime.vectors, category.name
    names = tuple(spec.name for spec in category.encoders if store.info(name).schema.dim(spec.name))
    total, lost, broken = store.count(name), list[str](), list[str]()
    refused: StoreDamaged | None = None
    cursor: str | None = None
    while True:
        try:
            page = store.scroll(name, limit=PAGE, cursor=cursor, with_vectors=names)
            hits = _sound(page.hits, lost)
        except StoreDamaged as error:
            refused = error
            page = store.scroll(name, limit=PAGE, cursor=cursor, with_payload=False)
            hits = _read(runtime, name, [hit.id for hit in page.hits], names, lost, broken)
        for hit in hits:
            look.images += 1
            look.digests[hit.id] = digest(kept(hit.payload))
            look.keys[hit.id] = str(hit.payload.get("object_key", ""))
        advance(look.images, max(total, look.images))
        cursor = page.cursor
        if cursor is None:
            break
    if refused is not None and not (lost or broken):
        raise StoreDamaged("Lists of its images cannot be read, though each of them can.") from refused
    if lost:
        look.tell(
            "point_damaged",
            name,
            f"{len(lost)} images have lost what was stored of them.",
            _REPAIR + "indexes them again from their pictures, with what the journal says.",
            where=lost,
        )
    if broken:
        look.tell(
            "vector_damaged",
            name,
            f"{len(broken)} images have vectors that are not as they were stored.",
            _REPAIR + "computes them again.",
            where=broken,
        )


def _read(
    runtime: Runtime, name: str, ids: list[str], using: tuple[str, ...], lost: list[str], broken: list[str]
) -> Iterator[Hit]:
    """Yield the sound images among these; of the others the ids are put with what they have lost."""
    if not ids:
        return
    try:
        hits = runtime.vectors.retrieve(name, ids, with_vectors=using)
        yield from _sound([hit for hit in hits if hit is not None], lost)
        return
    except StoreDamaged:
        if len(ids) > 1:
            for part in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
                yield from _read(runtime, name, part, using, lost, broken)
            return
    try:
        (hit,) = runtime.vectors.retrieve(name, ids)
    except StoreDamaged:
        lost += ids
        return
    broken += ids
    if hit is not None:
        yield hit


def _sound(hits: Sequence[Hit], lost: list[str]) -> Iterator[Hit]:
    """Yield those that have what was stored of them; the ids of the others are put with the ``lost``."""
    for hit in hits:
        if hit.payload.get("sha256"):
            yield hit
        else:
            lost.append(hit.id)


def _objects(runtime: Runtime, category: Category, look: Look, deep: bool) -> None:
    """Compare the pictures with the points."""
    name, store = category.name, runtime.objects
    stats = {stat.key: stat for stat in store.list(f"{name}/images/") if category_of_key(stat.key) == name}
    damaged = {other for each in look.findings if each.code == "point_damaged" for other in each.where}
    missing = {id: key for id, key in look.keys.items() if key not in stats}
    known = {*look.keys.values()}
    alone = {id_of(key): stat for key, stat in stats.items() if key not in known}
    alone = {id: stat for id, stat in alone.items() if id not in damaged}
    if missing or alone:
        time.sleep(SETTLED_SECONDS)
        missing = {id: key for id, key in missing.items() if _still_missing(runtime, name, id, key)}
        alone = _still_alone(runtime, name, alone)
    if missing:
        look.tell(
            "object_missing",
            name,
            f"The pictures of {len(missing)} images are gone.",
            "Index the originals again, or delete these images: `vitrine images delete ID -c {name}`.",
            where=list(missing),
        )
    if alone:
        look.tell(
            "object_without_point",
            name,
            f"{len(alone)} pictures belong to no image.",
            _REPAIR + "indexes them again.",
            where=[stat.key for stat in alone.values()],
        )
    wrong = [key for key, stat in stats.items() if key in known and _is_wrong(runtime, look, stat, deep)]
    if wrong:
        look.tell(
            "object_damaged",
            name,
            f"{len(wrong)} pictures are not the bytes that they are named by.",
            "Index the originals again: the same pictures are then stored anew.",
            where=wrong,
        )


def _still_missing(runtime: Runtime, name: str, id: str, key: str) -> bool:
    return runtime.objects.stat(key) is None and runtime.vectors.retrieve(name, [id], with_payload=False) != [
        None
    ]


def _still_alone(runtime: Runtime, name: str, alone: Mapping[str, ObjectStat]) -> dict[str, ObjectStat]:
    """Return the objects that no point names, nor the bin, and that are not about to be named."""
    oldest = datetime.now(UTC) - timedelta(seconds=SETTLED_SECONDS)
    state = runtime.journal.read(name, damaged=[])
    deleted = {id for id, said in state.items() if said is None}.union(runtime.editor.bin.ids(name, ""))
    ids = [id for id, stat in alone.items() if stat.modified < oldest and id not in deleted]
    hits = runtime.vectors.retrieve(name, ids, with_payload=False)
    found = [id for id, hit in zip(ids, hits, strict=True) if hit is None]
    return {id: alone[id] for id in found if runtime.objects.stat(alone[id].key) is not None}


def _is_wrong(runtime: Runtime, look: Look, stat: ObjectStat, deep: bool) -> bool:
    """Return whether an object is not what it is named by: empty, or, looked at closely, of other bytes."""
    if not deep and stat.size:
        return False
    try:
        data = runtime.objects.get(stat.key)
    except NotFound:
        return False  # deleted meanwhile
    look.read_bytes += len(data)
    return content_hash(data) != stat.key.rpartition("/")[2].partition(".")[0]


def _vectors(runtime: Runtime, category: Category, look: Look) -> None:
    info = runtime.vectors.info(category.name)
    for spec in category.active_encoders:
        if spec.revision == ADOPTED or info.schema.dim(spec.name) is None:
            continue
        lacks = Filter(must_not=(HasVector(spec.name),))
        ids = [hit.id for page in pages(runtime.vectors, category.name, filter=lacks) for hit in page]
        damaged = {id for each in look.findings if each.code == "object_missing" for id in each.where}
        ids = [id for id in ids if id not in damaged]
        if ids:
            look.tell(
                "vector_missing",
                category.name,
                f"{len(ids)} images lack the vector {spec.name}.",
                _REPAIR + "computes it.",
                where=ids,
            )


def _count(runtime: Runtime, category: Category, look: Look) -> None:
    """Compare the count of the manifest with the points, unless others are writing: a run counts at its
    end."""
    before = runtime.vectors.count(category.name)
    if before == runtime.catalog.get(category.name).images:
        return
    time.sleep(SETTLED_SECONDS)
    now = runtime.catalog.get(category.name).images
    if before == runtime.vectors.count(category.name) and now == category.images and now != before:
        look.tell(
            "count_wrong",
            category.name,
            f"The manifest says {now} images, there are {before}.",
            _REPAIR + "counts anew.",
            harmless=True,
        )


def _artifacts(runtime: Runtime, category: Category, look: Look) -> None:
    """Read what is in service, and look for what is not."""
    name = category.name
    try:
        runtime.taggers.in_service(name)
    except StoreDamaged as error:
        where = [str(error.details.get("object", f"{TAGGERS}{name}/"))]
        look.tell("artifact_damaged", name, "Taggers in service cannot be read.", error.message, where=where)
    for store in _stores(runtime):
        pointer = f"{store.prefix}{name}/current.json"
        try:
            entries = store.entries(name)
        except StoreDamaged as error:
            look.tell(
                "pointer_damaged", name, f"The object {pointer} is damaged.", error.message, where=[pointer]
            )
            continue
        for entry in entries.values():
            try:
                store.read(name, entry.key)
            except (NotFound, StoreDamaged) as error:
                if store.entries(name).get(entry.key.rpartition("-")[0]) == entry:
                    what = f"The {store.noun} {entry.key} is in service and cannot be read."
                    look.tell(
                        "artifact_damaged",
                        name,
                        what,
                        error.message,
                        where=[f"{store.prefix}{name}/{entry.key}"],
                    )


def _sayings(runtime: Runtime, category: Category, look: Look) -> None:
    """Read what people said of the category rather than of its images."""
    name = category.name
    for what, read in (
        ("pairs that are no duplicates", runtime.duplicates.dismissed),
        ("saved searches", runtime.saved.all),
    ):
        try:
            read(name)
        except StoreDamaged as error:
            where = [str(error.details.get("object", ""))]
            look.tell("record_damaged", name, f"The {what} cannot be read.", error.message, where=where)


def _journal(runtime: Runtime, category: Category, look: Look) -> None:
    """Compare the journal with what the images say."""
    name, damaged = category.name, list[str]()
    state = runtime.journal.read(name, damaged=damaged)
    if damaged:
        look.tell(
            "journal_damaged",
            name,
            f"{len(damaged)} segments of the journal are not as they were written.",
            _REPAIR + "writes what they said again, from the images.",
            where=damaged,
        )
        return
    behind = [id for id, said in look.digests.items() if digest(state.get(id) or {}) != said]
    if behind:
        time.sleep(SETTLED_SECONDS)
        state = runtime.journal.read(name, damaged=damaged)
        hits = runtime.vectors.retrieve(name, behind)
        behind = [
            hit.id
            for hit in hits
            if hit is not None and digest(kept(hit.payload)) != digest(state.get(hit.id) or {})
        ]
    if behind:
        look.tell(
            "journal_behind",
            name,
            f"The journal does not say what {len(behind)} images say.",
            _REPAIR + "writes it.",
            where=behind,
            harmless=True,
        )


def _bin(runtime: Runtime, category: Category, look: Look) -> None:
    """Read all that waits in the bin."""
    damaged = []
    for stat in runtime.objects.list(f"{BIN}{category.name}/"):
        try:
            BinFile(runtime.objects, category.name, stat.key).images()
        except StoreDamaged:
            if runtime.objects.stat(stat.key) is not None:  # else it was emptied meanwhile
                damaged.append(stat.key)
    if damaged:
        look.tell(
            "bin_damaged",
            category.name,
            f"{len(damaged)} objects of the bin are not as they were written.",
            "The deleted images in them cannot be restored; they go when the bin is emptied.",
            where=damaged,
        )


def _leftovers(runtime: Runtime, category: Category, look: Look) -> None:
    oldest = datetime.now(UTC) - LIFETIME - timedelta(hours=1)
    old = []
    for place in (BIN, UNDO):
        for stat in runtime.objects.list(f"{place}{category.name}/"):
            stamp = stat.key.rpartition("/")[2]
            if STAMP.match(stamp) and moment_of(stamp) < oldest:
                old.append(stat.key)
    old += _unused(runtime, category.name, oldest)
    if old:
        look.tell(
            "leftover",
            category.name,
            f"{len(old)} objects are past their time, or of what is in service no longer.",
            _REPAIR + "removes them.",
            where=old,
            harmless=True,
        )


def _stores(runtime: Runtime) -> tuple[ArtifactStore[Any], ...]:
    return runtime.clusters, runtime.duplicates, runtime.maps  # taggers that were replaced are history


def _unused(runtime: Runtime, name: str, oldest: datetime) -> list[str]:
    """Return the objects of artifacts that are not in service, and have not been touched for a day."""
    found = []
    for store in _stores(runtime):
        folder = f"{store.prefix}{name}/"
        try:
            serving = {entry.key for entry in store.entries(name).values()}
        except StoreDamaged:
            continue
        by_key: defaultdict[str, list[ObjectStat]] = defaultdict(list)
        for stat in runtime.objects.list(folder):
            key, slash, _ = stat.key[len(folder) :].partition("/")
            if slash and key not in serving:
                by_key[key].append(stat)
        for stats in by_key.values():
            if max(stat.modified for stat in stats) < oldest:
                found += [stat.key for stat in stats]
    return found
