"""Paths to the fields of a payload, such as ``quality`` or ``scores."red mug"``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_STEP = re.compile(rf'(?:{_QUOTED}|([^."]+))(\.|$)')


def field_path(*keys: str) -> str:
    """Return the path to a nested field. A key with other characters than letters, digits, ``_`` and ``-`` is
    quoted.

    >>> field_path("scores", "t-shirt"), field_path("scores", "St. Moritz"), field_path("scores", '5" disk')
    ('scores.t-shirt', 'scores."St. Moritz"', 'scores."5\\\\" disk"')
    """
    return ".".join(key if _PLAIN.fullmatch(key) else f'"{_escaped(key)}"' for key in keys)


@lru_cache(maxsize=1024)
def path_keys(path: str) -> tuple[str, ...]:
    """Return the keys of a path that ``field_path`` wrote; any other text is one key.

    >>> path_keys('scores."St. Moritz"'), path_keys('"open')
    (('scores', 'St. Moritz'), ('"open',))
    """
    keys, at, more = [], 0, True
    while more and (step := _STEP.match(path, at)):
        keys.append(step[2] if step[1] is None else re.sub(r"\\(.)", r"\1", step[1]))
        at, more = step.end(), bool(step[3])
    return tuple(keys) if at == len(path) and not more else (path,)


def value_at(payload: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path such as ``quality`` or ``scores."red mug"``; None where it is missing."""
    value: Any = payload
    for key in path_keys(path):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _escaped(key: str) -> str:
    return key.replace("\\", "\\\\").replace('"', '\\"')


def flat(payload: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested fields under their dotted names.

    >>> flat({"quality": 1.0, "scores": {"red mug": 0.5}})
    {'quality': 1.0, 'scores.red mug': 0.5}
    """
    found: dict[str, Any] = {}
    for name, value in payload.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found
