"""Values that plainly are what an option or a setting takes. What is not plain is left to pydantic, which
converts it or says what is wrong; its import and models take a tenth of a second that most commands save."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

UNSURE: Final = object()
"""What `fitted` returns where only pydantic can say."""
_WHOLE = re.compile("0|[1-9][0-9]{0,14}")
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}
_LIMITS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
}


def fitted(kind: Any, value: object, limits: Mapping[str, Any]) -> Any:
    """Return the value as pydantic would convert it to the type ``kind`` within the ``limits`` (pydantic's
    names: ge, gt, le, lt ...); ``UNSURE`` where that is not plain to see.

    >>> fitted(int, "8000", {"ge": 0}), fitted(int | None, None, {}), fitted(int, " 8_000", {}) is UNSURE
    (8000, None, True)
    """
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        if value is None and NoneType in get_args(kind):
            return None
        inner = [one for one in get_args(kind) if one is not NoneType]
        return fitted(inner[0], value, limits) if len(inner) == 1 else UNSURE
    if origin is tuple:
        return _all_fitted(get_args(kind), value) if not limits else UNSURE
    if origin is Literal:
        return value if type(value) is str and value in get_args(kind) and not limits else UNSURE
    found = _CONVERTED[kind](value) if kind in _CONVERTED else UNSURE
    if found is UNSURE or not limits:
        return found
    within = kind in (int, float) and limits.keys() <= _LIMITS.keys()
    return found if within and all(_LIMITS[name](found, bound) for name, bound in limits.items()) else UNSURE


def _all_fitted(kinds: tuple[Any, ...], value: object) -> Any:
    if len(kinds) != 2 or kinds[1] is not ... or not isinstance(value, list | tuple):
        return UNSURE
    found = tuple(fitted(kinds[0], one, {}) for one in value)
    return UNSURE if any(one is UNSURE for one in found) else found


def _whole(value: object) -> Any:
    if type(value) is str:
        return int(value) if _WHOLE.fullmatch(value) else UNSURE
    return value if type(value) is int else UNSURE


def _number(value: object) -> Any:
    if type(value) is str:
        return float(value) if _NUMBER.fullmatch(value) else UNSURE
    return float(value) if type(value) in (int, float) and math.isfinite(value) else UNSURE  # type: ignore[arg-type]


def _truth(value: object) -> Any:
    if type(value) is str:
        return _TRUTHS.get(value.lower(), UNSURE)
    return value if type(value) is bool else UNSURE


_CONVERTED: Final[Mapping[Any, Callable[[object], Any]]] = {
    str: lambda value: value if type(value) is str else UNSURE,
    bool: _truth,
    int: _whole,
    float: _number,
    Path: lambda value: Path(value) if isinstance(value, str | Path) else UNSURE,
}
