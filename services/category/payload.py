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
    """Return the name of a tag or column as a payload key, on one line. ``BadRequest`` if it is empty or over
    200 characters."""
    name = _tidy(name)
    if not 1 <= len(name) <= MAX_TAG_LENGTH:
        raise BadRequest(
            f"{name[:40]!r} cannot name a field: names have 1 to {MAX_TAG_LENGTH} characters.", name=name
        )
    return name


def unindexed_notes(metadata: Mapping[str, Any], indexes: Mapping[str, IndexKind]) -> list[str]:
    """Return a sentence about those columns of ``metadata`` that have no index; an empty list where all
    do."""
    columns = [clean_name(column) for column, value in metadata.items() if not is_missing(value)]
    fields = {field for column in columns if (field := field_path("metadata", column)) not in indexes}
    return [unindexed_note(fields)] if fields else []


def unindexed_note(fields: Collection[str]) -> str:
    """Return a sentence about metadata columns for which the category has no more indexes."""
    names = sorted(path_keys(field)[-1] for field in fields)
    shown = ", ".join(names[:20] + ["..."] * (len(names) > 20))
    return (
        f"{len(names)} columns are kept, but no filter, order or facet finds them, since a category indexes "
        f"{MAX_METADATA_INDEXES}: {shown}."
    )


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Return the tags trimmed, each on one line and once, without empty ones, in the order given.
    ``BadRequest`` for one of over 200 characters."""
    cleaned = list(dict.fromkeys(tidy for tag in tags if (tidy := _tidy(tag))))
    for tag in cleaned:
        if len(tag) > MAX_TAG_LENGTH:
            raise BadRequest(
                f"The tag {tag[:40]!r}... is longer than {MAX_TAG_LENGTH} characters: shorten it."
            )
    return cleaned


def unite_tags(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """Return the old tags, then the new ones that are not among them."""
    return list(dict.fromkeys([*old, *new]))


def index_kinds(payload: Payload) -> dict[str, IndexKind]:
    """Return the indexes that are made with the first value, by field path. ``settled`` finds the
    kinds of metadata columns.

    >>> index_kinds({"scores": {"cat": 0.9}, "clusters": {"colours": {"path": ["root"]}}})
    {'scores.cat': 'float', 'clusters.colours.path': 'keyword'}
    """
    kinds: dict[str, IndexKind] = {field.name: field.holds for field in _SEEN if payload.get(field.name)}
    kinds |= {field_path("scores", tag): "float" for tag in payload.get("scores", ())}
    kinds |= {field_path("clusters", run, "path"): "keyword" for run in payload.get("clusters", ())}
    return kinds


def joined_kinds(several: Iterable[Mapping[str, IndexKind]]) -> dict[str, IndexKind]:
    """Return the kinds by field of several tables together: the narrowest that holds all values of a field.

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
    """Return metadata as its columns hold it, and the kind of each of these columns by field path.

    ``kinds``: of the fields that are known; a new column has the kind of its value. A column of whole numbers
    becomes one of numbers for a fraction, unless it is ``fixed``. Marks of a missing value are left out, but
    a word such as ``NA`` stays in a column of words. ``BadRequest`` for a value that is not of the column's
    kind.

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
