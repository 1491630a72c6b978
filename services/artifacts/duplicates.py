"""Groups of near-duplicates of a category, and the pairs that people said are no duplicates
(``_duplicates/<category>/dismissed.json``).

A group's id begins with the number of its run: what a payload says of groups of another run counts for
nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from vitrine.services.artifacts.store import FORMAT, Arrays, ArtifactStore, Entry, now, number_of
from vitrine.services.errors import NotFound
from vitrine.services.object_store.damage import readable
from vitrine.services.object_store.edits import edit
from vitrine.services.object_store.keys import DUPLICATES
from vitrine.services.sealed import sealed

FIELD = "duplicate_group"
"""The payload field: a group's id; while a run replaces another, a list of both ids."""
COPIES = ("identical", "resized")
"""Verdicts on an image that is another one saved again: nothing is lost where that one is kept."""
RULE = 2
"""How copies were judged: raised whenever the verdicts of before are no longer to be acted upon."""
GROUPS = "groups"
"""The name of what is found: each category has one."""

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
    """Copies and other versions of one picture, the one to keep first. ``chosen``: a person chose that
    one."""

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
        """Return the image of the group that a member is a copy or version of."""
        return member.of or self.keep

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> DuplicateGroup:
        """Return the group whose fields are in a JSON object."""
        return cls(tree["id"], tuple(Member(**member) for member in tree["members"]), tree["chosen"])

    def same_pictures(self) -> dict[str, str]:
        """Return by id a name that all copies of one picture share: the group's id, with a number where
        versions in it have copies as well."""
        pictures: dict[str, list[str]] = {}
        for member in self.members[1:]:
            if member.kind in COPIES:
                pictures.setdefault(self.original_of(member), []).append(member.id)
        names = {
            id: self.id if id == self.keep else f"{self.id}.{number}" for number, id in enumerate(pictures, 2)
        }
        return {id: names[first] for first, copies in pictures.items() for id in (first, *copies)}

    def without(self, ids: Collection[str]) -> DuplicateGroup:
        """Return the group without some images. Copies of those count as edited, until duplicates are
        searched for again."""
        left = [
            member if self.original_of(member) not in ids else replace(member, kind="edited", of="")
            for member in self.members
            if member.id not in ids
        ]
        first = [replace(member, kind="keep", similarity=1.0, turn="", of="") for member in left[:1]]
        return replace(self, members=(*first, *left[1:]))


