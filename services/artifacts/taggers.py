"""Taggers: per tag one linear head on a stored embedding, and the heads that each category has.

A head says ``score = sigmoid(slope * (weight . embedding + bias) + offset)`` in 0..1; slope and offset are
its calibration (Platt, 1999). The heads of one training run are stored together
(``_taggers/<category>/heads-7/``), and each tag has its own entry in ``current.json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from vitrine.services.artifacts.store import (
    Arrays,
    ArtifactStore,
    Entries,
    Entry,
    new_revision,
    now,
    number_of,
)
from vitrine.services.category.fields import QUALITY
from vitrine.services.category.payload import clean_name
from vitrine.services.domain import Embedding, Embeddings
from vitrine.services.errors import BadRequest, NotFound, TaggerMismatch
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.keys import TAGGERS
from vitrine.services.object_store.known import Known
from vitrine.services.values.field_paths import field_path
from vitrine.services.values.words import composed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGITS = 5
"""Decimal places of a stored score."""
_WEIGHT, _RUN = "weight", "heads"

Scores: TypeAlias = "NDArray[np.float32]"
"""(n, heads) in 0..1; row i belongs to embedding i, column j to head j."""


@dataclass(frozen=True, eq=False)
class TagHead:
    """A trained tagger: a linear head on the named vector ``using``, whose encoder has ``encoder_revision``.

    ``kind`` says how it was trained, such as logistic-regression. ``threshold`` in 0..1: from this score on
    the tag is proposed. ``number`` counts the training runs of its category, from 1 (0: not saved): it
    says which of two heads is the later one, which a clock that was set back cannot.
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
        return score_field(self.tag)

    def scores(self, embeddings: Embeddings) -> NDArray[np.float32]:
        """Return the scores (n,) in 0..1 for embeddings (n, dim)."""
        return HeadSet([self]).scores(embeddings)[:, 0]


class HeadSet:
    """Heads on one named vector, which one matrix product scores. ``TaggerMismatch`` if they are on
    several."""

    def __init__(self, heads: Sequence[TagHead]) -> None:
        import numpy as np

        if len({(head.using, head.encoder_revision) for head in heads}) != 1:
            raise TaggerMismatch("The taggers are on different vectors: score by one vector at a time.")
        self.heads = tuple(heads)
        self.using = heads[0].using
        self.tags = tuple(head.tag for head in heads)
        # the calibration is linear on the margin: it goes into weight and bias
        self._weight = np.stack([head.slope * head.weight for head in heads]).T.astype(np.float32)
        self._bias = np.array([head.slope * head.bias + head.offset for head in heads], np.float32)

    def scores(self, embeddings: Embeddings) -> Scores:
        """Return the scores (n, heads) in 0..1 for embeddings (n, dim)."""
        import numpy as np

        margins = embeddings @ self._weight + self._bias
        scores: Scores = 0.5 * (1.0 + np.tanh(0.5 * margins))  # the logistic function, without overflow
        return scores


Heads = dict[str, TagHead]
"""The heads of one training run, by tag."""


class _TrainingRuns(ArtifactStore[Heads]):
    """The heads that were saved together. All of them stay: they are the history of their tags."""

    prefix, noun, detail, remake = TAGGERS, "tagger", "tag", "train its taggers again"

    def _name(self, artifact: Heads) -> str:
        return _RUN

    def _keyed(self, artifact: Heads, key: str) -> Heads:
        moment, number = now(), number_of(key)
        return {tag: replace(head, trained_at=moment, number=number) for tag, head in artifact.items()}

    def _encode(self, artifact: Heads) -> tuple[dict[str, Any], Arrays]:
        trees, weights = [], {}
        for row, head in enumerate(artifact.values()):
            trees.append({name: value for name, value in vars(head).items() if name != _WEIGHT})
            weights[f"{_WEIGHT}.{row}"] = head.weight.astype("float32")
        return {"heads": trees}, weights

    def _decode(self, tree: dict[str, Any], arrays: Arrays) -> Heads:
        heads = enumerate(tree["heads"])
        return {head["tag"]: TagHead(weight=arrays[f"{_WEIGHT}.{row}"], **head) for row, head in heads}


