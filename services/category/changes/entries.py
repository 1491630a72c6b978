"""What can be undone: for each change an object under ``_undo/<category>/``, kept for 24 hours; for one of
several steps an object a step.

It is written before the change is made, so that a kill leaves no change without it; what it says of an image
that the kill spared counts for nothing, since only what is still as the change left it is taken back.
"""

from __future__ import annotations

import gzip
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from vitrine.services.category.changes.differences import (
    TAG_LISTS,
    Difference,
    difference,
    difference_from_json,
)
from vitrine.services.category.manifest import NAME
from vitrine.services.errors import NotFound
from vitrine.services.object_store.base import ObjectStore, list_keys
from vitrine.services.object_store.damage import check_format, readable
from vitrine.services.object_store.keys import UNDO

LIFETIME = timedelta(hours=24)
"""For how long a change can be undone, and a deleted image waits in the bin."""
MAX_ENTRIES = 10_000
"""Objects of one category: where there are more, the oldest go first, however young."""
FORMAT = 1
_ADVICE = "It only takes back a change: that change stays."
STAMP = re.compile(r"\d{8}T\d{9}-[0-9a-f]{16}")
"""What names of entries are, and how names of objects of the bin begin: a moment, and random digits."""

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Undo:
    """How a change is taken back: by its ``token``, until ``expires_at`` (RFC 3339)."""

    token: str
    expires_at: str


def undo_json(undo: Undo | None) -> dict[str, str] | None:
    """Return a JSON object of it; None where nothing was changed."""
    return None if undo is None else {"token": undo.token, "expires_at": undo.expires_at}


@dataclass(eq=False)
class Edits:
    """What an edit did, by image. Images with equal differences share the text of it."""

    made: dict[str, bytes] = field(default_factory=dict)
    _texts: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def between(cls, changes: Iterable[tuple[Mapping[str, Any], Mapping[str, Any], str]]) -> Edits:
        """Return what became of images: of each its payload before and after, and its id."""
        edits = cls()
        for before, after, id in changes:
            if made := difference(before, after):
                edits.note(id, made)
        return edits

    def note(self, id: str, made: Difference) -> bool:
        """Hold what was done to an image, and return whether that is news."""
        text = orjson.dumps(made.to_json())
        if self.made.get(id) == text:
            return False
        self.made[id] = self._texts.setdefault(text, text)
        return True

    def of(self, id: str) -> Difference:
        """Return what was done to an image."""
        return difference_from_json(orjson.loads(self.made[id]))

    @property
    def fields(self) -> tuple[str, ...]:
        """The payload fields that were changed, with those that may not contradict them."""
        own = {name for text in self._texts for name in difference_from_json(orjson.loads(text)).fields}
        return tuple(sorted({*own, *TAG_LISTS} if own & set(TAG_LISTS) else own))

    def to_json(self) -> dict[str, Any]:
        alike: dict[bytes, list[str]] = {}
        for id, text in self.made.items():
            alike.setdefault(text, []).append(id)
        return {"edits": [[orjson.loads(text), ids] for text, ids in alike.items()]}


@dataclass(frozen=True)
class Deletion:
    """Images that were put into the bin, in objects whose names begin with ``name``."""

    name: str

    def to_json(self) -> dict[str, Any]:
        return {"deletion": self.name}


@dataclass(eq=False)
class Restoration:
    """Images that were taken out of the bin, each with a digest of what people had said of it."""

    digests: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"restoration": self.digests}


@dataclass(frozen=True)
class Other:
    """A step that another part of Vitrine made and can take back: its ``kind``, and what that part needs to
    know, as JSON."""

    kind: str
    data: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"other": self.kind, "data": self.data}


Step = Edits | Deletion | Restoration | Other


