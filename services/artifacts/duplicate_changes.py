"""How what people decide on groups of near-duplicates is taken back: the groups are put back that are still
as they were left, and pairs that were dismissed are dismissed no more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vitrine.services.artifacts.duplicates import FIELD, DuplicateGroup, DuplicateRun, DuplicateStore, Pair
from vitrine.services.category.catalog import Catalog
from vitrine.services.category.changes.entries import Other, Record
from vitrine.services.category.changes.outcomes import TakenBack
from vitrine.services.domain import Payload
from vitrine.services.vector_store.base import VectorStore

KIND = "duplicates"


@dataclass(frozen=True)
class GroupChange:
    """One group ``before`` and ``after``; None where there is none of its id."""

    id: str
    before: DuplicateGroup | None
    after: DuplicateGroup | None

    @property
    def ids(self) -> list[str]:
        """All images of both."""
        both = [group.ids for group in (self.before, self.after) if group is not None]
        return list(dict.fromkeys(id for ids in both for id in ids))

    def turned(self) -> GroupChange:
        """Return the change that takes this one back."""
        return GroupChange(self.id, self.after, self.before)


def note(
    record: Record,
    run: DuplicateRun,
    before: DuplicateGroup,
    after: DuplicateGroup,
    dismissed: Collection[Pair] = (),
) -> None:
    """Save in the record that a group of the run changes, before it does. A group of fewer than two members
    goes. ``dismissed``: the pairs that are dismissed, and were not before."""
    change = GroupChange(before.id, before, after if len(after.members) > 1 else None)
    record.save(_step(run.key, [change], dismissed, {"dismissed": True}))


@dataclass(frozen=True, eq=False)
class DuplicateChanges:
    """Takes decisions on groups back."""

    catalog: Catalog
    vectors: VectorStore
    store: DuplicateStore

    def take_back(self, record: Record, step: Other) -> TakenBack:
        """Put the groups back that are as the decision left them; of a run that was replaced since, none."""
        category, data = record.category, step.data
        changes = [_read(tree) for tree in data["groups"]]
        pairs = [(one, other) for one, other in data["pairs"]]
        run = self.store.current(category)
        there = {} if run is None or run.key != data["run"] else {group.id: group for group in run.groups}
        same_run = run is not None and run.key == data["run"]
        going = [change for change in changes if same_run and there.get(change.id) == change.after]
        kept = [id for change in changes if change not in going for id in change.ids]
        turned = [change.turned() for change in going]
        record.save(_step(data["run"], turned, pairs, {"dismissed": not data["dismissed"]}))
        if data["dismissed"]:
            self.store.dismiss_no_more(category, pairs)
        else:
            self.store.dismiss(category, pairs)
        if going:
            self._put_back(category, data["run"], turned)
        return TakenBack([id for change in going for id in change.ids], kept)

    def _put_back(self, category: str, key: str, changes: Sequence[GroupChange]) -> None:
        def put(present: DuplicateRun) -> DuplicateRun:
            groups = {group.id: group for group in present.groups}
            for change in changes:
                if change.after is None:
                    groups.pop(change.id, None)
                else:
                    groups[change.id] = change.after
            in_order = sorted(groups.values(), key=lambda group: int(group.id.partition("-")[2]))
            return replace(present, groups=tuple(in_order))

        self.store.update(category, key, put)
        pictures: dict[str, str] = {}
        for change in changes:
            pictures |= change.after.same_pictures() if change.after else {}
        ids = [id for change in changes for id in change.ids]
        with self.catalog.writing(category):
            hits = self.vectors.retrieve(category, ids, with_payload=False)
            present = [hit.id for hit in hits if hit is not None]
            named: dict[str, Payload] = {id: {FIELD: pictures[id]} for id in present if id in pictures}
            others = [id for id in present if id not in pictures]
            if named:
                self.vectors.set_payload(category, named)
            if others:
                self.vectors.delete_payload(category, others, [FIELD])


def _step(
    run: str, changes: Sequence[GroupChange], pairs: Collection[Pair], more: Mapping[str, Any]
) -> Other:
    groups = [
        [change.id, *(group and asdict(group) for group in (change.before, change.after))]
        for change in changes
    ]
    return Other(KIND, {"run": run, "groups": groups, "pairs": sorted(pairs), **more})


def _read(tree: Sequence[Any]) -> GroupChange:
    id, *groups = tree
    before, after = (None if group is None else DuplicateGroup.from_json(group) for group in groups)
    return GroupChange(id, before, after)
