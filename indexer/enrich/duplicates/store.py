"""Groups on their way into service, and out of it again: files first, then the payload, then the word on
which run is current.

While a run is written, its images carry its group beside that of the run before: a list of two ids, of which
queries heed the one in service. So nobody sees half of a run, whenever it is killed; what a killed run left
the next one removes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitrine.services.artifacts.duplicates import FIELD, GROUPS, DuplicateGroup, DuplicateRun
from vitrine.services.domain import Hit
from vitrine.services.errors import NotFound
from vitrine.services.runtime import Runtime

_BATCH = 500


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
    """Add to the copies in a run what says so, beside what they have."""
    groups = _pictures(run)
    ids = list(groups)
    for start in range(0, len(ids), _BATCH):
        with runtime.catalog.writing(category):
            hits = runtime.vectors.retrieve(category, ids[start : start + _BATCH], with_payload=(FIELD,))
            _set(runtime, category, {hit.id: _beside(hit, groups[hit.id]) for hit in hits if hit is not None})
    runtime.vectors.flush(category)


def sweep(runtime: Runtime, category: str, run: DuplicateRun) -> int:
    """Leave on every image of the category its group of this run alone, or none; how many images changed."""
    from qdrant_client import models

    having = models.Filter(must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key=FIELD))])
    groups = _pictures(run)
    cursor: str | None = None
    changed = 0
    while True:
        with runtime.catalog.writing(category):
            page = runtime.vectors.scroll(
                category, filter=having, limit=_BATCH, cursor=cursor, with_payload=(FIELD,)
            )
            changed += _settle(runtime, category, page.hits, groups)
        cursor = page.cursor
        if cursor is None:
            break
    runtime.vectors.flush(category)
    return changed


def replace_group(runtime: Runtime, category: str, run: DuplicateRun, group: DuplicateGroup) -> DuplicateRun:
    """Change one group of the run in service; with fewer than two members it goes. The run as it is now."""
    before = run.group(group.id)

    def change(present: DuplicateRun) -> DuplicateRun:
        return present.with_group(group) if len(group.members) > 1 else present.without({group.id})

    changed = runtime.duplicates.update(category, run.key, change)
    groups = _pictures(changed)
    with runtime.catalog.writing(category):
        hits = runtime.vectors.retrieve(category, before.ids, with_payload=(FIELD,))
        _settle(runtime, category, [hit for hit in hits if hit is not None], groups)
    runtime.vectors.flush(category)
    return changed


def _pictures(run: DuplicateRun) -> dict[str, str]:
    """By image what its payload says; nothing of a version that is a picture of its own."""
    return {id: picture for group in run.groups for id, picture in group.same_pictures().items()}


def _settle(runtime: Runtime, category: str, hits: Sequence[Hit], groups: Mapping[str, str]) -> int:
    wrong = [hit for hit in hits if hit.payload.get(FIELD) != groups.get(hit.id)]
    _set(runtime, category, {hit.id: groups[hit.id] for hit in wrong if hit.id in groups})
    _remove(runtime, category, [hit.id for hit in wrong if hit.id not in groups])
    return len(wrong)


def _beside(hit: Hit, group: str) -> Any:
    old = hit.payload.get(FIELD)
    others = [
        each for each in (old if isinstance(old, list) else [old]) if each is not None and each != group
    ]
    return [*others, group] if others else group


def _set(runtime: Runtime, category: str, values: Mapping[str, Any]) -> None:
    left = dict(values)
    while left:
        try:
            runtime.vectors.set_payload(
                category, {id: {FIELD: value} for id, value in left.items()}, durable=False
            )
            return
        except NotFound as error:  # another process deleted some since they were read
            left = _still_there(left, error)


def _remove(runtime: Runtime, category: str, ids: Sequence[str]) -> None:
    left = dict.fromkeys(ids)
    while left:
        try:
            runtime.vectors.delete_payload(category, list(left), [FIELD])
            return
        except NotFound as error:
            left = _still_there(left, error)


def _still_there(values: dict[str, Any], error: NotFound) -> dict[str, Any]:
    gone = error.details.get("ids")
    kept = {id: value for id, value in values.items() if not isinstance(gone, list) or id not in gone}
    if len(kept) == len(values):
        raise error
    return kept
