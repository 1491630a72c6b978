"""Maps: the images of a category laid out on a plane, and where it is kept what is known of each map.

A map has a name, such as ``umap``, and is stored on the images under a key, such as ``umap-1``:
``maps.umap-1`` = {x, y}. The next map of that name gets another key. Which key answers for a name is one
small object, written last: a half-written map is never seen.

    _maps/<category>/current.json    the key in service of each map
    _maps/<category>/<key>.json      how it was made
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from vitrine.services.artifacts.store import check_key_name, free_key, stored_keys
from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.damage import readable
from vitrine.services.object_store.edits import edit
from vitrine.services.object_store.keys import MAPS
from vitrine.services.object_store.known import Known
from vitrine.services.values.field_paths import field_path

if TYPE_CHECKING:
    from qdrant_client.models import Condition

    from vitrine.services.category.filters import Conditions

AXES = ("x", "y")
_ADVICE = (
    "Restore it from a backup, or remove the objects below `_maps/` of that category and make its maps again."
)


@dataclass(frozen=True)
class CategoryMap:
    """One map. ``using``: the named vector; its encoder had ``encoder_revision``. ``images``: how many were
    laid out.

    ``metrics``: what is known of how true it is. ``created_at`` is RFC 3339 in UTC.
    """

    name: str
    method: str
    using: str
    encoder_revision: str
    images: int
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    created_at: str = ""

    @property
    def payload_field(self) -> str:
        """The payload field of the coordinates: an object {x, y} of numbers in 0..1."""
        return field_path("maps", self.key)

    @property
    def fields(self) -> tuple[str, str]:
        """The indexed payload fields of x and y, which queries filter."""
        return axis_field(self.key, "x"), axis_field(self.key, "y")


class MapStore:
    """The maps of all categories. Thread-safe; processes that share the object store see each other's
    changes."""

    def __init__(self, objects: ObjectStore, known: Known | None = None) -> None:
        self._objects = objects
        self._known = known or Known(objects)
        self._lock = threading.RLock()

    def in_service(self, category: str) -> list[CategoryMap]:
        """The maps that answer queries, by name."""
        found = []
        for name in sorted(self._current(category)):
            with suppress(NotFound):  # withdrawn between the two reads
                found.append(self.get(category, name))
        return found

    def get(self, category: str, name: str) -> CategoryMap:
        """``NotFound`` if the category has no such map."""
        try:
            return self._load(category, self.key_of(category, name))
        except NotFound:  # replaced since the key was read, or not there at all
            self._known.forget(_key(category, "current"))
            return self._load(category, self.key_of(category, name))

    def key_of(self, category: str, name: str) -> str:
        """The key in service of a map. ``NotFound``."""
        current = self._current(category)
        if name not in current:
            known = ", ".join(sorted(current)) or "none"
            raise NotFound(
                f"Category {category!r} has no map {name!r}; it has: {known}.", category=category, map=name
            )
        return current[name]

    def resolve(self, category: str, conditions: Conditions) -> Conditions:
        """The same conditions with keys in service in place of the names of maps. ``NotFound`` for an unknown
        map."""
        if not conditions.maps:
            return conditions
        keys = {self.key_of(category, name): box for name, box in conditions.maps.items()}
        return conditions.model_copy(update={"maps": keys})

    def save(self, category: str, made: CategoryMap) -> CategoryMap:
        """Store what is known of a map under a key of its own; no query sees it yet. The map as saved.
        ``BadRequest``."""
        check_map_name(made.name)
        with self._lock:
            taken = {
                *stored_keys(self._objects, f"{MAPS}{category}/", made.name),
                self._read(category).get(made.name, ""),
            }
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            saved = replace(made, key=free_key(made.name, taken), created_at=now)
            data = orjson.dumps({"format": 1, **asdict(saved)}, option=orjson.OPT_SERIALIZE_NUMPY)
            self._objects.put(_key(category, saved.key), data, media_type="application/json")
            self._known.forget(_key(category, saved.key))
            return saved

    def put_in_service(self, category: str, key: str) -> None:
        """Let the map that was saved under ``key`` answer for its name from now on, in one write.
        ``NotFound``."""
        with self._lock:
            name = self._load(category, key).name
            self._change(category, lambda current: current | {name: key})

    def withdraw(self, category: str, name: str) -> None:
        """Let nothing answer for the name any more; its file stays until ``remove``. ``NotFound``."""
        with self._lock:
            self._known.forget(_key(category, "current"))
            self.key_of(category, name)
            self._change(
                category, lambda current: {other: key for other, key in current.items() if other != name}
            )

    def leftovers(self, category: str, name: str) -> list[str]:
        """Keys of a name that are stored but not in service: those of maps that were replaced, deleted or
        killed."""
        serving = self._read(category).get(name, "")
        return sorted(stored_keys(self._objects, f"{MAPS}{category}/", name) - {serving})

    def remove(self, category: str, key: str) -> None:
        """Remove the file of a key that is not in service."""
        self._objects.delete(_key(category, key))
        self._known.forget(_key(category, key))

    def forget(self, category: str) -> None:
        """Remember nothing of a category that was deleted."""
        self._known.forget_all(f"{MAPS}{category}/")

    def _current(self, category: str) -> dict[str, str]:
        return self._known.read(_key(category, "current"), lambda data: _keys(category, data)) or {}

    def _read(self, category: str) -> dict[str, str]:
        """As the store has it now."""
        try:
            return _keys(category, self._objects.get(_key(category, "current")))
        except NotFound:
            return {}

    def _change(self, category: str, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        def changed(data: bytes | None) -> bytes:
            return orjson.dumps({"format": 1, "maps": change({} if data is None else _keys(category, data))})

        key = _key(category, "current")
        self._known.put(key, edit(self._objects, key, changed))

    def _load(self, category: str, key: str) -> CategoryMap:
        found = self._known.read(_key(category, key), lambda data: _map(category, key, data))
        if found is None:
            raise NotFound(f"There is no map {key!r} of category {category!r}.", category=category, map=key)
        return found


def _key(category: str, name: str) -> str:
    return f"{MAPS}{category}/{name}.json"


def _keys(category: str, data: bytes) -> dict[str, str]:
    with readable(category, _key(category, "current"), _ADVICE):
        return dict(orjson.loads(data)["maps"])


def _map(category: str, key: str, data: bytes) -> CategoryMap:
    with readable(category, _key(category, key), _ADVICE):
        tree = orjson.loads(data)
        if tree.pop("format") != 1:
            raise BadRequest(f"The map {key!r} was written by a newer Vitrine: update this one.")
        return CategoryMap(**tree)


def axis_field(key: str, axis: str) -> str:
    """The payload field of one coordinate under a key.

    >>> axis_field("umap-1", "x")
    'maps.umap-1.x'
    """
    return field_path("maps", key, axis)


def on_map(key: str) -> Condition:
    """The images that have coordinates under a key: all of them are in 0..1."""
    from qdrant_client import models

    return models.FieldCondition(key=axis_field(key, "x"), range=models.Range(gte=0.0))


def check_map_name(name: str) -> None:
    """``BadRequest`` unless ``name`` can name a map."""
    check_key_name(name, "a map", "map")
