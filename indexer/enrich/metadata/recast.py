"""Metadata columns of another kind than before: their index, and what the images of a category hold in
them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vitrine.indexer.job.job import Job
from vitrine.indexer.job.payload_writer import Change
from vitrine.indexer.sources.rows import Columns
from vitrine.services.category.catalog import Category
from vitrine.services.domain import Hit, IndexKind, Payload
from vitrine.services.errors import BadRequest
from vitrine.services.values.field_paths import field_path
from vitrine.services.values.kinds import HELD, Cell, cast, joined, value_kind

_METADATA = "metadata"
STAGE = "casting columns"


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
        held = ", ".join(f"column {column!r} holds {HELD[kind]}" for column, kind in self.kinds.items())
        told = [f"{held[0].upper()}{held[1:]}; values of {_images(self.converted)} were converted."]
        for column, misfits in self.misfits.items():
            id, value = misfits.first
            told.append(
                f"In column {column!r} something else is kept of {_images(misfits.count)}, such as "
                f"{value!r} (image {id}), and is not found: correct it with `images tag ID --metadata "
                f"{column}=VALUE`, or name another kind."
            )
        return told


def recast(job: Job, kinds: Mapping[str, IndexKind]) -> Recast:
    """Have columns (by name) that are indexed hold another kind: the index first, then the values, page by
    page.

    What the kind cannot hold stays as it is and is counted. Raises ``InterruptedError`` where the job is
    stopped; the same call again completes it.
    """
    done = Recast(kinds)
    fields = {field_path(_METADATA, column): kind for column, kind in kinds.items()}
    job.runtime.catalog.ensure_indexes(job.category, fields, change=True)

    def count(read: int, written: int) -> None:
        done.converted += written

    job.revise(
        STAGE,
        lambda hits: {hit.id: _cast(hit, done) for hit in hits},
        fields=(_METADATA,),
        key=_METADATA,
        wrote=count,
    )
    return done


def tighten(job: Job, columns: Collection[str]) -> list[str]:
    """``recast`` columns of words in which all images hold numbers, dates or truths; sentences for a
    report."""
    kinds: dict[str, IndexKind] = {}
    words: dict[str, tuple[str, str]] = {}

    def look(hits: Sequence[Hit]) -> dict[str, Change]:
        for hit in hits:
            metadata = hit.payload.get(_METADATA, {})
            for column in [column for column in columns if column in metadata]:
                kind = joined([kinds.get(column), _kind_as_cell(metadata[column])])
                if kind is not None:
                    kinds[column] = kind
                if kind == "keyword":
                    words.setdefault(column, (hit.id, str(metadata[column])[:40]))
        return {}

    job.revise(STAGE, look, fields=(_METADATA,))
    fitting = {column: kind for column, kind in kinds.items() if kind != "keyword"}
    told = recast(job, fitting).notes() if fitting else []
    for column, (id, word) in words.items():
        told.append(
            f"Column {column!r} stays one of words, as some images hold others in it, such as {word!r} "
            f"(image {id}); --column {column}:KIND (float, datetime ...) changes it all the same."
        )
    return told


def narrower(category: Category, columns: Columns, but: Collection[str]) -> list[str]:
    """The columns of a table, by name, that hold a narrower kind than words, which the category has them
    hold."""
    kinds = {
        name: columns.indexes[field_path(_METADATA, name)]
        for name in columns.metadata.values()
        if name not in but
    }
    return [
        name
        for name, kind in kinds.items()
        if kind != "keyword" and category.indexes.get(field_path(_METADATA, name)) == "keyword"
    ]


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _kind_as_cell(value: Any) -> IndexKind | None:
    """The kind of a value of a column of words, as a table's cell would have it."""
    if isinstance(value, list):
        return joined(_kind_as_cell(item) for item in value)
    return value_kind(Cell(value) if isinstance(value, str) else value)


def _cast(hit: Hit, done: Recast) -> Change:
    metadata: Mapping[str, Any] = hit.payload.get(_METADATA, {})
    updates: Payload = {}
    remove: tuple[str, ...] = ()
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
            remove = (*remove, field_path(_METADATA, column))
        elif new != old or type(new) is not type(old):
            updates[column] = new
    return Change(updates, remove)
