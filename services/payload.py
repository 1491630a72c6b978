"""The payload of a point: which fields there are, and which of them are indexed with what kind.

Standard fields are indexed from the start. ``machine_tags``, ``rejected_tags``, ``scores.*``, ``clusters.*.path`` and scalar
``metadata.*`` are indexed when they first appear, since an unindexed field can be neither filtered, nor faceted, nor ordered by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from services.domain import IndexKind, Payload
from services.errors import BadRequest

STANDARD_INDEXES: Mapping[str, IndexKind] = {
    "tags": "keyword",
    "class": "keyword",
    "filename": "keyword",
    "media_type": "keyword",
    "duplicate_group": "keyword",
    "quality": "float",
    "width": "integer",
    "height": "integer",
    "bytes": "integer",
    "created_at": "datetime",
    "indexed_at": "datetime",
}
MAX_METADATA_INDEXES = 64
"""Columns past this stay readable but unindexed: every index costs memory and time on each write."""
MAX_TAG_LENGTH = 200
_NAME = re.compile(r'[^\x00-\x1f."\\]{1,128}')
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def clean_name(name: str) -> str:
    """A tag's or column's name as a payload key; ``BadRequest`` if empty, over 128 characters, or with a dot or quote."""
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise BadRequest(f"{name!r} cannot name a field: use 1 to 128 characters without dots and quotes.", name=name)
    return name


def field_path(*keys: str) -> str:
    """Qdrant's path to a nested field; a key with other than letters, digits, ``_`` and ``-`` is quoted.

    >>> field_path("scores", "t-shirt"), field_path("scores", "red mug")
    ('scores.t-shirt', 'scores."red mug"')
    """
    return ".".join(key if _PLAIN.fullmatch(key) else f'"{key}"' for key in keys)


def path_keys(path: str) -> list[str]:
    """The keys of a field path: the other way round than ``field_path``.

    >>> path_keys('scores."red mug"')
    ['scores', 'red mug']
    """
    return [key.strip('"') for key in re.findall(r'"[^"]*"|[^.]+', path)]


def value_at(payload: Mapping[str, Any], path: str) -> Any:
    """The value of a field path such as ``quality`` or ``scores."red mug"``; None where it is missing."""
    value: Any = payload
    for key in path_keys(path):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Trimmed, without empty ones and doubles, in the order given. ``BadRequest`` over 200 characters."""
    cleaned = list(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
    for tag in cleaned:
        if len(tag) > MAX_TAG_LENGTH:
            raise BadRequest(f"The tag {tag[:40]!r}... is longer than {MAX_TAG_LENGTH} characters: shorten it.")
    return cleaned


def unite_tags(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """Old tags first, then the new ones that were not there."""
    return list(dict.fromkeys([*old, *new]))


def index_kinds(payload: Payload) -> dict[str, IndexKind]:
    """Indexes that the non-standard fields of one payload ask for.

    >>> index_kinds({"scores": {"cat": 0.9}, "metadata": {"year": 1999, "place": "Oslo"}})
    {'scores.cat': 'float', 'metadata.year': 'integer', 'metadata.place': 'keyword'}
    """
    kinds: dict[str, IndexKind] = {field: "keyword" for field in ("machine_tags", "rejected_tags") if payload.get(field)}
    kinds |= {field_path("scores", tag): "float" for tag in payload.get("scores", ())}
    kinds |= {field_path("clusters", run, "path"): "keyword" for run in payload.get("clusters", ())}
    for name, value in payload.get("metadata", {}).items():
        kind = value_kind(value)
        if kind:
            kinds[field_path("metadata", name)] = kind
    return kinds


def value_kind(value: object) -> IndexKind | None:
    """Index kind for a JSON value; a list takes the kind of its first element; None for objects, nulls and empty lists."""
    if isinstance(value, list):
        return value_kind(value[0]) if value else None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "datetime" if _is_datetime(value) else "keyword"
    return None


def _is_datetime(text: str) -> bool:
    if len(text) < 10 or text[4:5] != "-" or not text[:4].isdigit():
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
