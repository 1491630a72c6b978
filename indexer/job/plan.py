"""What one batch writes, worked out before anything is written."""

from __future__ import annotations

from datetime import UTC, datetime

from vitrine.indexer.job.conflicts import conflicts
from vitrine.indexer.job.items import Item
from vitrine.indexer.job.payloads import additions, new_payload
from vitrine.indexer.job.report import Outcome
from vitrine.services.category.payload import index_kinds
from vitrine.services.domain import Embedding, IndexKind, Payload


class BatchPlan:
    """What a batch writes: whole new points, and new fields and vectors of points that are stored already.

    ``unsaid``, by id: field paths at which these take the place of what people had said.
    """

    def __init__(self, category: str, stored: dict[str, Payload], overwrite: bool = False) -> None:
        self.payloads = dict(stored)
        self.points: list[str] = []
        self.vectors: dict[str, dict[str, Embedding]] = {}
        self.changes: dict[str, Payload] = {}
        self.unsaid: dict[str, tuple[str, ...]] = {}
        self._category = category
        self._overwrite = overwrite
        self._firsts: dict[str, Item] = {}
        self._now = datetime.now(UTC).isoformat(timespec="milliseconds")

    def add(self, item: Item) -> Outcome:
        """Add one image. The second one with the same bytes is merged into the first, and their
        contradictions are noted."""
        self._firsts.setdefault(item.id, item)
        old, said = self.payloads.get(item.id), item.said
        if old is None and item.facts is not None:
            self.payloads[item.id] = new_payload(self._category, item.record, said, item.facts, self._now)
            self.points.append(item.id)
            self.vectors[item.id] = item.vectors
            return "added"
        assert old is not None  # _complete decoded it, or it was refused
        changes = additions(old, said, overwrite=self._overwrite)
        self.payloads[item.id] = {**old, **changes}
        item.conflicts = conflicts(item.record.filename, said, self.payloads[item.id])
        self.vectors.setdefault(item.id, {}).update(item.vectors)
        if changes and item.id not in self.points:
            self.changes[item.id] = {**self.changes.get(item.id, {}), **changes}
        return "updated" if item.vectors or (changes and item.id not in self.points) else "known"

    def set(self, id: str, fields: Payload, unsaid: tuple[str, ...] = ()) -> None:
        """Set more fields on an image of the plan. ``unsaid``: see there."""
        if unsaid:
            self.unsaid[id] = (*self.unsaid.get(id, ()), *unsaid)
        if fields:
            self.payloads[id] = {**self.payloads[id], **fields}
            if id not in self.points:
                self.changes[id] = {**self.changes.get(id, {}), **fields}

    def firsts(self) -> list[Item]:
        """Return one item for each image, with its bytes."""
        return list(self._firsts.values())

    @property
    def kinds(self) -> dict[str, IndexKind]:
        """Return the payload indexes that the written fields need, by field path."""
        payloads = (*(self.payloads[id] for id in self.points), *self.changes.values())
        return {field: kind for payload in payloads for field, kind in index_kinds(payload).items()}

    def missing(self) -> dict[str, dict[str, Embedding]]:
        """Return the vectors to set on points that are stored already, by named vector, then id."""
        rows: dict[str, dict[str, Embedding]] = {}
        for id, vectors in self.vectors.items():
            for using, vector in vectors.items():
                if id not in self.points:
                    rows.setdefault(using, {})[id] = vector
        return rows
