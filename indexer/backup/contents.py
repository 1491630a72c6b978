"""What one backup holds: the object that is written last and names everything else by its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from vitrine.services.category.manifest import Category, read_manifest
from vitrine.services.domain import CollectionSchema, VectorSpec
from vitrine.services.errors import StoreDamaged
from vitrine.services.object_store.damage import check_format

FORMAT = 2
_WITHOUT_SNAPSHOTS = 1
"""The format of version 0.8."""


@dataclass(frozen=True)
class StoredPart:
    """Some points of a category, in one file. ``gone``: how many ids it says have left since an earlier part
    was written."""

    sha256: str
    bytes: int
    points: int
    gone: int = 0


@dataclass(frozen=True)
class StoredObject:
    """An object of the category (a tagger, the bin, a saved search ...) as it was at ``modified``."""

    key: str
    sha256: str
    bytes: int
    modified: str


@dataclass(frozen=True)
class StoredSnapshot:
    """A snapshot of the category's collection. ``engine``: the kind that reads it; ``indexed``: how many
    vectors were in the search index when it was made."""

    sha256: str
    bytes: int
    engine: str
    indexed: int


@dataclass(frozen=True)
class StoredCategory:
    """A category at one moment.

    ``parts``: its points, in order of id; ``late``: those that were changed while they were read, which count
    in place of the same ids in ``parts`` and in earlier ones. The pictures are named by the points.
    ``lacking``: keys of pictures that the category itself had lost. ``manifest``: as it lay in the object
    store; ``schema``: as the engine had it. ``snapshot``: made afterwards, so that it may hold changes that
    came after this moment.
    """

    name: str
    points: int
    manifest: Mapping[str, Any]
    schema: Mapping[str, Any]
    parts: tuple[StoredPart, ...]
    late: tuple[StoredPart, ...]
    objects: tuple[StoredObject, ...]
    lacking: tuple[str, ...] = ()
    snapshot: StoredSnapshot | None = None

    @property
    def category(self) -> Category:
        """The category that the manifest describes."""
        return read_manifest(self.name, orjson.dumps(self.manifest))

    @property
    def collection(self) -> CollectionSchema:
        """The schema of its collection."""
        vectors = tuple(VectorSpec(name, dim) for name, dim in self.schema["vectors"])
        return CollectionSchema(self.name, vectors, self.schema["indexes"], self.schema["quantization"])


def schema_json(schema: CollectionSchema) -> dict[str, Any]:
    """Return a schema as JSON; ``StoredCategory.collection`` reads it."""
    return {
        "vectors": [[vector.name, vector.dim] for vector in schema.vectors],
        "indexes": dict(schema.indexes),
        "quantization": schema.quantization,
    }


@dataclass(frozen=True)
class Backup:
    """One backup. ``name`` is the moment it was begun, and sorts by it; ``version``: of Vitrine."""

    name: str
    begun_at: str
    version: str
    categories: tuple[StoredCategory, ...]
    notes: tuple[str, ...] = ()

    def category(self, name: str) -> StoredCategory | None:
        """Return one of its categories; None if it has none of this name."""
        return next((one for one in self.categories if one.name == name), None)

    def to_bytes(self) -> bytes:
        """Return it as bytes that say their own hash."""
        tree = asdict(self)
        return orjson.dumps({"format": FORMAT, "sha256": _digest(tree), "backup": tree})


def read_backup(data: bytes, file: str) -> Backup:
    """Return the backup that ``to_bytes`` wrote. ``StoreDamaged`` naming ``file``, ``OtherFormat``."""
    try:
        whole = orjson.loads(data)
        advice = "Restore it with that version."
        check_format(whole["format"], FORMAT, f"The backup {file}", advice, oldest=_WITHOUT_SNAPSHOTS)
        tree = whole["backup"]
        if _digest(tree) != whole["sha256"]:
            raise ValueError("its content does not have the hash that it names")
        categories = tuple(_category(each) for each in tree.pop("categories"))
        return Backup(categories=categories, notes=tuple(tree.pop("notes")), **tree)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise StoreDamaged(
            f"The file {file} of the backup is damaged: restore another backup of this place, which "
            "`vitrine backup list` names.",
            file=file,
        ) from error


def _category(tree: dict[str, Any]) -> StoredCategory:
    snapshot = tree.pop("snapshot", None)
    return StoredCategory(
        snapshot=None if snapshot is None else StoredSnapshot(**snapshot),
        parts=tuple(StoredPart(**part) for part in tree.pop("parts")),
        late=tuple(StoredPart(**part) for part in tree.pop("late")),
        objects=tuple(StoredObject(**stored) for stored in tree.pop("objects")),
        lacking=tuple(tree.pop("lacking")),
        **tree,
    )


def _digest(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)).hexdigest()
