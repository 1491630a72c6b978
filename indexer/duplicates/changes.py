"""What people do with groups of near-duplicates: choose, dismiss, delete."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from indexer.duplicates.find import kept_instead, pairs_of
from indexer.duplicates.store import replace_group
from services.duplicates import DuplicateGroup
from services.runtime import Runtime

SURE = ("identical", "resized", "edited")
"""Verdicts against the image to keep that deleting needs; others, in a group through a third image, go only if they are named."""


def keep(runtime: Runtime, category: str, group: str, id: str) -> DuplicateGroup:
    """Keep this image of the group rather than what the policy chose. ``NotFound``, ``BadRequest``."""
    run = runtime.duplicates.get(category)
    chosen = kept_instead(run.group(group), id)
    replace_group(runtime, category, run, chosen)
    return chosen


def dismiss(runtime: Runtime, category: str, group: str, ids: Sequence[str] = ()) -> int:
    """These images of a group are no duplicates of the rest of it, nor of each other; without ``ids`` none of it is.

    Remembered for all later runs. How many pairs were dismissed. ``NotFound``, ``BadRequest``.
    """
    run = runtime.duplicates.get(category)
    found = run.group(group)
    pairs = pairs_of(found, ids)
    runtime.duplicates.dismiss(category, pairs)  # before the group goes: a kill in between forgets nothing
    gone = set(ids) or set(found.ids)
    left = tuple(member for member in found.members if member.id not in gone)
    replace_group(runtime, category, run, replace(found, members=left))
    return len(pairs)


def deletable(
    runtime: Runtime, category: str, groups: Collection[str] = (), kinds: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """By group, the images that deleting would take: all but the one to keep, of these groups (none: all) and these kinds of
    verdict (none: ``SURE``). Groups whose image to keep is gone are left out. ``NotFound``."""
    run = runtime.duplicates.get(category)
    chosen = [run.group(id) for id in groups] if groups else list(run.groups)
    there = {group.keep for group in chosen if runtime.vectors.retrieve(category, [group.keep], with_payload=False)[0]}
    takes = {
        group.id: tuple(member.id for member in group.members[1:] if member.kind in (kinds or SURE))
        for group in chosen
        if group.keep in there
    }
    return {id: ids for id, ids in takes.items() if ids}


def delete(runtime: Runtime, category: str, takes: dict[str, tuple[str, ...]]) -> int:
    """Delete what ``deletable`` named, points first, then their files; how many images there were."""
    deleted = 0
    for id, ids in takes.items():
        deleted += runtime.editor.delete(category, ids)
        run = runtime.duplicates.get(category)
        group = run.group(id)
        left = tuple(member for member in group.members if member.id not in ids)
        replace_group(runtime, category, run, replace(group, members=left))
    return deleted
