"""Groups of near-duplicates, and where those of a category are kept.

    _duplicates/<category>/current.json     which run is in service; written last
    _duplicates/<category>/<key>.json       the groups of one run
    _duplicates/<category>/dismissed.json   pairs that people said are no duplicates

A group's id begins with the key of its run: what a payload says of another run's groups counts for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from vitrine.services.errors import NotFound
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.damage import readable
from vitrine.services.object_store.edits import edit
from vitrine.services.object_store.keys import DUPLICATES
from vitrine.services.object_store.known import Known

FIELD = "duplicate_group"
"""The payload field: a group's id; while a run replaces another, a list of both ids."""
COPIES = ("identical", "resized")
"""Verdicts on an image that is another one saved again: nothing is lost where that one is kept."""
RULE = 2
"""How copies were judged: raised whenever the verdicts of before are no longer to be acted upon."""
_CURRENT, _DISMISSED = "current", "dismissed"
_ADVICE = (
    "Restore it from a backup, or remove the objects below `_duplicates/` of that category and find its "
    "duplicates again."
)

Pair = tuple[str, str]
"""Two image ids, the lesser first."""


@dataclass(frozen=True)
class Member:
    """An image of a group. ``kind``: identical or resized (the same picture as the one that is kept, or as
    ``of``, where that is not empty); edited (a version of the one that is kept); look-alike (a version of
    another of the group); unseen (judged without the pictures) or keep. ``similarity``: structural, in -1..1.
    ``turn``: how it has to be laid. ``grey``: it has no colours."""

    id: str
    kind: str
    similarity: float
    turn: str = ""
    of: str = ""
    grey: bool = False


@dataclass(frozen=True)
class DuplicateGroup:
    """Copies and other versions of one picture, the one to keep first. ``chosen``: a person said which."""

    id: str
    members: tuple[Member, ...]
    chosen: bool = False

    @property
    def keep(self) -> str:
        return self.members[0].id

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(member.id for member in self.members)

    @property
    def others(self) -> tuple[str, ...]:
        """All but the one that is kept."""
        return self.ids[1:]

    def original_of(self, member: Member) -> str:
        """Of which image of the group a member is a copy or version."""
        return member.of or self.keep

    def same_pictures(self) -> dict[str, str]:
        """By id what images that are one picture have in common, its copies and itself: the group's id, with
        a number where versions of it have copies as well."""
        pictures: dict[str, list[str]] = {}
        for member in self.members[1:]:
            if member.kind in COPIES:
                pictures.setdefault(self.original_of(member), []).append(member.id)
        names = {
            id: self.id if id == self.keep else f"{self.id}.{number}" for number, id in enumerate(pictures, 2)
        }
        return {id: names[first] for first, copies in pictures.items() for id in (first, *copies)}

    def without(self, ids: Collection[str]) -> DuplicateGroup:
        """What is left where some go. What was a copy of one of those is held to be edited, until copies are
        looked for again."""
        left = [
            member if self.original_of(member) not in ids else replace(member, kind="edited", of="")
            for member in self.members
            if member.id not in ids
        ]
        first = [replace(member, kind="keep", similarity=1.0, turn="", of="") for member in left[:1]]
        return replace(self, members=(*first, *left[1:]))


