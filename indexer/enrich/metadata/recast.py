"""Gives metadata columns another kind: their index, and the values of all images of a category."""

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
from vitrine.services.values.words import counted

_METADATA = "metadata"
STAGE = "casting columns"


@dataclass
class Misfits:
    """The values of one column that are not of its kind: how many, and the first as (image id, value)."""

    count: int = 0
    first: tuple[str, str] = ("", "")


@dataclass
class Recast:
    """What was cast: the ``kinds`` by column, and ``converted``, the images whose values changed."""

    kinds: Mapping[str, IndexKind]
    converted: int = 0
    misfits: dict[str, Misfits] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Return sentences for a report."""
        held = ", ".join(f"column {column!r} holds {HELD[kind]}" for column, kind in self.kinds.items())
        images = counted(self.converted, "image")
        notes = [f"{held[0].upper()}{held[1:]}; values of {images} were converted."]
        for column, misfits in self.misfits.items():
            id, value = misfits.first
            notes.append(
                f"Column {column!r} of {counted(misfits.count, 'image')} has another value, such as "
                f"{value!r} (image {id}), which no filter finds: correct it with `images tag ID --metadata "
                f"{column}=VALUE`, or name another kind."
            )
        return notes


def recast(job: Job, kinds: Mapping[str, IndexKind]) -> Recast:
    """Give indexed columns, by name, another kind: first their index, then the values, page by page.

    Values that cannot be cast stay as they are and are counted. Raises ``InterruptedError`` where the job is
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
    """Give columns of words, by name, the kind of their values where those are all numbers, dates or truths.
    Return sentences for a report."""
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
    notes = recast(job, fitting).notes() if fitting else []
    for column, (id, word) in words.items():
        notes.append(
            f"Column {column!r} stays one of words, since some images have others in it, such as {word!r} "
            f"(image {id}); --column {column}:KIND (float, datetime ...) changes it all the same."
        )
    return notes


def narrower(category: Category, columns: Columns, but: Collection[str]) -> list[str]:
    """Return the columns, by name, in which a table has other values than words and the category has words;
    without the columns in ``but``."""
    fields = {name: field_path(_METADATA, name) for name in columns.metadata.values() if name not in but}
    words = [name for name, field in fields.items() if category.indexes.get(field) == "keyword"]
    return [name for name in words if columns.indexes[fields[name]] != "keyword"]


def _kind_as_cell(value: Any) -> IndexKind | None:
    """Return the kind that a value of a column of words would have as a cell of a table."""
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