class Record:
    """The steps of one change, which are undone together."""

    def __init__(self, objects: ObjectStore, category: str, moment: datetime) -> None:
        self.category = category
        self.name = new_name(moment)
        self.steps: list[Step] = []
        self._objects, self._moment = objects, moment

    def save(self, step: Step) -> None:
        """Write a step, in place of what was written of it before."""
        number = next((number for number, each in enumerate(self.steps) if each is step), len(self.steps))
        if number == len(self.steps):
            self.steps.append(step)
        data = gzip.compress(orjson.dumps({"format": FORMAT, **step.to_json()}), 5, mtime=0)
        key = f"{_prefix(self.category, self.name)}{number:05d}"
        self._objects.put(key, data, media_type="application/gzip")

    @property
    def undo(self) -> Undo | None:
        """How the change is taken back; None where nothing was changed."""
        if not self.steps:
            return None
        expires = self._moment + LIFETIME
        return Undo(f"{self.category}.{self.name}", expires.isoformat(timespec="seconds"))


class UndoEntries:
    """The changes of all categories that can be undone."""

    def __init__(self, objects: ObjectStore, clock: Clock) -> None:
        self._objects, self._clock = objects, clock

    def new(self, category: str) -> Record:
        """Return a record without steps; nothing is written yet."""
        return Record(self._objects, category, self._clock())

    def read(self, token: str) -> list[Step]:
        """Return the steps behind a token, in the order in which they were made. ``NotFound``."""
        category, name = parse_token(token)
        if self._clock() - moment_of(name) >= LIFETIME:
            raise _nothing(token)
        keys = list_keys(self._objects, _prefix(category, name))
        if not keys or not keys[0].endswith(".00000"):  # it goes first: without it the token was used
            raise _nothing(token)
        return [self._read(category, key) for key in keys]

    def remove(self, token: str) -> None:
        """Forget a change: it was undone."""
        for key in list_keys(self._objects, _prefix(*parse_token(token))):
            self._objects.delete(key)

    def _read(self, category: str, key: str) -> Step:
        with readable(category, key, _ADVICE):
            tree = orjson.loads(gzip.decompress(self._objects.get(key)))
            check_format(tree["format"], FORMAT, f"The object {key!r}", _ADVICE, category=category)
            return _step(tree)

    def sweep(self, category: str) -> None:
        """Remove what is older than 24 hours, and the oldest where there are more than 10,000."""
        keys = list_keys(self._objects, f"{UNDO}{category}/")
        named = [(key, name) for key in keys if STAMP.match(name := key.rpartition("/")[2])]
        for number, (key, name) in enumerate(named):
            if number < len(named) - MAX_ENTRIES or self._clock() - moment_of(name) >= LIFETIME:
                self._objects.delete(key)


def new_name(moment: datetime) -> str:
    """Return a name that nothing else has, and that sorts by its moment."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}-{secrets.token_hex(8)}"


def moment_of(name: str) -> datetime:
    """Return the moment of a name that begins as ``new_name`` wrote it."""
    return datetime.strptime(name[:18] + "000", "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)


def parse_token(token: str) -> tuple[str, str]:
    """Return the category and the name in a token. ``NotFound`` for what is no token."""
    category, _, name = token.partition(".")
    if not NAME.fullmatch(category) or not STAMP.fullmatch(name):
        raise _nothing(token)
    return category, name


def batched(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yield the ids in slices of at most ``size``."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _step(tree: Mapping[str, Any]) -> Step:
    if "deletion" in tree:
        return Deletion(str(tree["deletion"]))
    if "restoration" in tree:
        return Restoration(dict(tree["restoration"]))
    if "other" in tree:
        return Other(str(tree["other"]), tree["data"])
    edits = Edits()
    for text, ids in tree["edits"]:
        made = difference_from_json(text)
        for id in ids:
            edits.note(id, made)
    return edits


def _prefix(category: str, name: str) -> str:
    return f"{UNDO}{category}/{name}."


def _nothing(token: str) -> NotFound:
    return NotFound(
        "There is nothing to undo under this token: it was used already, or is older than 24 hours.",
        token=token[:200],
    )
