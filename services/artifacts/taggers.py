"""Taggers: per tag one linear head on a stored embedding, and where the heads of a category are kept.

A head says ``score = sigmoid(slope * (weight . embedding + bias) + offset)`` in 0..1; slope and offset are
its calibration (Platt, 1999). What a category's taggers are now is one small object, written last: a
half-written training run is never seen.

    _taggers/<category>/current.json                 which version of each tag is in service
    _taggers/<category>/<version>.{safetensors,json}  the heads of one training run
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from vitrine.services.category.fields import QUALITY
from vitrine.services.category.payload import clean_name
from vitrine.services.domain import Embedding, Embeddings
from vitrine.services.errors import BadRequest, NotFound, TaggerMismatch
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.damage import readable
from vitrine.services.object_store.edits import edit
from vitrine.services.object_store.keys import TAGGERS
from vitrine.services.object_store.known import Known
from vitrine.services.values.field_paths import field_path
from vitrine.services.values.words import composed

DIGITS = 5
"""Decimal places of a stored score."""
_BIAS, _WEIGHT = "bias", "weight"
_POINTER = "current.json"
_ADVICE = (
    "Restore it from a backup, or remove the objects below `_taggers/` of that category and train its "
    "taggers again."
)

Scores = NDArray[np.float32]
"""(n, heads) in 0..1; row i belongs to embedding i, column j to head j."""


@dataclass(frozen=True, eq=False)
class TagHead:
    """A trained tagger: linear on the named vector ``using``, whose encoder has ``encoder_revision``.

    ``kind`` says how it was trained, such as logistic-regression. ``threshold`` in 0..1: from this score on
    the tag is proposed. ``number`` counts the training runs of its category, from 1 (0: saved before they
    were counted): it says which of two heads is the later one, which a clock that was set back cannot.
    ``trained_at`` is RFC 3339 in UTC. ``fingerprint`` is a digest of the examples. ``metrics`` and
    ``examples`` are for people.
    """

    tag: str
    kind: str
    using: str
    encoder_revision: str
    weight: Embedding
    bias: float
    slope: float = 1.0
    offset: float = 0.0
    threshold: float = 0.5
    trained_at: str = ""
    number: int = 0
    fingerprint: str = ""
    examples: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        """What ``scored_by`` says of a score of this head."""
        return f"{self.kind}@{self.trained_at}" + (f"#{self.number}" if self.number else "")

    @property
    def payload_field(self) -> str:
        """The payload field that the head fills."""
        return QUALITY if self.tag == QUALITY else field_path("scores", self.tag)

    def scores(self, embeddings: Embeddings) -> NDArray[np.float32]:
        """(n,) in 0..1 for embeddings (n, dim)."""
        return HeadSet([self]).scores(embeddings)[:, 0]


class HeadSet:
    """Heads on one named vector, scored by one matrix product. ``TaggerMismatch`` if they are on several."""

    def __init__(self, heads: Sequence[TagHead]) -> None:
        if len({(head.using, head.encoder_revision) for head in heads}) != 1:
            raise TaggerMismatch("The taggers are on different vectors: score those of one vector at a time.")
        self.heads = tuple(heads)
        self.using = heads[0].using
        self.tags = tuple(head.tag for head in heads)
        # the calibration is linear on the margin: it goes into weight and bias
        self._weight = np.stack([head.slope * head.weight for head in heads]).T.astype(np.float32)
        self._bias = np.array([head.slope * head.bias + head.offset for head in heads], np.float32)

    def scores(self, embeddings: Embeddings) -> Scores:
        """(n, heads) for embeddings (n, dim)."""
        margins = embeddings @ self._weight + self._bias
        scores: Scores = 0.5 * (1.0 + np.tanh(0.5 * margins))  # the logistic function, without overflow
        return scores


@dataclass(frozen=True)
class _Entry:
    """What ``current.json`` says of one tag. ``settled``: no image carries a score of this tag by anyone
    else."""

    version: str
    settled: bool


@dataclass(frozen=True)
class _Current:
    """``current.json``: what is in service by tag, and how many training runs the category has had."""

    entries: Mapping[str, _Entry] = field(default_factory=dict)
    runs: int = 0


class TaggerStore:
    """The taggers of all categories. Thread-safe; processes that share the object store see each other's
    changes."""

    def __init__(self, objects: ObjectStore, known: Known | None = None) -> None:
        self._objects = objects
        self._known = known or Known(objects)
        self._lock = threading.RLock()
        self._versions: dict[tuple[str, str], tuple[TagHead, ...]] = {}

    def in_service(self, category: str) -> tuple[TagHead, ...]:
        """The heads in service, by tag."""
        current = self._current(category).entries
        return tuple(self._head(category, tag, current[tag].version) for tag in sorted(current))

    def get(self, category: str, tag: str) -> TagHead:
        """``NotFound`` if the category has no tagger of that tag."""
        tag = composed(tag.strip())
        current = self._current(category).entries
        entry = current.get(tag)
        if entry is None:
            known = ", ".join(sorted(current)) or "none"
            raise NotFound(
                f"Category {category!r} has no tagger {tag!r}; it has: {known}.", category=category, tag=tag
            )
        return self._head(category, tag, entry.version)

    def unsettled(self, category: str) -> dict[str, str]:
        """Signature by tag, of the tags whose stored scores may still be another tagger's: queries leave
        those out."""
        current = self._current(category).entries
        return {
            tag: self._head(category, tag, entry.version).signature
            for tag, entry in current.items()
            if not entry.settled
        }

    def history(self, category: str, tag: str) -> list[TagHead]:
        """All versions of a tag's head that were ever saved, latest first."""
        prefix = f"{TAGGERS}{category}/"
        names = [stat.key[len(prefix) :].removesuffix(".json") for stat in self._objects.list(prefix)]
        versions = [name for name in names if "." not in name and name != "current"]
        found = (head for version in versions for head in self._version(category, version))
        return sorted(
            (head for head in found if head.tag == tag),
            key=lambda head: (head.number, head.trained_at),
            reverse=True,
        )

    def save(self, category: str, heads: Iterable[TagHead], *, scored: Iterable[str] = ()) -> list[TagHead]:
        """Put heads into service; the tags among ``scored`` may have scores by others in the payload.

        The heads as saved: ``trained_at`` is now, and ``number`` higher than that of every head before.
        ``BadRequest`` for a tag that cannot be a field's name.
        """
        given, stale = [replace(head, tag=clean_name(head.tag)) for head in heads], set(scored)
        if len({head.tag for head in given}) < len(given):
            raise BadRequest("A tag is there twice: one tagger each.")
        saved: list[TagHead] = []

        def put_in_service(current: _Current) -> _Current:
            moment, number = datetime.now(UTC).isoformat(timespec="milliseconds"), current.runs + 1
            saved[:] = [replace(head, trained_at=moment, number=number) for head in given]
            version, known = self._write_version(category, saved), current.entries
            entries = {
                head.tag: _Entry(version, head.tag not in known and head.tag not in stale) for head in saved
            }
            return _Current({**known, **entries}, number)

        if given:
            self._change(category, put_in_service)
        return saved

    def settle(self, category: str, heads: Iterable[TagHead]) -> None:
        """Note that no image has a score of these tags by others than these heads. Heads replaced meanwhile
        are passed over."""
        done = list(heads)

        def settle(current: _Current) -> _Current:
            entries = dict(current.entries)
            for head in done:
                entry = entries.get(head.tag)
                if entry and self._head(category, head.tag, entry.version).signature == head.signature:
                    entries[head.tag] = replace(entry, settled=True)
            return replace(current, entries=entries)

        self._change(category, settle)

    def delete(self, category: str, tag: str) -> None:
        """Take a tagger out of service. ``NotFound``. Its scores are the caller's to purge, before."""

        def delete(current: _Current) -> _Current:
            return replace(
                current, entries={name: entry for name, entry in current.entries.items() if name != tag}
            )

        self._known.forget(_key(category, _POINTER))
        tag = self.get(category, tag).tag
        self._change(category, delete)

    def forget(self, category: str) -> None:
        """Remember nothing of a category that was deleted."""
        self._known.forget(_key(category, _POINTER))
        for held in [held for held in list(self._versions) if held[0] == category]:
            self._versions.pop(held, None)

    def _current(self, category: str) -> _Current:
        return self._known.read(_key(category, _POINTER), lambda data: _parsed(category, data)) or _Current()

    def _change(self, category: str, change: Callable[[_Current], _Current]) -> None:
        def changed(data: bytes | None) -> bytes:
            current = change(_Current() if data is None else _parsed(category, data))
            entries = {tag: asdict(current.entries[tag]) for tag in sorted(current.entries)}
            return orjson.dumps({"format": 1, "taggers": entries, "runs": current.runs})

        key = _key(category, _POINTER)
        with self._lock:
            self._known.put(key, edit(self._objects, key, changed))

    def _head(self, category: str, tag: str, version: str) -> TagHead:
        heads = self._version(category, version)
        with readable(category, _key(category, version), _ADVICE):
            return {head.tag: head for head in heads}[tag]

    def _version(self, category: str, version: str) -> tuple[TagHead, ...]:
        """The heads of one training run; they never change, so they are read once."""
        key = (category, version)
        if key not in self._versions:
            from safetensors.numpy import load

            with readable(category, _key(category, version), _ADVICE):
                trees = orjson.loads(self._objects.get(_key(category, f"{version}.json")))["heads"]
                arrays = load(self._objects.get(_key(category, f"{version}.safetensors")))
                rows = zip(trees, arrays[_BIAS].tolist(), strict=True)
                self._versions[key] = tuple(
                    TagHead(weight=arrays[f"{_WEIGHT}.{number}"], bias=bias, **tree)
                    for number, (tree, bias) in enumerate(rows)
                )
        return self._versions[key]

    def _write_version(self, category: str, heads: Sequence[TagHead]) -> str:
        from safetensors.numpy import save

        arrays = {f"{_WEIGHT}.{number}": head.weight.astype(np.float32) for number, head in enumerate(heads)}
        data = save(arrays | {_BIAS: np.array([head.bias for head in heads], np.float64)})
        tree = orjson.dumps({"format": 1, "heads": [_to_json(head) for head in heads]})
        # of all that is written: another process may write a run of the same number at the same moment
        version = f"{heads[0].number:06d}-{hashlib.sha256(data + tree).hexdigest()[:8]}"
        self._objects.put(_key(category, f"{version}.safetensors"), data)
        self._objects.put(_key(category, f"{version}.json"), tree, media_type="application/json")
        return version


def _parsed(category: str, data: bytes) -> _Current:
    with readable(category, _key(category, _POINTER), _ADVICE):
        tree = orjson.loads(data)
        return _Current(
            {tag: _Entry(**entry) for tag, entry in tree["taggers"].items()}, int(tree.get("runs", 0))
        )


def _to_json(head: TagHead) -> dict[str, Any]:
    tree = {name: value for name, value in vars(head).items() if name not in (_WEIGHT, _BIAS)}
    return tree | {"examples": dict(head.examples), "metrics": dict(head.metrics)}


def _key(category: str, name: str) -> str:
    return f"{TAGGERS}{category}/{name}"
