"""Categories and their manifests: data in the object store, one JSON object a category.

A manifest binds a category to the revisions and preprocessing of its encoders. It is written after the collection is made and
removed after everything else is gone, so that a manifest that is there and not being deleted always has its collection.
"""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from services.domain import CollectionSchema, EncoderSpec, IndexKind, Preprocessing, VectorSpec
from services.encoders.base import check_encoder
from services.encoders.reference import STORED
from services.errors import AlreadyExists, BadRequest, NotFound, UnknownVector
from services.object_store.base import ObjectStore
from services.payload import MAX_METADATA_INDEXES, STANDARD_INDEXES
from services.vector_store.base import VectorStore

MANIFESTS = "_categories/"
TAGGERS = "_taggers/"
"""``_taggers/<category>/``: what services/tagging.py keeps."""
ENCODERS = "_encoders/"
"""``_encoders/<category>/<name>/``: encoders that were trained for a category and promoted (services/encoders/stored.py)."""
CLUSTERS = "_clusters/"
"""``_clusters/<category>/``: what services/clusters.py keeps."""
DUPLICATES = "_duplicates/"
"""``_duplicates/<category>/``: what services/duplicates.py keeps."""
MAPS = "_maps/"
"""``_maps/<category>/``: what services/maps.py keeps."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_FRESH_SECONDS = 1.0
"""A manifest is read again after this long: another process may have changed it. A query should not pay for that each time."""


@dataclass(frozen=True)
class Category:
    """One image collection of the user, as its manifest has it. The first encoder is what queries use by default."""

    name: str
    description: str
    encoders: tuple[EncoderSpec, ...]
    indexes: Mapping[str, IndexKind]
    created_at: str
    updated_at: str
    images: int = 0
    """As counted at the end of the last indexing run; ``VectorStore.count`` knows the present."""
    deleting: bool = False
    promoted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Named vectors by the name they are asked by: the one in service first, then those it replaced, latest first."""
    default: str | None = None
    """What queries without ``using`` compare: a named vector or a name of ``promoted``; None: the first encoder."""

    def encoder(self, using: str | None = None) -> EncoderSpec:
        """The encoder behind ``using``, a named vector or a promoted name (None: the default); ``UnknownVector``."""
        if using is None:
            using = self.default or self.encoders[0].name
        wanted = self.promoted[using][0] if using in self.promoted else using
        for spec in self.encoders:
            if spec.name == wanted:
                return spec
        known = ", ".join([*self.promoted, *(spec.name for spec in self.encoders)])
        raise UnknownVector(f"Category {self.name!r} has no vector named {using!r}; it has: {known}.", using=using)

    @property
    def active_encoders(self) -> tuple[EncoderSpec, ...]:
        """The encoders that new images are embedded by: all but those that a promotion replaced."""
        retired = {name for versions in self.promoted.values() for name in versions[1:]}
        return tuple(spec for spec in self.encoders if spec.name not in retired)

    @property
    def schema(self) -> CollectionSchema:
        vectors = tuple(VectorSpec(spec.name, spec.dim) for spec in self.encoders)
        return CollectionSchema(self.name, vectors, dict(self.indexes))


