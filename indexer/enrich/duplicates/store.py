"""Put groups in service and withdraw them: files first, then the payload, then the pointer to the current
run.

While a run is written, its images carry its group next to the group of the run before: a list of two ids, of
which queries use the one in service. So nobody sees half of a run, whenever it is killed; what a killed run
left the next one removes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from vitrine.indexer.job.payload_writer import PAGE, Change, PayloadWriter, revise
from vitrine.services.artifacts.duplicates import FIELD, GROUPS, DuplicateGroup, DuplicateRun
from vitrine.services.domain import Hit
from vitrine.services.filters.conditions import Filter, IsEmpty
from vitrine.services.runtime import Runtime


def commit(runtime: Runtime, category: str, run: DuplicateRun) -> DuplicateRun:
    """Put a run in service in place of the one before, and return it as it was saved."""
    store = runtime.duplicates
    run = store.save(category, run)
    mark(runtime, category, run)
    store.put_in_service(category, run.key)
    sweep(runtime, category, run)
    for key in store.leftovers(category, GROUPS):
        store.remove(category, key)
    return run


def mark(runtime: Runtime, category: str, run: DuplicateRun) -> None:
    """Write to the copies in a run which group they are in, next to what is there."""
    groups = _pictures(run)
    ids, writer = list(groups), PayloadWriter(runtime, category)
    for start in range(0, len(ids), PAGE):
        with writer.page():
            hits = _there(runtime, category, ids[start : start + PAGE])
            writer.write({hit.id: Change({FIELD: _beside(hit, groups[hit.id])}) for hit in hits})
    writer.flush()


def sweep(runtime: Runtime, category: str, run: DuplicateRun) -> int:
    """Leave on every image of the category its group of this run alone, or none. Return how many images
    changed."""
    having = Filter(must_not=(IsEmpty(FIELD),))
    change, writer = partial(_settled, _pictures(run)), PayloadWriter(runtime, category)
    return sum(written for _, written in revise(writer, change, fields=(FIELD,), filter=having))


def replace_group(runtime: Runtime, category: str, run: DuplicateRun, group: DuplicateGroup) -> DuplicateRun:
    """Change one group of the run in service; with fewer than two members it goes. Return the run as it is
    now."""
    before = run.group(group.id)

    def change(present: DuplicateRun) -> DuplicateRun:
        return present.with_group(group) if len(group.members) > 1 else present.without({group.id})

    changed = runtime.duplicates.update(category, run.key, change)
    writer = PayloadWriter(runtime, category)
    with writer.page():
        writer.write(_settled(_pictures(changed), _there(runtime, category, before.ids)))
    writer.flush()
    return changed


def _pictures(run: DuplicateRun) -> dict[str, str]:
    """Return by image what its payload says; nothing for a version that is a picture of its own."""
    return {id: picture for group in run.groups for id, picture in group.same_pictures().items()}


def _there(runtime: Runtime, category: str, ids: Sequence[str]) -> list[Hit]:
    hits = runtime.vectors.retrieve(category, ids, with_payload=(FIELD,))
    return [hit for hit in hits if hit is not None]


def _settled(groups: Mapping[str, str], hits: Sequence[Hit]) -> dict[str, Change]:
    """Return the changes that leave each image its group alone, or none."""
    return {
        hit.id: Change({FIELD: groups[hit.id]}) if hit.id in groups else Change(delete=(FIELD,))
        for hit in hits
        if hit.payload.get(FIELD) != groups.get(hit.id)
    }


def _beside(hit: Hit, group: str) -> Any:
    old = hit.payload.get(FIELD)
    others = [
        each for each in (old if isinstance(old, list) else [old]) if each is not None and each != group
    ]
    return [*others, group] if others else group
