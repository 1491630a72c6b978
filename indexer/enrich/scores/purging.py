"""Remove the scores of former taggers, and of a tagger that is to be deleted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from vitrine.indexer.enrich.scores.score_payload import FIELDS, rescored
from vitrine.indexer.job.job import Job, Report
from vitrine.indexer.job.payload_writer import Change
from vitrine.indexer.job.progress import Progress
from vitrine.services.category.fields import QUALITY
from vitrine.services.category.payload import clean_tags
from vitrine.services.domain import Hit
from vitrine.services.runtime import Runtime

Stale = Callable[[Mapping[str, Any], str], bool]
"""Whether the score, or proposal, that a payload has of a tag is to go."""


def purge_stale(
    runtime: Runtime,
    category: str,
    tags: Collection[str] | None = None,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Remove the scores, and proposals, that are not by the tagger in service, of these tags (None: of all).

    That is: scores by former taggers, by taggers that were deleted, and a manifest's where the tag has a
    tagger now. A manifest's scores of a tag without a tagger stay, and so does a quality that people set.
    Afterwards queries need not look for stale scores of these tags. How many images changed. ``NotFound``
    (category).
    """
    tags = None if tags is None else set(clean_tags(tags))
    heads = runtime.taggers.in_service(category)
    chosen = [head for head in heads if tags is None or head.tag in tags]
    in_service = {head.tag: head.signature for head in heads}

    def stale(payload: Mapping[str, Any], tag: str) -> bool:
        if tags is not None and tag not in tags:
            return False
        who = payload.get("scored_by", {}).get(tag)
        if tag in in_service:
            return bool(who != in_service[tag])
        return by_tagger(who) if who else tag not in payload.get("scores", ())

    def refresh() -> None:  # another may have been trained meanwhile: its scores are not stale
        in_service.update({head.tag: head.signature for head in runtime.taggers.in_service(category)})

    changed = _purge(runtime, category, stale, refresh, progress, stop)
    if not (stop and stop.is_set()):
        runtime.taggers.settle(category, chosen)
    return changed


def delete_tagger(runtime: Runtime, category: str, tag: str, *, progress: Progress | None = None) -> int:
    """Delete a tagger and the scores that it gave, and return how many images had one. ``NotFound``."""
    changed = drop_scores(runtime, category, runtime.taggers.get(category, tag).tag, progress=progress)
    runtime.taggers.delete(category, tag)
    return changed


def drop_scores(runtime: Runtime, category: str, tag: str, *, progress: Progress | None = None) -> int:
    """Remove the scores, and proposals, that taggers gave for a tag, before its tagger is deleted. A
    manifest's stay.

    How many images changed. ``NotFound`` (category).
    """

    def stale(payload: Mapping[str, Any], other: str) -> bool:
        who = payload.get("scored_by", {}).get(other)
        return other == tag and (by_tagger(who) if who else other not in payload.get("scores", ()))

    return _purge(runtime, category, stale, lambda: None, progress, None)


def by_tagger(who: str) -> bool:
    """Return whether ``scored_by`` names a tagger, rather than a manifest."""
    return "@" in who


def _purge(
    runtime: Runtime,
    category: str,
    stale: Stale,
    refresh: Callable[[], None],
    progress: Progress | None,
    stop: threading.Event | None,
) -> int:
    runtime.catalog.get(category)
    changed, job = 0, Job(runtime, category, Report(), progress, stop)

    def changes(hits: Sequence[Hit]) -> dict[str, Change]:
        refresh()
        lost = {hit.id: [tag for tag in _scored(hit.payload) if stale(hit.payload, tag)] for hit in hits}
        return {hit.id: rescored(hit.payload, (), lost[hit.id]) for hit in hits}

    def count(read: int, written: int) -> None:
        nonlocal changed
        changed += written

    with job.running():
        job.revise("purging", changes, fields=FIELDS, wrote=count)
    if job.report.interrupted and stop is None:
        raise KeyboardInterrupt
    return changed


def _scored(payload: Mapping[str, Any]) -> list[str]:
    """Return the tags that have a score or a proposal; quality only where a tagger gave it."""
    scored_by = payload.get("scored_by", {})
    tags = dict.fromkeys([*payload.get("scores", {}), *scored_by, *payload.get("machine_tags", ())])
    return [tag for tag in tags if tag != QUALITY or tag in scored_by]