class Catalog:
    """Creates, finds, changes and deletes categories. Thread-safe; processes that share the stores see each other's changes."""

    def __init__(
        self, objects: ObjectStore, vectors: VectorStore, *, on_deletion: Sequence[Callable[[str], object]] = ()
    ) -> None:
        """``on_deletion`` is told the name of a category that is gone: whoever remembers something of it forgets it."""
        self._objects = objects
        self._on_deletion = on_deletion
        self._vectors = vectors
        self._lock = threading.RLock()
        self._cache: dict[str, tuple[float, Category]] = {}
        self._writers: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)

    def writing(self, name: str) -> AbstractContextManager[object]:
        """Held while images of a category are read, changed and written back: one writer of this process at a time."""
        with self._lock:
            return self._writers[name]

    def create(self, name: str, encoders: Iterable[EncoderSpec], *, description: str = "") -> Category:
        """Make an empty category. ``BadRequest`` for a bad name or no encoder, ``AlreadyExists``."""
        check_name(name)
        specs = tuple(encoders)
        if not specs:
            raise BadRequest(f"Category {name!r} needs an encoder: name one, such as clip.")
        with self._lock:
            old = self._read(name)
            if old is not None and not old.deleting:
                raise AlreadyExists(f"Category {name!r} exists: choose another name, or delete it first.", category=name)
            if old is not None:
                self._delete(name)
            now = _now()
            category = Category(name, description, specs, dict(STANDARD_INDEXES), now, now)
            self._vectors.ensure(category.schema)
            return self._write(category)

    def get(self, name: str) -> Category:
        """``NotFound`` if there is no such category."""
        cached = self._cache.get(name)
        if cached is not None and time.monotonic() - cached[0] < _FRESH_SECONDS:
            return cached[1]
        category = self._read(name) if _NAME.fullmatch(name) else None
        if category is None or category.deleting:
            self._cache.pop(name, None)
            raise NotFound(f"There is no category {name!r}: list the categories to see those there are.", category=name)
        self._cache[name] = (time.monotonic(), category)
        return category

    def list(self) -> list[Category]:
        """All categories by name."""
        names = [stat.key[len(MANIFESTS) :].removesuffix(".json") for stat in self._objects.list(MANIFESTS)]
        found = [self._read(name) for name in sorted(names)]
        return [category for category in found if category is not None and not category.deleting]

    def describe(self, name: str, description: str) -> Category:
        """Change the description."""
        with self._lock:
            return self._write(replace(self._current(name), description=description))

    def add_encoder(self, name: str, spec: EncoderSpec) -> Category:
        """Add a named vector, also to a filled category; its points lack it until they are re-embedded.

        Again with the same encoder: nothing. ``EncoderMismatch`` if the name is taken by another revision.
        """
        with self._lock:
            category = self._current(name)
            known = next((old for old in category.encoders if old.name == spec.name), None)
            if known is not None:
                check_encoder(known, spec)
                return category
            self._vectors.add_vector(name, VectorSpec(spec.name, spec.dim))
            return self._write(replace(category, encoders=(*category.encoders, spec)))

    def promote(self, name: str, alias: str, using: str, *, default: bool = True) -> Category:
        """Answer queries for ``alias`` from the named vector ``using`` from now on, in one write; the former is kept behind it.

        ``default``: queries without ``using`` go to ``alias`` too. ``UnknownVector`` if the category lacks ``using``,
        ``BadRequest`` if ``alias`` is a named vector itself.
        """
        with self._lock:
            category = self._current(name)
            category.encoder(using)
            if any(spec.name == alias for spec in category.encoders):
                raise BadRequest(f"{alias!r} is a named vector of category {name!r}: promote under another name.", name=alias)
            former = [old for old in category.promoted.get(alias, ()) if old != using]
            promoted = {**category.promoted, alias: (using, *former)}
            return self._write(replace(category, promoted=promoted, default=alias if default else category.default))

    def ensure_indexes(self, name: str, kinds: Mapping[str, IndexKind], *, change: bool = False) -> Category:
        """Index these fields where they are not indexed yet; columns past the cap get no index.

        A field keeps its kind, but one of whole numbers becomes one of numbers where these are asked for. With ``change`` every
        field gets the kind that is asked for; the caller sees to the values that are there.
        """
        category = self.get(name)
        if not _lacking(category.indexes, kinds, change):
            return category
        with self._lock:
            category = self._current(name)
            indexes, new = dict(category.indexes), dict[str, IndexKind]()
            for field, kind in _lacking(indexes, kinds, change).items():
                columns = sum(known.startswith("metadata.") for known in indexes)
                if field in indexes:
                    # the engine first: were this cut short, the next value of the kind would find the manifest still lacking
                    self._vectors.change_index(name, field, kind)
                elif field.startswith("metadata.") and columns >= MAX_METADATA_INDEXES:
                    continue
                else:
                    new[field] = kind
                indexes[field] = kind
            if new:
                self._vectors.ensure(CollectionSchema(name, (), new))  # in one call: each costs a flush
            return self._write(replace(category, indexes=indexes)) if indexes != category.indexes else category

    def set_images(self, name: str, images: int) -> Category:
        """Note how many images the category holds."""
        with self._lock:
            return self._write(replace(self._current(name), images=images))

    def delete(self, name: str) -> None:
        """Delete every point, then every object, then the manifest. Interrupted, the category is gone already and ``delete`` or
        ``create`` with its name completes the work. ``NotFound``."""
        with self.writing(name), self._lock:
            category = self._read(name) if _NAME.fullmatch(name) else None
            if category is None:
                raise NotFound(f"There is no category {name!r}: nothing was deleted.", category=name)
            self._write(replace(category, deleting=True))
            self._delete(name)

    def _delete(self, name: str) -> None:
        if name in self._vectors.collections():
            self._vectors.drop(name)
        others = [spec.model for other in self.list() if other.name != name for spec in other.encoders]
        kept = tuple(model.removeprefix(STORED) + "/" for model in others if model.startswith(STORED))
        for prefix in (f"{name}/", *(f"{place}{name}/" for place in (TAGGERS, CLUSTERS, DUPLICATES, MAPS, ENCODERS))):
            for key in list_keys(self._objects, prefix):
                if not key.startswith(kept):  # an encoder of this category may serve another one as well
                    self._objects.delete(key)
        self._objects.delete(_key(name))
        self._cache.pop(name, None)
        for forget in self._on_deletion:
            forget(name)

    def _current(self, name: str) -> Category:
        self._cache.pop(name, None)
        return self.get(name)

    def _read(self, name: str) -> Category | None:
        try:
            return _from_json(self._objects.get(_key(name)))
        except NotFound:
            return None

    def _write(self, category: Category) -> Category:
        category = replace(category, updated_at=_now())
        self._objects.put(_key(category.name), _to_json(category), media_type="application/json")
        self._cache.pop(category.name, None)
        return category