class TaggerStore:
    """The taggers of all categories: by tag the head in service, and all that were there before.

    Thread-safe; processes that share the object store see each other's changes after a second.
    """

    def __init__(self, objects: ObjectStore, known: Known | None = None) -> None:
        self._runs = _TrainingRuns(objects, known)
        self._former: dict[tuple[str, str], tuple[datetime, Heads]] = {}

    def in_service(self, category: str) -> tuple[TagHead, ...]:
        """Return the heads in service, by tag."""
        return tuple(self._there(category, sorted(self._runs.entries(category))))

    def get(self, category: str, tag: str) -> TagHead:
        """Return the head of a tag. ``NotFound`` if the category has no tagger of it."""
        tag = composed(tag.strip())
        return self._runs.get(category, tag)[tag]

    def unsettled(self, category: str) -> dict[str, str]:
        """Return the signature by tag, of the tags whose stored scores may still be another tagger's: queries
        leave those out."""
        entries = self._runs.entries(category)
        tags = [tag for tag, entry in entries.items() if not entry.note]
        return {head.tag: head.signature for head in self._there(category, tags)}

    def history(self, category: str, tag: str) -> list[TagHead]:
        """Return all heads of a tag that were ever saved, latest first."""
        found = []
        for key, written in self._runs.written(category, _RUN).items():
            held = self._former.get((category, key))
            if held is None or held[0] != written:  # they never change, so they are read once
                held = self._former[category, key] = written, self._runs.read(category, key)
            found += [head for head in held[1].values() if head.tag == tag]
        return sorted(found, key=lambda head: -head.number)

    def save(self, category: str, heads: Iterable[TagHead], *, scored: Iterable[str] = ()) -> list[TagHead]:
        """Put heads into service; the tags among ``scored`` may have scores by others in the payload.

        Returns them as saved: ``trained_at`` is now, and ``number`` higher than the number of any head
        before. ``BadRequest`` for a tag that cannot be a field's name.
        """
        named, stale = [replace(head, tag=clean_name(head.tag)) for head in heads], set(scored)
        given = {head.tag: head for head in named}
        if len(given) < len(named):
            raise BadRequest("A tag is there twice: one tagger each.")
        if not given:
            return []
        saved = list(self._runs.save(category, given).values())
        key, revision = _key(saved[0]), new_revision()

        def put_in_service(present: Entries) -> Entries:
            settled = {tag: tag not in present and tag not in stale for tag in given}
            return {**present, **{tag: Entry(key, revision, note) for tag, note in settled.items()}}

        self._runs.change(category, put_in_service)
        return saved

    def settle(self, category: str, heads: Iterable[TagHead]) -> None:
        """Note that no image has a score of these tags by others than these heads. Heads replaced meanwhile
        are passed over."""
        done = {head.tag: _key(head) for head in heads}

        def settle(present: Entries) -> Entries:
            return {
                tag: replace(entry, note=True) if done.get(tag) == entry.key else entry
                for tag, entry in present.items()
            }

        self._runs.change(category, settle)

    def delete(self, category: str, tag: str) -> None:
        """Take a tagger out of service. ``NotFound``. The caller removes its scores first."""
        self._runs.withdraw(category, composed(tag.strip()))

    def forget(self, category: str) -> None:
        """Remember nothing of a category that was deleted."""
        self._runs.forget(category)
        self._former = {held: heads for held, heads in self._former.items() if held[0] != category}

    def _there(self, category: str, tags: Iterable[str]) -> list[TagHead]:
        """Return the heads of these tags, without heads that were withdrawn this moment."""
        found = []
        for tag in tags:
            with suppress(NotFound):
                found.append(self._runs.get(category, tag)[tag])
        return found


def score_field(tag: str) -> str:
    """Return the payload field that the tagger of ``tag`` fills."""
    return QUALITY if tag == QUALITY else field_path("scores", tag)


def _key(head: TagHead) -> str:
    """Return the key that a saved head lies under."""
    return f"{_RUN}-{head.number}"