@dataclass(frozen=True)
class DuplicateRun:
    """What one search for duplicates found. ``using``: the named vector; ``parameters`` are those it ran
    with. ``rule``: the ``RULE`` it judged by."""

    key: str
    created_at: str
    using: str
    images: int
    groups: tuple[DuplicateGroup, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rule: int = 1

    def group(self, id: str) -> DuplicateGroup:
        """``NotFound``."""
        for group in self.groups:
            if group.id == id:
                return group
        raise NotFound(
            f"There is no duplicate group {id!r}: list the groups to see those there are.", group=id
        )

    def without(self, ids: Collection[str]) -> DuplicateRun:
        """Without these groups."""
        return replace(self, groups=tuple(group for group in self.groups if group.id not in ids))

    def with_group(self, changed: DuplicateGroup) -> DuplicateRun:
        """With the group of that id replaced."""
        return replace(
            self, groups=tuple(changed if group.id == changed.id else group for group in self.groups)
        )


class DuplicateStore:
    """The near-duplicates of all categories. Thread-safe; processes that share the object store see each
    other's changes."""

    def __init__(self, objects: ObjectStore, known: Known | None = None) -> None:
        self._objects = objects
        self._known = known or Known(objects)

    def current_key(self, category: str) -> str | None:
        """The key of the run in service; None before the first."""
        current = self._current(category)
        return None if current is None else str(current["key"])

    def collapsing_key(self, category: str) -> str | None:
        """The same, unless its groups were found by an earlier rule, which held other pictures to be
        copies."""
        current = self._current(category)
        return None if current is None or current.get("rule") != RULE else str(current["key"])

    def _current(self, category: str) -> Mapping[str, Any] | None:
        def parse(data: bytes) -> Mapping[str, Any]:
            with readable(category, _key(category, _CURRENT), _ADVICE):
                current = orjson.loads(data)
                return {"key": current["key"], "rule": current.get("rule")}

        return self._known.read(_key(category, _CURRENT), parse)

    def current(self, category: str) -> DuplicateRun | None:
        """The run in service."""
        key = self.current_key(category)
        tree = None if key is None else self._read(category, key)
        if key is None or tree is None:
            return None
        with readable(category, _key(category, key), _ADVICE):
            return _from_json(tree)

    def get(self, category: str) -> DuplicateRun:
        """The run in service. ``NotFound`` before the first."""
        run = self.current(category)
        if run is None:
            raise NotFound(
                f"Nobody has looked for duplicates in category {category!r} yet: find them first.",
                category=category,
            )
        return run

    def next_key(self, category: str) -> str:
        """A key that no run had, not even one that never came into service."""
        known = [int(name) for name in self._names(category) if name.isdigit()]
        return str(max(known, default=0) + 1)

    def save(self, category: str, run: DuplicateRun) -> None:
        """Write, or replace, the file of a run. It does not come into service by that."""
        self._write(category, run.key, asdict(run))

    def put_in_service(self, category: str, key: str) -> None:
        """From now on the groups are those of the run ``key``."""
        self._write(category, _CURRENT, {"key": key, "rule": RULE})
        self._known.forget(_key(category, _CURRENT))

    def forget_others(self, category: str, key: str) -> None:
        """Remove the files of all runs but ``key``."""
        for name in self._names(category):
            if name.isdigit() and name != key:
                self._objects.delete(_key(category, name))

    def dismissed(self, category: str) -> set[Pair]:
        """Pairs that are no duplicates, whatever they look like."""
        try:
            return _pairs(category, self._objects.get(_key(category, _DISMISSED)))
        except NotFound:
            return set()

    def dismiss(self, category: str, pairs: Iterable[Pair]) -> int:
        """Remember pairs, in any order, as no duplicates; how many are remembered now."""
        new = {ordered(*pair) for pair in pairs}

        def added(data: bytes | None) -> bytes:
            known = set() if data is None else _pairs(category, data)
            return orjson.dumps({"format": 1, "pairs": sorted(known | new)})

        return len(_pairs(category, edit(self._objects, _key(category, _DISMISSED), added)))

    def forget(self, category: str) -> None:
        """Remember nothing of a category that was deleted."""
        self._known.forget(_key(category, _CURRENT))

    def _names(self, category: str) -> list[str]:
        prefix = _key(category, "")
        return [stat.key[len(prefix) :].removesuffix(".json") for stat in self._objects.list(prefix)]

    def _read(self, category: str, name: str) -> dict[str, Any] | None:
        try:
            data = self._objects.get(_key(category, name))
        except NotFound:
            return None
        with readable(category, _key(category, name), _ADVICE):
            tree: dict[str, Any] = orjson.loads(data)
        return tree

    def _write(self, category: str, name: str, tree: Mapping[str, Any]) -> None:
        self._objects.put(
            _key(category, name), orjson.dumps({"format": 1, **tree}), media_type="application/json"
        )


def ordered(one: str, other: str) -> Pair:
    """The pair, the lesser id first."""
    return (one, other) if one < other else (other, one)


def group_of(value: object, key: str | None) -> str | None:
    """The group that the payload field ``duplicate_group`` names in the run ``key``; None: in none.

    >>> group_of(["1-7", "2-3"], "2"), group_of("1-7", "2"), group_of("1-7", None)
    ('2-3', None, None)
    """
    values: Sequence[object] = value if isinstance(value, list) else [value]
    mine = (
        each for each in values if isinstance(each, str) and key is not None and each.startswith(f"{key}-")
    )
    return next(mine, None)


def _pairs(category: str, data: bytes) -> set[Pair]:
    with readable(category, _key(category, _DISMISSED), _ADVICE):
        return {(one, other) for one, other in orjson.loads(data)["pairs"]}


def _from_json(tree: dict[str, Any]) -> DuplicateRun:
    rest = {name: value for name, value in tree.items() if name not in ("format", "groups")}
    groups = tuple(
        DuplicateGroup(group["id"], tuple(Member(**member) for member in group["members"]), group["chosen"])
        for group in tree["groups"]
    )
    return DuplicateRun(groups=groups, **rest)


def _key(category: str, name: str) -> str:
    return f"{DUPLICATES}{category}/{name}.json" if name else f"{DUPLICATES}{category}/"