def check_name(name: str) -> None:
    """Raise ``BadRequest`` unless ``name`` can be a category's."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot be a category: use 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit.", name=name
        )


def list_keys(objects: ObjectStore, prefix: str) -> list[str]:
    """Keys under a prefix, read to the end before anything is changed."""
    return [stat.key for stat in objects.list(prefix)]


def spec_to_json(spec: EncoderSpec) -> dict[str, Any]:
    """JSON object of an encoder's spec; ``spec_from_json`` reads it back equal."""
    return asdict(spec)


def spec_from_json(tree: Mapping[str, Any]) -> EncoderSpec:
    """An encoder's spec from ``spec_to_json``'s object, after a trip through JSON too."""
    pixels = dict(tree["preprocessing"])
    for name in ("resize", "crop", "mean", "std"):
        pixels[name] = tuple(pixels[name]) if isinstance(pixels[name], list) else pixels[name]
    rest = {key: value for key, value in tree.items() if key not in ("preprocessing", "modalities")}
    return EncoderSpec(preprocessing=Preprocessing(**pixels), modalities=tuple(tree["modalities"]), **rest)


def _to_json(category: Category) -> bytes:
    tree = asdict(category)
    return orjson.dumps({"format": 1, **tree}, option=orjson.OPT_INDENT_2)


def _from_json(data: bytes) -> Category:
    tree = orjson.loads(data)
    if tree.pop("format") != 1:
        raise BadRequest(f"The manifest of {tree.get('name')!r} was written by a newer Vitrine: update this one.")
    encoders = tuple(spec_from_json(spec) for spec in tree.pop("encoders"))
    promoted = {alias: tuple(names) for alias, names in tree.pop("promoted", {}).items()}
    return Category(encoders=encoders, promoted=promoted, **tree)


def _lacking(indexes: Mapping[str, IndexKind], kinds: Mapping[str, IndexKind], change: bool) -> dict[str, IndexKind]:
    """The fields whose index is missing or is to become another."""
    return {
        field: kind
        for field, kind in kinds.items()
        if field not in indexes or (kind != indexes[field] and (change or (indexes[field], kind) == ("integer", "float")))
    }


def _key(name: str) -> str:
    return f"{MANIFESTS}{name}.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
