"""The journal of a category: what cannot be found out from its pictures again, in the object store.

    _journal/<category>/<level>/<moment>-<random>     a head and lines of JSON, one an image

A line says of one image which fields were set and which are gone, or that the image was deleted; read in
order of their moments the lines give the last state of each. A segment is written before what it says is
acknowledged. Where a level has 16 segments they become one of the next, with the last state of each image:
there are never more than some dozens, and a line is written again a few times at most.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from vitrine.services.category.changes.entries import moment_of, new_name
from vitrine.services.category.fields import FIELDS, FROM_TABLE, QUALITY
from vitrine.services.errors import NotFound, StoreDamaged
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.damage import check_format, readable
from vitrine.services.object_store.keys import JOURNAL
from vitrine.services.values.field_paths import path_keys

if TYPE_CHECKING:
    from vitrine.services.domain import Payload

FORMAT: Final = 1
SEGMENTS_OF_A_LEVEL: Final = 16
KEPT: Final = frozenset(
    {
        *(each.family or each.name for each in FIELDS if each.set_by in ("people", "edits")),
        *("source", "filename", "urls", "created_at", "indexed_at", "scores"),
    }
)
"""The fields that no picture tells: what people said, and where and when the picture came from; of the scores
those that a table gave."""
_FAMILIES: Final = frozenset(each.family for each in FIELDS if each.family)
_ADVICE: Final = (
    "What it says is still on the images: `vitrine check --repair` writes it again. Where the images are "
    "lost too, tags and the like of some are lost."
)


@dataclass(frozen=True)
class Line:
    """What became of one image. ``set``: fields, those of families by key. ``unset``: paths of fields. A
    line that is ``gone`` says that the image was deleted; one that is ``whole`` forgets what was before."""

    id: str
    set: Payload = field(default_factory=dict)
    unset: tuple[tuple[str, ...], ...] = ()
    gone: bool = False
    whole: bool = False

    def __bool__(self) -> bool:
        return bool(self.set or self.unset or self.gone or self.whole)

    def to_json(self) -> dict[str, Any]:
        tree: dict[str, Any] = {"id": self.id}
        tree |= {"set": self.set} if self.set else {}
        tree |= {"unset": self.unset} if self.unset else {}
        tree |= {"gone": True} if self.gone else {}
        return tree | ({"whole": True} if self.whole else {})


def whole_line(id: str, payload: Mapping[str, Any]) -> Line:
    """Return the line of an image as it is now."""
    return Line(id, kept(payload), whole=True)


def changed_line(id: str, changes: Mapping[str, Any], gone: Iterable[str] = ()) -> Line:
    """Return the line of an image whose payload fields ``changes`` were set, and whose field paths ``gone``
    were removed."""
    paths = [tuple(path_keys(path)) for path in gone]
    return Line(id, kept(changes), tuple(path for path in paths if path[0] in KEPT))


def kept(payload: Mapping[str, Any]) -> Payload:
    """Return those fields of a payload that the journal has; the quality and the scores not where a tagger
    gave them, or where ``scored_by`` is not among the fields."""
    scored_by = payload.get("scored_by") or {}
    found = {name: value for name, value in payload.items() if name in KEPT}
    if QUALITY in scored_by:
        found.pop(QUALITY, None)
    if scores := found.pop("scores", None):
        scores = {tag: score for tag, score in scores.items() if scored_by.get(tag) == FROM_TABLE}
        found |= {"scores": scores} if scores else {}
    return found


def digest(said: Mapping[str, Any]) -> bytes:
    """Return a digest of kept fields: two are equal where they say the same."""
    some = {name: value for name, value in said.items() if value not in (None, [], {}, ())}
    return hashlib.blake2b(orjson.dumps(some, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


class Journal:
    """The journals of all categories. Thread-safe; of one category its writers take turns."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self._latest = datetime.fromtimestamp(0, UTC)
        self._written: Counter[str] = Counter()

    def write(self, category: str, lines: Iterable[Line]) -> None:
        """Append lines, durably. Lines that say nothing are left out."""
        said = [line.to_json() for line in lines if line]
        if said:
            self._put(category, 0, new_name(self._next_moment()), said)
            with self._lock:
                self._written[category] += 1
                due = self._written[category] % (SEGMENTS_OF_A_LEVEL // 2) == 1  # a list costs a request
            if due:
                self._compact(category, 0)

    def read(self, category: str, *, damaged: list[str] | None = None) -> dict[str, Payload | None]:
        """Return the last state of each image by id: its kept fields, None for one that was deleted.

        ``StoreDamaged`` for a segment that is not as it was written; with ``damaged`` its key is put there,
        and what the others say is returned.
        """
        state: dict[str, Payload | None] = {}
        for key in self.segments(category):
            try:
                for line in self._lines(category, key):
                    _follow(state, line)
            except NotFound:  # another process has made one of several
                return self.read(category, damaged=damaged)
            except StoreDamaged:
                if damaged is None:
                    raise
                damaged.append(key)
        return state

    def segments(self, category: str) -> list[str]:
        """Return the keys of the segments, oldest first."""
        keys = [stat.key for stat in self._objects.list(f"{JOURNAL}{category}/")]
        return sorted(keys, key=lambda key: key.rpartition("/")[2])

    def write_whole(self, category: str, payloads: Mapping[str, Mapping[str, Any]]) -> None:
        """Append the whole state of these images, by id."""
        self.write(category, [whole_line(id, payload) for id, payload in payloads.items()])

    def _next_moment(self) -> datetime:
        """Return the time, after that of any other segment that this process has written: their names sort
        by milliseconds."""
        with self._lock:
            self._latest = max(datetime.now(UTC), self._latest + timedelta(milliseconds=1))
            return self._latest

    def _put(self, category: str, level: int, name: str, said: list[dict[str, Any]]) -> None:
        body = b"\n".join(orjson.dumps(tree) for tree in said)
        head = {"format": FORMAT, "lines": len(said), "sha256": hashlib.sha256(body).hexdigest()}
        key = f"{JOURNAL}{category}/{level}/{name}"
        self._objects.put(key, orjson.dumps(head) + b"\n" + body, media_type="application/jsonl")

    def _lines(self, category: str, key: str) -> Iterator[dict[str, Any]]:
        data = self._objects.get(key)
        with readable(category, key, _ADVICE):
            first, _, body = data.partition(b"\n")
            head = orjson.loads(first)
            check_format(head["format"], FORMAT, f"The object {key!r}", _ADVICE, category=category)
            if hashlib.sha256(body).hexdigest() != head["sha256"]:
                raise ValueError("it is not as it was written")
            return iter([orjson.loads(line) for line in body.split(b"\n")])

    def _compact(self, category: str, level: int) -> None:
        """Make one segment of those of a level, where there are many: first the one, then the others go. A
        kill between leaves lines twice, which say the same."""
        keys = [stat.key for stat in self._objects.list(f"{JOURNAL}{category}/{level}/")]
        if len(keys) < SEGMENTS_OF_A_LEVEL:
            return
        state: dict[str, dict[str, Any]] = {}
        try:
            for key in keys:
                for line in self._lines(category, key):
                    state[line["id"]] = _joined(state.get(line["id"]), line)
        except (NotFound, StoreDamaged):  # another process was faster; or a check will name it
            return
        # at the latest of their moments: what is written meanwhile comes after it
        latest = moment_of(keys[-1].rpartition("/")[2])
        self._put(category, level + 1, new_name(latest), list(state.values()))
        for key in keys:
            self._objects.delete(key)
        self._compact(category, level + 1)


def _joined(former: dict[str, Any] | None, line: dict[str, Any]) -> dict[str, Any]:
    """Return one line that says what two say one after the other.

    >>> _joined({"id": "a", "set": {"class": "mug"}}, {"id": "a", "unset": [["class"]]})
    {'id': 'a', 'unset': [['class']]}
    """
    if former is None or line.get("whole") or line.get("gone"):
        return line
    said: Payload = dict(former.get("set", {}))
    unset = [list(path) for path in former.get("unset", [])]
    for path in line.get("unset", []):
        _remove(said, path)
        unset = [other for other in unset if other != list(path)] + [list(path)]
    for name, value in line.get("set", {}).items():
        said[name] = {**said.get(name, {}), **value} if name in _FAMILIES else value
        keys = [[name, key] for key in value] if name in _FAMILIES else [[name]]
        unset = [path for path in unset if path not in keys]
    tree: dict[str, Any] = {"id": line["id"]}
    tree |= {"set": said} if said else {}
    tree |= {"unset": unset} if unset else {}
    fresh = former.get("whole") or former.get("gone")
    return tree | ({"whole": True} if fresh else {})


def _follow(state: dict[str, Payload | None], line: Mapping[str, Any]) -> None:
    """Bring the state of the image of a line up to date."""
    if line.get("gone"):
        state[line["id"]] = None
        return
    said: Payload = {} if line.get("whole") else dict(state.get(line["id"]) or {})
    for path in line.get("unset", ()):
        _remove(said, path)
    for name, value in line.get("set", {}).items():
        said[name] = {**said.get(name, {}), **value} if name in _FAMILIES else value
    state[line["id"]] = said


def _remove(said: Payload, path: Iterable[str]) -> None:
    name, *key = path
    if not key:
        said.pop(name, None)
    elif name in said:
        said[name] = {other: value for other, value in said[name].items() if other != key[0]}
