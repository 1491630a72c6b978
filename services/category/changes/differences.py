"""What a change did to one image: the tags that were added and removed, and the values before and after.

A difference holds nothing else of the image, so that taking it back leaves alone whatever others changed
meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vitrine.services.category.fields import FIELDS, PLAIN, QUALITY
from vitrine.services.domain import Payload

TAG_LISTS = tuple(each.name for each in PLAIN if each.many)
_FAMILIES = frozenset(each.family for each in FIELDS if each.family)
_EXCLUSIVE = (("tags", "rejected_tags"), ("machine_tags", "rejected_tags"))
"""No tag is in both lists of a pair."""
_SCORED_BY = "scored_by"

Path = tuple[str, ...]


@dataclass(frozen=True)
class ListDifference:
    """Tags that were ``added`` to a list, and those that were ``removed``, with the places where they
    stood."""

    added: tuple[str, ...] = ()
    removed: tuple[tuple[str, int], ...] = ()

    @property
    def gone(self) -> set[str]:
        """Tags that were in the list before, and were not after the change."""
        return {tag for tag, _ in self.removed} - set(self.added)


@dataclass(frozen=True)
class ValueDifference:
    """A value ``before`` and ``after``; None where there is none. ``path``: a field, or a field and a key."""

    path: Path
    before: Any
    after: Any


@dataclass(frozen=True)
class Difference:
    """What one change did to one image. ``lists`` by payload field."""

    lists: Mapping[str, ListDifference] = field(default_factory=dict)
    values: tuple[ValueDifference, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lists or self.values)

    @property
    def fields(self) -> set[str]:
        """The payload fields that were changed."""
        return {*self.lists, *(value.path[0] for value in self.values)}

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; ``difference_from_json`` reads it back."""
        return {
            "lists": {name: [each.added, each.removed] for name, each in self.lists.items()},
            "values": [[value.path, value.before, value.after] for value in self.values],
        }


def difference_from_json(tree: Mapping[str, Any]) -> Difference:
    """Return the difference of such a JSON object."""
    lists = {
        name: ListDifference(tuple(added), tuple((tag, place) for tag, place in removed))
        for name, (added, removed) in tree["lists"].items()
    }
    values = (ValueDifference(tuple(path), before, after) for path, before, after in tree["values"])
    return Difference(lists, tuple(values))


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """Return what has to be done to ``before`` to get ``after``.

    >>> difference({"tags": ["red", "old"], "class": "mug"}, {"tags": ["red", "new"]}).to_json()
    {'lists': {'tags': [('new',), (('old', 1),)]}, 'values': [[('class',), 'mug', None]]}
    """
    lists, values = dict[str, ListDifference](), list[ValueDifference]()
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if name not in TAG_LISTS:
            values += _values(name, old, new)
        elif (moved := _moved(old or [], new or [])) != ListDifference():
            lists[name] = moved
    return Difference(lists, tuple(values))


def reverse(payload: Mapping[str, Any], made: Difference) -> tuple[Payload, bool]:
    """Return the payload with a difference taken back, and whether all of it was.

    Only what is still as the change left it is taken back: a tag with its rejection, a score with the word on
    who gave it. What belongs together is taken back together or not at all.

    >>> made = difference({"tags": ["old"], "class": "mug"}, {"tags": ["old", "new"], "class": "cup"})
    >>> reverse({"tags": ["old", "new", "newer"], "class": "jug"}, made)
    ({'tags': ['old', 'newer'], 'class': 'jug'}, False)
    """
    after, whole = dict(payload), True
    present = {name: list(payload.get(name) or []) for name in TAG_LISTS}
    touched = dict.fromkeys(tag for each in made.lists.values() for tag in (*each.added, *sorted(each.gone)))
    back = {tag for tag in touched if _can_return(tag, present, made.lists)}
    whole &= len(back) == len(touched)
    for name, each in made.lists.items():
        after[name] = _returned(present[name], each, back)
    for unit in _units(made.values):
        if any(_value(payload, value.path) != value.after for value in unit):
            whole = False
            continue
        for value in unit:
            _put(after, value.path, value.before)
    return after, whole


def _moved(old: Sequence[str], new: Sequence[str]) -> ListDifference:
    """Return the difference of two lists of tags; where those that stay have another order, all of them were
    removed and added."""
    staying = [tag for tag in old if tag in set(new)]
    if staying != [tag for tag in new if tag in set(old)]:
        staying = []
    return ListDifference(
        tuple(tag for tag in new if tag not in staying),
        tuple((tag, place) for place, tag in enumerate(old) if tag not in staying),
    )


def _can_return(tag: str, present: Mapping[str, list[str]], lists: Mapping[str, ListDifference]) -> bool:
    """Return whether all lists have, or lack, the tag as the change left them, and would not contradict each
    other without the change."""
    after = {name: tag in tags for name, tags in present.items()}
    for name, each in lists.items():
        added, gone = tag in each.added, tag in each.gone
        if (added and not after[name]) or (gone and after[name]):
            return False
        before = {former for former, _ in each.removed}
        if added or gone:
            after[name] = tag in before
    return not any(after[one] and after[other] for one, other in _EXCLUSIVE)


def _returned(present: Sequence[str], each: ListDifference, back: set[str]) -> list[str]:
    tags = [tag for tag in present if not (tag in each.added and tag in back)]
    for tag, place in each.removed:
        if tag in back and tag not in tags:
            tags.insert(place, tag)
    return tags


def _values(name: str, old: Any, new: Any) -> Iterator[ValueDifference]:
    if name not in _FAMILIES:
        yield ValueDifference((name,), old, new)
        return
    former, latter = old or {}, new or {}
    for key in sorted(former.keys() | latter.keys()):
        if former.get(key) != latter.get(key):
            yield ValueDifference((name, key), former.get(key), latter.get(key))


def _units(values: Sequence[ValueDifference]) -> list[list[ValueDifference]]:
    """Return the values that belong together: what a tagger gave, and the word that it did."""
    units: dict[Path, list[ValueDifference]] = {}
    for value in values:
        unit = value.path
        if unit[0] == _SCORED_BY:
            unit = (QUALITY,) if unit[1] == QUALITY else ("scores", unit[1])
        units.setdefault(unit, []).append(value)
    return list(units.values())


def _value(payload: Mapping[str, Any], path: Path) -> Any:
    value: Any = payload
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _put(payload: Payload, path: Path, value: Any) -> None:
    """Set a value in place, or remove it where it is None; objects on the way are copied first."""
    if len(path) == 2:
        inner = dict(payload.get(path[0]) or {})
        _put(inner, path[1:], value)
        payload[path[0]] = inner
    elif value is None:
        payload.pop(path[0], None)
    else:
        payload[path[0]] = value
