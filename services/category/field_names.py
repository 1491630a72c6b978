"""Names of fields as people write them, for the command line, HTTP and jobs alike.

A field may be written as it is printed (``metadata."EXIF:ISO"``, see
``vitrine.services.values.field_paths``) or with the bare name of the tag or column behind the first dot
(``metadata.EXIF:ISO``, ``scores.St. Moritz``). Where a text can be read in two ways, the longest name that
the category has wins; quotes decide: ``metadata."price".gte`` is a bound on ``price``, also where there is a
column ``price.gte``.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final

from vitrine.services.domain import OrderBy
from vitrine.services.errors import BadRequest
from vitrine.services.values.field_paths import field_path, path_keys
from vitrine.services.values.words import composed

BOUNDS: Final = ("gte", "lte", "gt", "lt")
_OPEN: Final = {"score": "scores", "scores": "scores", "metadata": "metadata"}
"""The words before the name of a tag or column, and the payload object that each means."""
_LONGEST: Final = 512
"""No name of a field is longer, with its quotes."""


def find_field(text: str, known: Container[str]) -> str:
    """Return the path of the ``known`` field that is meant; for an unknown one the path that it would have.

    >>> find_field("metadata.EXIF:ISO", {'metadata."EXIF:ISO"'})
    'metadata."EXIF:ISO"'
    >>> find_field('metadata."year"', {"metadata.year"})
    'metadata.year'
    """
    text = composed(text.strip())
    exact = field_path(*path_keys(text))
    if text in known or exact in known:
        return text if text in known else exact
    head, _, name = text.partition(".")
    return find_member(_OPEN[head], name, known) if name and head in _OPEN else text


def find_member(head: str, name: str, known: Container[str]) -> str:
    """Return the path of the ``known`` tag (``head``: scores) or column (metadata) of that name, which may be
    quoted as in a path."""
    literal = field_path(head, composed(name))
    keys = path_keys(composed(name))
    return literal if literal in known or len(keys) > 1 else field_path(head, *keys)


def find_bound(text: str, known: Container[str]) -> tuple[str, str | None]:
    """Return the field that is meant and the bound on it, as in ``metadata.year.gte``.

    >>> find_bound("metadata.price.gte", {"metadata.price"})
    ('metadata.price', 'gte')
    >>> find_bound("metadata.price.gte", {'metadata."price.gte"'})
    ('metadata."price.gte"', None)
    """
    whole = find_field(text, known)
    name, _, bound = text.rpartition(".")
    if whole in known or bound not in BOUNDS or "." not in name:
        return whole, None
    return find_field(name, known), bound


def find_order(text: str, known: Container[str]) -> OrderBy:
    """Return the order that ``FIELD``, ``FIELD:asc`` or ``FIELD:desc`` means. ``BadRequest`` for another
    direction of a known field."""
    name, _, direction = text.rpartition(":")
    whole, field = find_field(text, known), find_field(name, known)
    if whole in known or not name or (field not in known and direction not in ("asc", "desc")):
        return OrderBy(whole)
    if direction not in ("asc", "desc"):
        raise BadRequest(f"{text!r} names no direction: write {field}, {field}:asc or {field}:desc.")
    return OrderBy(field, direction == "desc")


def readings(key: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to read ``key=value`` where the name of the field may contain an equal sign, the
    shortest key first.

    >>> list(readings("metadata.a", "b=5"))
    [('metadata.a', 'b=5'), ('metadata.a=b', '5')]
    """
    yield key, value
    at = value.find("=")
    while 0 <= at < _LONGEST:
        yield f"{key}={value[:at]}".strip(), value[at + 1 :].strip()
        at = value.find("=", at + 1)