@dataclass(frozen=True)
class DuplicateRun:
    """What one search for duplicates found. ``using``: the named vector; ``parameters``: those it ran with.
    ``rule``: the ``RULE`` by which it judged."""

    using: str
    images: int
    groups: tuple[DuplicateGroup, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rule: int = RULE
    key: str = ""
    created_at: str = ""

    def numbered(self, key: str) -> DuplicateRun:
        """Return the run under another key, its groups called by it in their order."""
        groups = tuple(
            replace(group, id=f"{number_of(key)}-{number}") for number, group in enumerate(self.groups, 1)
        )
        return replace(self, key=key, groups=groups)

    def group(self, id: str) -> DuplicateGroup:
        """Return a group by its id. ``NotFound``."""
        for group in self.groups:
            if group.id == id:
                return group
        raise NotFound(
            f"There is no duplicate group {id!r}: list the groups to see those there are.", group=id
        )

    def without(self, ids: Collection[str]) -> DuplicateRun:
        """Return the run without these groups."""
        return replace(self, groups=tuple(group for group in self.groups if group.id not in ids))

    def with_group(self, changed: DuplicateGroup) -> DuplicateRun:
        """Return the run with the group of that id replaced."""
        return replace(
            self, groups=tuple(changed if group.id == changed.id else group for group in self.groups)
        )


class DuplicateStore(ArtifactStore[DuplicateRun]):
    """The near-duplicates of all categories: one run each, and the pairs that people dismissed."""

    prefix, noun, detail, remake = DUPLICATES, "search for duplicates", "run", "find its duplicates again"

    def _name(self, artifact: DuplicateRun) -> str:
        return GROUPS

    def _keyed(self, artifact: DuplicateRun, key: str) -> DuplicateRun:
        return replace(artifact.numbered(key), created_at=now())

    def _encode(self, artifact: DuplicateRun) -> tuple[dict[str, Any], Arrays]:
        return asdict(artifact), {}

    def _decode(self, tree: dict[str, Any], arrays: Arrays) -> DuplicateRun:
        groups = tuple(map(DuplicateGroup.from_json, tree.pop("groups")))
        return DuplicateRun(groups=groups, **tree)

    def _note(self, artifact: DuplicateRun) -> int:
        return artifact.rule

    def _free_key(self, name: str, taken: set[str]) -> str:
        """Return a key that no run had before: people may still hold ids of its groups."""
        return f"{name}-{max((number_of(key) for key in taken if key), default=0) + 1}"

    def _unknown(self, category: str, name: str, entries: Mapping[str, Entry]) -> NotFound:
        return NotFound(
            f"Nobody has looked for duplicates in category {category!r} yet: find them first.",
            category=category,
        )

    def next_key(self, category: str) -> str:
        """Return the key that the next run will have."""
        return self._free_key(GROUPS, self._taken(category, GROUPS))

    def current(self, category: str) -> DuplicateRun | None:
        """Return the run in service; None before the first."""
        return self.get(category) if self.entries(category) else None

    def get(self, category: str, name: str = GROUPS) -> DuplicateRun:
        """Return the run in service. ``NotFound`` before the first."""
        return super().get(category, name)

    def current_key(self, category: str) -> str | None:
        """Return the key of the run in service; None before the first."""
        entry = self.entries(category).get(GROUPS)
        return None if entry is None else entry.key

    def collapsing_key(self, category: str) -> str | None:
        """Return the same, unless its groups were found by an earlier rule, which held other pictures to be
        copies."""
        entry = self.entries(category).get(GROUPS)
        return None if entry is None or entry.note != RULE else entry.key

    def dismissed(self, category: str) -> set[Pair]:
        """Return the pairs that are no duplicates, whatever they look like."""
        key = self._dismissed_key(category)
        return self._known.read(key, lambda data: self._pairs(category, data)) or set()

    def dismiss(self, category: str, pairs: Iterable[Pair]) -> int:
        """Remember pairs, in any order, as no duplicates; return how many are remembered now."""
        new, key = {ordered(*pair) for pair in pairs}, self._dismissed_key(category)

        def added(data: bytes | None) -> bytes:
            known = set() if data is None else self._pairs(category, data)
            return _remembered(known | new)

        self._known.put(key, edit(self._objects, key, added))
        return len(self.dismissed(category))

    def dismiss_no_more(self, category: str, pairs: Iterable[Pair]) -> None:
        """Forget that pairs were dismissed."""
        going, key = {ordered(*pair) for pair in pairs}, self._dismissed_key(category)

        def without(data: bytes | None) -> bytes:
            known = set() if data is None else self._pairs(category, data)
            return _remembered(known - going)

        self._known.put(key, edit(self._objects, key, without))

    def _dismissed_key(self, category: str) -> str:
        return f"{DUPLICATES}{category}/dismissed.json"

    def _pairs(self, category: str, data: bytes) -> set[Pair]:
        key = self._dismissed_key(category)
        tree = self._tree(category, key, data)
        with readable(category, key, self._advice):
            return {(one, other) for one, other in tree["pairs"]}


def _remembered(pairs: set[Pair]) -> bytes:
    return orjson.dumps(sealed({"format": FORMAT, "pairs": sorted(pairs)}))


def ordered(one: str, other: str) -> Pair:
    """Return the pair, the lesser id first."""
    return (one, other) if one < other else (other, one)


def group_of(value: object, key: str | None) -> str | None:
    """Return the group that the payload field ``duplicate_group`` names in the run ``key``; None if it names
    none.

    >>> group_of(["1-7", "2-3"], "groups-2"), group_of("1-7", "groups-2"), group_of("1-7", None)
    ('2-3', None, None)
    """
    if key is None:
        return None
    values: Sequence[object] = value if isinstance(value, list) else [value]
    start = f"{number_of(key)}-"
    return next((each for each in values if isinstance(each, str) and each.startswith(start)), None)
