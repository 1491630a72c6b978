"""A whole category as arrays, for a page to draw: fields by row, ids, and which rows a question finds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from vitrine.services.category.field_names import find_field
from vitrine.services.columns.column import Mask, mask_of
from vitrine.services.columns.filtering import fields_read
from vitrine.services.columns.packing import (
    Packed,
    packed_bytes,
    packed_colours,
    packed_mask,
    packed_numbers,
    packed_ratio,
    packed_words,
)
from vitrine.services.columns.reading import Snapshot
from vitrine.services.columns.store import MAX_ROWS, ColumnStore
from vitrine.services.columns.table import Table, to_bytes
from vitrine.services.errors import BadRequest, TooLarge, Unavailable
from vitrine.services.search.counts import CLUSTER_FIELD, cluster_fields
from vitrine.services.search.score_validity import is_score
from vitrine.services.search.summary.listing import rows_meeting
from vitrine.services.search.usable_fields import check_indexed
from vitrine.services.vector_store.fields import ANY_KIND, check_filter

if TYPE_CHECKING:
    from vitrine.services.category.catalog import Category
    from vitrine.services.category.filters import Conditions
    from vitrine.services.filters.conditions import Filter
    from vitrine.services.search.searcher import Searcher

MAX_FIELDS = 64
ASPECT, COLOUR, MAP = "aspect", "colour", "map."
"""Width by height; the dominant colour; before the name of a map."""


@dataclass(frozen=True)
class _Field:
    """What is sent of a field: the ``paths`` it is read from, and how they become arrays. ``valid``: the
    images whose value counts."""

    paths: tuple[str, ...]
    pack: Callable[[Table, Mask | None], list[Packed]]
    valid: Filter | None = None


@dataclass(frozen=True, eq=False)
class Arrays:
    """What can be asked of the rows of a category."""

    searcher: Searcher
    columns: ColumnStore

    def fields(self, category: str, names: Sequence[str]) -> tuple[str, Callable[[], bytes]]:
        """Return the version of a category, and what makes the arrays of these fields.

        A name is that of an indexed field, ``map.<name>``, ``cluster.<run>``, ``aspect`` or ``colour``.
        ``NotFound`` (category, map, run), ``UnknownField``, ``BadRequest`` for too many, ``TooLarge`` for a
        category of which no columns are kept.
        """
        cat = self.searcher.catalog.get(category)
        wanted = list(dict.fromkeys(names))
        if not 1 <= len(wanted) <= MAX_FIELDS:
            raise BadRequest(f"Name 1 to {MAX_FIELDS} fields, such as fields=class,aspect.")
        sent = [self._field(cat, name) for name in wanted]
        read = {path for field in sent for path in (*field.paths, *fields_read(field.valid))}
        snapshot = self._snapshot(category, read)
        version = self._version(category, snapshot)

        def made() -> bytes:
            table, packed = snapshot.table, list[Packed]()
            for field in sent:
                packed += field.pack(table, self._valid(category, table, field))
            return packed_bytes(len(table), version, packed)

        return version, made

    def ids(self, category: str) -> tuple[str, bytes]:
        """Return the version of a category, and the 16 bytes of each id, rising."""
        self.searcher.catalog.get(category)
        snapshot = self._snapshot(category, ())
        return self._version(category, snapshot), snapshot.table.ids.tobytes()

    def mask_of_conditions(self, category: str, conditions: Conditions) -> tuple[str, bytes]:
        """Return the version of a category, and a bit for each row: whether it meets the conditions. Raises
        as ``Searcher`` does."""
        cat = self.searcher.catalog.get(category)
        chosen = self.searcher.to_filter(cat, conditions)
        check_filter(self.searcher.catalog.get(category).schema, chosen)
        snapshot = self._snapshot(category, fields_read(chosen))
        mask = rows_meeting(self.searcher, category, snapshot.table, chosen)
        return self._version(category, snapshot), packed_mask(mask)

    def mask_of_ids(self, category: str, ids: Sequence[str]) -> tuple[str, bytes]:
        """Return the version of a category, and a bit for each row: whether its id is among ``ids``."""
        snapshot = self._snapshot(category, ())
        rows = snapshot.table.find(to_bytes(ids))
        mask = mask_of(rows[rows >= 0], len(snapshot.table))
        return self._version(category, snapshot), packed_mask(mask)

    def _snapshot(self, category: str, paths: set[str] | tuple[str, ...]) -> Snapshot:
        found = self.columns.snapshot(category, paths, patience=None)
        if found is not None:
            return found
        if self.searcher.vectors.count(category) > MAX_ROWS:
            raise TooLarge(
                f"Category {category!r} has more than {MAX_ROWS:,} images, of which no columns are kept: "
                "list them page by page."
            )
        raise Unavailable(f"The images of {category!r} change faster than they are read: try again later.")

    def _version(self, category: str, snapshot: Snapshot) -> str:
        """Return a text that changes whenever an array might: with a write, and with what is in service."""
        searcher = self.searcher
        artifacts = [
            sorted((name, entry.revision) for name, entry in store.entries(category).items())
            for store in (searcher.maps, searcher.clusters)
        ]
        unsettled = sorted(searcher.taggers.unsettled(category).items())
        text = orjson.dumps([snapshot.name, artifacts, unsettled])
        return hashlib.blake2b(text, digest_size=12).hexdigest()

    def _valid(self, category: str, table: Table, field: _Field) -> Mask | None:
        if field.valid is None:
            return None
        return rows_meeting(self.searcher, category, table, field.valid)

    def _field(self, cat: Category, name: str) -> _Field:
        if name == ASPECT:
            return _Field(
                ("width", "height"),
                lambda table, _: [packed_ratio(name, table.columns["width"], table.columns["height"])],
            )
        if name == COLOUR:
            return _Field((COLOUR,), lambda table, _: [packed_colours(name, table.columns[COLOUR])])
        if name.startswith(MAP):
            axes = self.searcher.maps.get(cat.name, name[len(MAP) :]).fields
            return _Field(
                axes,
                lambda table, _: [
                    packed_numbers(f"{name}.{axis}", table.columns[path])
                    for axis, path in zip("xy", axes, strict=True)
                ],
            )
        if name.startswith(CLUSTER_FIELD):
            node = self.searcher.clusters.get(cat.name, name[len(CLUSTER_FIELD[0]) :]).payload_field
            return _Field((node,), lambda table, _: [packed_words(name, table.columns[node], last=True)])
        path = find_field(name, cat.indexes)
        check_indexed(cat, path, ANY_KIND, "sent as an array", self._others(cat))
        if cat.indexes[path] in ("keyword", "bool"):
            return _Field((path,), lambda table, _: [packed_words(name, table.columns[path])])
        valid = self.searcher.to_filter(cat, None, path) if is_score(path) else None
        return _Field(
            (path,), lambda table, counts: [packed_numbers(name, table.columns[path], counts)], valid
        )

    def _others(self, cat: Category) -> list[str]:
        maps = [f"{MAP}{one}" for one in self.searcher.maps.entries(cat.name)]
        return [ASPECT, COLOUR, *maps, *cluster_fields(self.searcher, cat.name)]
