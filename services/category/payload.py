"""Tags, names and metadata as a payload holds them, and the indexes that its values ask for.

An unindexed field can be neither filtered, nor faceted, nor ordered by; ``vitrine.services.category.fields``
says which fields are indexed from the start, and which with their first value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

from vitrine.services.category.fields import PLAIN
from vitrine.services.domain import IndexKind, Payload
from vitrine.services.errors import BadRequest
from vitrine.services.values.field_paths import field_path, path_keys
from vitrine.services.values.kinds import cast, is_missing, joined, value_kind
from vitrine.services.values.words import composed

MAX_METADATA_INDEXES = 64
"""Columns past this stay readable but unindexed: every index costs memory and time on each write."""
MAX_TAG_LENGTH = 200
_SEEN = tuple(field for field in PLAIN if field.index == "seen")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def clean_name(name: str) -> str:
    """A tag's or column's name as a payload key, on one line; ``BadRequest`` if it is empty or over 200
    characters."""
    name = _tidy(name)
    if not 1 <= len(name) <= MAX_TAG_LENGTH:
        raise BadRequest(
            f"{name[:40]!r} cannot name a field: use 1 to {MAX_TAG_LENGTH} characters.", name=name
        )
    return name


def unindexed_notes(metadata: Mapping[str, Any], indexes: Mapping[str, IndexKind]) -> list[str]:
    """Whether some columns of metadata that was just written are without an index: a sentence about them, or
    none."""
    columns = [clean_name(column) for column, value in metadata.items() if not is_missing(value)]
    fields = {field for column in columns if (field := field_path("metadata", column)) not in indexes}
    return [unindexed_note(fields)] if fields else []


def unindexed_note(fields: Collection[str]) -> str:
    """A sentence about metadata columns that the category has no room to index."""
    shown = ", ".join(sorted(path_keys(field)[-1] for field in fields)[:20]) + (
        ", ..." if len(fields) > 20 else ""
    )
    return (
        f"{len(fields)} columns are kept but found by no filter, order or facet, as a category indexes "
        f"{MAX_METADATA_INDEXES}: {shown}."
    )


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Trimmed, each on one line, without empty ones and doubles, in the order given. ``BadRequest`` over 200
    characters."""
    cleaned = list(dict.fromkeys(tidy for tag in tags if (tidy := _tidy(tag))))
    for tag in cleaned:
        if len(tag) > MAX_TAG_LENGTH:
            raise BadRequest(
                f"The tag {tag[:40]!r}... is longer than {MAX_TAG_LENGTH} characters: shorten it."
            )
    return cleaned


def unite_tags(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """Old tags first, then the new ones that were not there."""
    return list(dict.fromkeys([*old, *new]))


def index_kinds(payload: Payload) -> dict[str, IndexKind]:
    """The indexes that are made with the first value, by field path. Those of metadata are found by
    ``settled``.

    >>> index_kinds({"scores": {"cat": 0.9}, "clusters": {"colours": {"path": ["root"]}}})
    {'scores.cat': 'float', 'clusters.colours.path': 'keyword'}
    """
    kinds: dict[str, IndexKind] = {field.name: field.holds for field in _SEEN if payload.get(field.name)}
    kinds |= {field_path("scores", tag): "float" for tag in payload.get("scores", ())}
    kinds |= {field_path("clusters", run, "path"): "keyword" for run in payload.get("clusters", ())}
    return kinds


def joined_kinds(several: Iterable[Mapping[str, IndexKind]]) -> dict[str, IndexKind]:
    """Kinds by field of several tables together: of a field that has different ones, the narrowest that holds
    all.

    >>> joined_kinds([{"metadata.n": "integer"}, {"metadata.n": "float", "metadata.w": "bool"}])
    {'metadata.n': 'float', 'metadata.w': 'bool'}
    """
    kinds: dict[str, IndexKind] = {}
    for its in several:
        for field, kind in its.items():
            kinds[field] = joined([kinds.get(field), kind]) or kind
    return kinds


def settled(
    metadata: Mapping[str, Any], kinds: Mapping[str, IndexKind], *, fixed: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, IndexKind]]:
    """Metadata as its columns hold it, and the kind of each of these columns by field path.

    ``kinds`` of fields that are known; a column that is not has the kind of its value. One of whole numbers
    becomes one of numbers for a fraction, unless it is ``fixed``. What says that there is no value is left
    out, but a word such as ``NA`` stays one in a column of words. ``BadRequest`` for a value that its column
    does not hold.

    >>> settled({"price": 12.5, "size": 38}, {"metadata.price": "integer", "metadata.size": "keyword"})
    ({'price': 12.5, 'size': '38'}, {'metadata.price': 'float', 'metadata.size': 'keyword'})
    """
    values, held = dict[str, Any](), dict[str, IndexKind]()
    for column, value in metadata.items():
        name = clean_name(column)
        field = field_path("metadata", name)
        kind = kinds.get(field) or value_kind(value) or "keyword"
        if field not in kinds and is_missing(value):
            continue
        found, kind = _fitted(name, value, kind, widen=field not in fixed)
        if found is not None:
            values[name], held[field] = found, kind
    return values, held


def _fitted(name: str, value: Any, kind: IndexKind, *, widen: bool) -> tuple[Any, IndexKind]:
    try:
        return cast(name, value, kind), kind
    except BadRequest:
        if kind == "integer" and widen:
            with suppress(BadRequest):
                return cast(name, value, "float"), "float"
        raise


def _tidy(name: str) -> str:
    return composed(_CONTROL.sub(" ", name)).strip()
