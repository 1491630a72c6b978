"""Find the values given with a file that contradict the stored image of the same bytes. What is stored stays,
and the report names what was not taken over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitrine.services.category.fields import FIELDS, SAID
from vitrine.services.domain import Payload

FILENAME = "filename"
_FAMILIES = tuple(field.family for field in FIELDS if field.merge == "key")


@dataclass(frozen=True)
class Conflict:
    """One contradiction: ``kept`` is stored in ``field`` (``class``, ``metadata.price``, ``filename`` ...),
    ``said`` was not taken over."""

    field: str
    kept: Any
    said: Any

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "kept": self.kept, "said": self.said}

    def __str__(self) -> str:
        return f"{self.field} {self.said!r}, kept {self.kept!r}"


def conflicts(filename: str, said: Payload, stored: Mapping[str, Any]) -> tuple[Conflict, ...]:
    """Return what was given with a file and differs from its stored image, after everything was taken over
    that could be.

    >>> [str(found) for found in conflicts("b.png", {"class": "dog"}, {"filename": "a.png", "class": "cat"})]
    ["filename 'b.png', kept 'a.png'", "class 'dog', kept 'cat'"]
    """
    pairs = [(FILENAME, stored.get(FILENAME), filename)]
    pairs += [(field, stored.get(field), said[field]) for field in SAID if field in said]
    for family in _FAMILIES:
        former, given = stored.get(family, {}), said.get(family, {})
        pairs += [(f"{family}.{name}", former.get(name), value) for name, value in given.items()]
    return tuple(Conflict(field, kept, value) for field, kept, value in pairs if kept not in (None, value))
