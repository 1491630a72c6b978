"""Metadata columns of another kind than before: their index, and what the images of a category hold in them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from indexer.payload_writer import PAGE, PayloadWriter
from indexer.sources.rows import Columns
from indexer.stages import apart
from services.catalog import Category
from services.domain import Hit, IndexKind, Payload
from services.errors import BadRequest
from services.payload import field_path
from services.runtime import Runtime
from services.values import HELD, cast

_METADATA = "metadata"


@dataclass
class Misfits:
    """Values of one column that its kind does not hold: how many, and the first image with its value."""

    count: int = 0
    first: tuple[str, str] = ("", "")


@dataclass
class Recast:
    """What became of the values. ``kinds`` by column; ``converted``: images whose values changed."""

    kinds: Mapping[str, IndexKind]
    converted: int = 0
    misfits: dict[str, Misfits] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Sentences for a report."""
        held = ", ".join(f"{column} {HELD[kind]}" for column, kind in self.kinds.items())
        told = [f"Columns of the kind that was asked for: {held}; values of {self.converted} images were converted."]
        for column, misfits in self.misfits.items():
            id, value = misfits.first
            told.append(
                f"{misfits.count} images hold something else in column {column!r}, such as {value!r} (image {id}), so that it is "
                f"not found: correct it with `images tag ID --metadata {column}=VALUE`, or name another kind."
            )
        return told


def recast(runtime: Runtime, category: str, kinds: Mapping[str, IndexKind], *, stop: threading.Event) -> Recast:
    """Have columns (by name) that are indexed hold another kind: the index first, then the values, page by page.

    What cannot be held stays as it is and is counted. Interrupted, the same call again completes it; ``InterruptedError``.
    """
    done = Recast(kinds)
    fields = {field_path(_METADATA, column): kind for column, kind in kinds.items()}
    runtime.catalog.ensure_indexes(category, fields, change=True)
    apart(lambda: _pages(runtime, category, done, stop), stop)
    return done


def tighten(runtime: Runtime, category: str, kinds: Mapping[str, IndexKind], *, stop: threading.Event) -> list[str]:
    """``recast`` columns whose values are all of the kind, and leave the others; sentences for a report."""
    seen = Recast(kinds)
    apart(lambda: _pages(runtime, category, seen, stop, write=False), stop)
    fitting = {column: kind for column, kind in kinds.items() if column not in seen.misfits}
    told = recast(runtime, category, fitting, stop=stop).notes() if fitting else []
    for column, misfits in seen.misfits.items():
        told.append(
            f"Column {column!r} stays one of words, as {misfits.count} images hold others than {HELD[kinds[column]]} in it, such "
            f"as {misfits.first[1]!r} (image {misfits.first[0]}); --column {column}:{kinds[column]} changes it all the same."
        )
    return told


def narrower(category: Category, columns: Columns, but: Collection[str]) -> dict[str, IndexKind]:
    """The columns of a table, by name, that hold a narrower kind than words, which the category has them hold."""
    kinds = {name: columns.indexes[field_path(_METADATA, name)] for name in columns.metadata.values() if name not in but}
    return {
        name: kind
        for name, kind in kinds.items()
        if kind != "keyword" and category.indexes.get(field_path(_METADATA, name)) == "keyword"
    }


def _pages(runtime: Runtime, category: str, done: Recast, stop: threading.Event, *, write: bool = True) -> None:
    writer = PayloadWriter(runtime, category, key=_METADATA)
    cursor: str | None = None
    try:
        while True:
            with runtime.catalog.writing(category):
                page = runtime.vectors.scroll(category, limit=PAGE, cursor=cursor, with_payload=(_METADATA,))
                updates: dict[str, Payload] = {}
                remove: dict[str, tuple[str, ...]] = {}
                for hit in page.hits:
                    _judge(hit, done, updates, remove)
                if write:
                    done.converted += writer.write(updates, remove)
            cursor = page.cursor
            if cursor is None:
                return
            if stop.is_set():
                raise InterruptedError
    finally:
        writer.flush()


def _judge(hit: Hit, done: Recast, updates: dict[str, Payload], remove: dict[str, tuple[str, ...]]) -> None:
    metadata: Mapping[str, Any] = hit.payload.get(_METADATA, {})
    for column, kind in done.kinds.items():
        if column not in metadata:
            continue
        old = metadata[column]
        try:
            new = cast(column, old, kind)
        except BadRequest:
            misfits = done.misfits.setdefault(column, Misfits(first=(hit.id, str(old)[:40])))
            misfits.count += 1
            continue
        if new is None:
            remove[hit.id] = (*remove.get(hit.id, ()), field_path(_METADATA, column))
        elif new != old or type(new) is not type(old):
            updates.setdefault(hit.id, {})[column] = new
