"""Names of payload keys and field paths as the engines take them.

In Qdrant's paths a key may stand in quotes, but no quote or backslash can stand in the key. So on the way to
an engine those two become ``%22`` and ``%5C`` (and a ``%`` before 22, 25 or 5C becomes ``%25``), in payload
keys and in paths alike; on the way back they are what people wrote. All other names are stored as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from vitrine.services.domain import AllBut, Fields, Payload
from vitrine.services.filters.conditions import Filter
from vitrine.services.filters.write import filter_json
from vitrine.services.values.field_paths import field_path, path_keys

_OUT = {'"': "%22", "\\": "%5C", "%": "%25"}
_BACK = {code: character for character, code in _OUT.items()}
_TO_ENGINE = re.compile(r'["\\]|%(?=22|25|5C)')
_FROM_ENGINE = re.compile("%(?:22|25|5C)")
_ENGINE_KEY = re.compile(r'"([^"]*)"|([^."\[\]]+)')
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def engine_key(name: str) -> str:
    """Return a name as a payload key of the engine.

    >>> engine_key('5" disk'), engine_key("100%"), engine_key("%22")
    ('5%22 disk', '100%', '%2522')
    """
    return _TO_ENGINE.sub(lambda found: _OUT[found[0]], name)


def own_key(key: str) -> str:
    """Return the name behind a payload key of the engine: ``engine_key`` undone."""
    return _FROM_ENGINE.sub(lambda found: _BACK[found[0]], key)


def engine_path(path: str) -> str:
    """Return a field path (see ``vitrine.services.values.field_paths.field_path``) as the engine takes it,
    ``[]`` of nested conditions included.

    >>> engine_path('scores."5\\\\" disk"'), engine_path('scores."St. Moritz"')
    ('scores."5%22 disk"', 'scores."St. Moritz"')
    """
    if "\\" not in path and "%" not in path:
        return path
    return _QUOTED.sub(lambda quoted: f'"{engine_key(path_keys(quoted[0])[0])}"', path)


def own_path(path: str) -> str:
    """Return the field path, as we print it, of one that the engine lists: it quotes fewer keys than we do.

    >>> own_path("scores.größe"), own_path('objects[]."5%22 disk"')
    ('scores."größe"', 'objects[]."5\\\\" disk"')
    """
    return _ENGINE_KEY.sub(lambda key: field_path(own_key(key[2] if key[1] is None else key[1])), path)


def engine_payload(payload: Mapping[str, Any]) -> Payload:
    """Return a payload whose objects (scores, metadata ...) have the engine's keys; the keys of the payload
    itself are ours and plain."""
    return _renamed(payload, '"\\%', engine_key)


def payload_json(payload: Mapping[str, Any] | None) -> bytes:
    """Return a payload of the engine as JSON text, with the names that people gave.

    >>> payload_json({"scores": {"5%22 disk": 0.5}})
    b'{"scores":{"5\\\\" disk":0.5}}'
    """
    return orjson.dumps(_renamed(payload, "%", own_key)) if payload else b"{}"


def engine_keys(values: Mapping[str, Any]) -> Payload:
    """Return one such object with the engine's keys."""
    return {engine_key(name): value for name, value in values.items()}


def engine_selection(fields: Fields) -> bool | list[str] | dict[str, list[str]]:
    """Return what is asked of payloads, in Qdrant's JSON: all, nothing, the fields at these paths, or all but
    some.

    >>> engine_selection(("class", "scores.red")), engine_selection(AllBut(("object_key",)))
    (['class', 'scores.red'], {'exclude': ['object_key']})
    """
    if isinstance(fields, bool):
        return fields
    if isinstance(fields, AllBut):
        return {"exclude": list(fields.fields)}
    return [engine_path(path) for path in fields] or False


def engine_filter(filter: Filter | None) -> dict[str, Any] | None:
    """Return the filter in Qdrant's JSON, with the engine's paths."""
    return None if filter is None else filter_json(filter, engine_path)


def _renamed(payload: Mapping[str, Any], marks: str, rename: Callable[[str], str]) -> Payload:
    """Return the value with the keys of its objects renamed. ``marks``: a key without any of them stays; to
    look for them costs 2 us."""
    renamed = dict(payload)
    for field, value in payload.items():
        if isinstance(value, dict) and _has_any(marks, "".join(value)):
            renamed[field] = {rename(name): inner for name, inner in value.items()}
    return renamed


def _has_any(marks: str, text: str) -> bool:
    return any(mark in text for mark in marks)
