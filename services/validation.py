"""The errors that pydantic finds in settings, conditions and request bodies, in plain words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from vitrine.services.errors import BadRequest

Model = TypeVar("Model", bound=BaseModel)
_TYPES = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bytes": "text",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "an object with names and values",
    "model": "an object with names and values",
    "dataclass": "an object with names and values",
    "datetime": "a date such as 2024-05-01 or 2024-05-01T10:30:00Z",
    "date": "a date such as 2024-05-01",
    "path": "a path",
    "url": "a URL",
    "finite": "a finite number",
    "none": "null",
}
"""What a value must be, by the beginning of the name of pydantic's error."""
_LIMITS = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "missing": "is missing",
    "extra_forbidden": "is not known here",
}
_PLAIN_ALTERNATIVES = ("bool", "int", "float", "str", "none", "datetime", "date")
_ALTERNATIVE = re.compile(r"[\w-]+\[.*\]|[A-Z][a-z]+[A-Z]\w*")
"""Parts of an error's location that name one of the types a value may have, which users do not write."""
_MEANT = "must be "


def validated(model: type[Model], tree: object, what: str) -> Model:
    """Return the model of a JSON tree. ``BadRequest`` names the fields of the ``what`` that do not fit."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        found = mistakes(error)[:20]
        raise BadRequest(
            f"The {what} is not valid: {first_mistake(error)}.", field=found[0]["field"], errors=found
        ) from None


def mistakes(error: ValidationError | Sequence[Any]) -> list[dict[str, str]]:
    """Return each wrong field once: ``field`` (dotted; "" is the whole) and ``message``, such as "must be a
    whole number"."""
    items = (
        error.errors(include_url=False, include_input=False) if isinstance(error, ValidationError) else error
    )
    above = Counter(item["loc"][:-1] for item in items)
    found: dict[str, list[str]] = {}
    for item in items:
        loc = item["loc"]
        if loc and loc[-1] in _PLAIN_ALTERNATIVES and above[loc[:-1]] > 1:  # alone, it is the user's own name
            loc = loc[:-1]
        found.setdefault(_field(loc), []).append(_words(item))
    return [{"field": field, "message": _joined(messages)} for field, messages in found.items()]


def first_mistake(error: ValidationError | Sequence[Any]) -> str:
    """Return the first of ``mistakes`` as half a sentence: "limit must be a whole number"."""
    first = mistakes(error)[0]
    if first["message"].startswith((_MEANT.split()[0], "is ")):
        return f"{first['field'] or 'it'} {first['message']}"
    return f"{first['field']}: {first['message']}".removeprefix(": ")


def _field(loc: Iterable[object]) -> str:
    parts = [str(part) for part in loc]
    kept = [part for place, part in enumerate(parts) if place == 0 or not _ALTERNATIVE.fullmatch(part)]
    return ".".join(kept)[:200]


def _words(item: Mapping[str, Any]) -> str:
    kind = str(item.get("type", ""))
    if kind in _LIMITS:
        return _LIMITS[kind].format_map(item.get("ctx", {}))
    if kind == "int_from_float" or kind.split("_")[0] in _TYPES:
        return _MEANT + _TYPES[kind.split("_")[0]]
    # our own validators say it in words already
    return str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ").rstrip(".")


def _joined(messages: Sequence[str]) -> str:
    """Return one message about a value that could have been of several types."""
    if not all(message.startswith(_MEANT) for message in messages):
        return messages[0]
    return _MEANT + " or ".join(dict.fromkeys(message.removeprefix(_MEANT) for message in messages))
