"""What people do with groups of near-duplicates: choose, dismiss, delete."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from indexer.duplicates.find import kept_instead, pairs_of
from indexer.duplicates.store import replace_group
from services.duplicates import DuplicateGroup
from services.editor import ImageChanges
from services.runtime import Runtime
from services.tagging import QUALITY

SURE = ("identical", "resized", "edited")
"""Verdicts against the image to keep that deleting needs; others, in a group through a third image, go only if they are named."""


@dataclass
class Deleted:
    """How many images were deleted, and to how many that are kept what people said of others was added."""

    images: int = 0
    merged: int = 0


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


def delete(runtime: Runtime, category: str, takes: Mapping[str, tuple[str, ...]], *, merge: bool = True) -> Deleted:
    """Delete what ``deletable`` named, a group at a time: what people said of its images goes to the one that is kept (unless not
    ``merge``), then their points go, then their files. A group whose image to keep is gone meanwhile is left alone."""
    done = Deleted()
    for id, ids in takes.items():
        run = runtime.duplicates.get(category)
        group = run.group(id)
        with runtime.catalog.writing(category):  # what is read of them must still be so when they go
            kept, *others = runtime.vectors.retrieve(category, [group.keep, *ids])
            if kept is None:
                continue
            changes = said_of(kept.payload, [hit.payload for hit in others if hit is not None]) if merge else None
            if changes is not None:
                runtime.editor.change(category, [kept.id], changes)  # durable before anything goes
                done.merged += 1
            done.images += runtime.editor.delete(category, ids)
        left = tuple(member for member in group.members if member.id not in ids)
        replace_group(runtime, category, run, replace(group, members=left))
    return done


def said_of(kept: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> ImageChanges | None:
    """What people said of other images and not of this one: tags and rejected tags, unless they said the contrary of it; class,
    caption, quality and columns of metadata where it has none, of the first that has one. None: nothing.

    >>> said_of({"tags": ["red"]}, [{"tags": ["mug", "red"], "caption": "A mug"}, {"caption": "Mug"}]).add_tags
    ('mug',)
    """
    tags, rejected = kept.get("tags", []), kept.get("rejected_tags", [])
    more = [tag for other in others for tag in other.get("tags", ()) if tag not in rejected and tag not in tags]
    no_more = [tag for other in others for tag in other.get("rejected_tags", ()) if tag not in {*tags, *more, *rejected}]
    said: dict[str, Any] = {"add_tags": tuple(dict.fromkeys(more)), "reject_tags": tuple(dict.fromkeys(no_more))}
    for field in ("class", "caption"):
        said[field] = None if kept.get(field) is not None else _first(other.get(field) for other in others)
    if not _by_people(kept):
        said["quality"] = _first(other["quality"] for other in others if _by_people(other))
    columns = {name: value for other in reversed(others) for name, value in other.get("metadata", {}).items()}
    said["metadata"] = {name: value for name, value in columns.items() if name not in kept.get("metadata", {})}
    given = {name: value for name, value in said.items() if value not in (None, (), {})}
    return ImageChanges(**given) if given else None


def _by_people(payload: Mapping[str, Any]) -> bool:
    """Whether its quality is there and no tagger's."""
    return payload.get(QUALITY) is not None and QUALITY not in payload.get("scored_by", {})


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)
