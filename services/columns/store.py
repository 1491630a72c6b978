"""The columns of all categories, as far as memory allows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from vitrine.services.artifacts.clusters import ClusterStore
from vitrine.services.artifacts.maps import MapStore
from vitrine.services.category.catalog import Catalog, Category
from vitrine.services.category.fields import FIELDS, PLAIN
from vitrine.services.columns.keeper import PATIENCE_SECONDS, Keeper, Kinds
from vitrine.services.columns.reading import Snapshot
from vitrine.services.domain import IndexKind
from vitrine.services.errors import UnknownField
from vitrine.services.values.field_paths import path_keys
from vitrine.services.vector_store.base import VectorStore

MAX_ROWS: Final = 5_000_000
"""Of a larger category no columns are kept: the engine counts."""
MAX_BYTES: Final = 2 << 30
"""Of all columns together: those that were asked for longest ago go."""
_SHOWN: Final[Kinds] = {"colour": "keyword"}
"""Fields without an index that every grid of pictures asks for."""
_SELDOM: Final = ("filename", "urls", "scored_by")
"""Fields that are read once they are asked for: names of its own for each image, and who gave a score."""


class ColumnStore:
    """The columns of categories. Thread-safe."""

    def __init__(
        self,
        catalog: Catalog,
        vectors: VectorStore,
        clusters: ClusterStore,
        maps: MapStore,
        *,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._catalog, self._vectors = catalog, vectors
        self._clusters, self._maps = clusters, maps
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._lock = threading.Lock()
        self._keepers: OrderedDict[str, Keeper] = OrderedDict()

    def snapshot(
        self, category: str, fields: Iterable[str], *, patience: float | None = PATIENCE_SECONDS
    ) -> Snapshot | None:
        """Return the columns of these fields as the category is now; None if it has too many images, or if
        they cannot be had within ``patience`` seconds (None: however long it takes).

        They are read on meanwhile. ``NotFound``, ``UnknownField``.
        """
        cat = self._catalog.get(category)
        wanted = {field: kind_of(cat, field) for field in fields}
        keeper = self._keeper(category)
        if keeper is None:
            return None
        found = keeper.snapshot(wanted, self._usual(cat), patience)
        if found is not None:
            self._make_room(category)
        return found

    def warm(self, category: str) -> None:
        """Begin to read the columns that queries usually ask for. ``NotFound``."""
        cat = self._catalog.get(category)
        keeper = self._keeper(category)
        if keeper is not None:
            keeper.begin(self._usual(cat))

    def forget(self, category: str) -> None:
        """Drop the columns of a category that was deleted."""
        with self._lock:
            self._keepers.pop(category, None)

    def _keeper(self, category: str) -> Keeper | None:
        """Return the keeper of a category; None if it has too many images."""
        if self._vectors.count(category) > self._max_rows:
            self.forget(category)
            return None
        with self._lock:
            keeper = self._keepers.setdefault(category, Keeper(self._vectors, category))
            self._keepers.move_to_end(category)
            return keeper

    def _make_room(self, category: str) -> None:
        """Drop the columns of other categories, the longest unused first, until all fit in memory."""
        with self._lock:
            sizes = {
                name: keeper.held.table.nbytes
                for name, keeper in self._keepers.items()
                if keeper.held is not None
            }
            for name in [name for name in sizes if name != category]:
                if sum(sizes.values()) > self._max_bytes:
                    del self._keepers[name], sizes[name]

    def _usual(self, cat: Category) -> Kinds:
        """Return the fields that are read whatever is asked for, since reading one more costs little."""
        in_service = {
            "maps": {entry.key for entry in self._maps.entries(cat.name).values()},
            "clusters": {entry.key for entry in self._clusters.entries(cat.name).values()},
        }
        return {
            **_SHOWN,
            **{
                field: kind
                for field, kind in cat.indexes.items()
                if _is_usual(path_keys(field), in_service) and "[]" not in field
            },
        }


def kind_of(cat: Category, field: str) -> IndexKind:
    """Return what a field holds. ``UnknownField`` for one that has no index and is not in the table of
    fields."""
    kind = cat.indexes.get(field) or _HELD.get(field) or _FAMILIES.get(path_keys(field)[0])
    if kind is None:
        raise UnknownField(
            f"{field!r} is no indexed field of category {cat.name!r}. These are: "
            f"{', '.join(sorted(cat.indexes))}.",
            field=field,
        )
    return kind


_HELD: dict[str, IndexKind] = {field.name: field.holds for field in PLAIN}
_FAMILIES: dict[str, IndexKind] = {
    field.family: field.holds for field in FIELDS if field.family and field.family != "metadata"
}


def _is_usual(keys: tuple[str, ...], in_service: dict[str, set[str]]) -> bool:
    head, *names = keys
    return head not in _SELDOM and (head not in in_service or bool(in_service[head].intersection(names[:1])))
