"""What people do with groups of near-duplicates: choose the one to keep, dismiss, delete."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitrine.indexer.enrich.duplicates.candidates import Images
from vitrine.indexer.enrich.duplicates.compare.comparison import Thresholds
from vitrine.indexer.enrich.duplicates.groups import arranged
from vitrine.indexer.enrich.duplicates.pair_cache import PairCache
from vitrine.indexer.enrich.duplicates.pictures import Pictures
from vitrine.indexer.enrich.duplicates.store import replace_group
from vitrine.services.artifacts.duplicate_changes import note
from vitrine.services.artifacts.duplicates import (
    COPIES,
    RULE,
    DuplicateGroup,
    DuplicateRun,
    Member,
    Pair,
    ordered,
)
from vitrine.services.category.changes.entries import Record, Undo
from vitrine.services.category.changes.said import ImageChanges
from vitrine.services.category.fields import QUALITY, SAID
from vitrine.services.domain import Hit
from vitrine.services.errors import BadRequest
from vitrine.services.images.hashes import parse_hashes
from vitrine.services.runtime import Runtime


@dataclass(frozen=True)
class Deletable:
    """What would be deleted: ``takes``, by group. ``richer``: images of the kinds asked for that stay, since
    they have more pixels than the one that is kept, or colours that it lacks."""

    takes: dict[str, tuple[str, ...]]
    richer: tuple[str, ...] = ()


@dataclass
class Deleted:
    """How many images were deleted, and how many that are kept got what people said about others. ``undo``:
    how this is taken back; None where nothing was deleted."""

    images: int = 0
    merged: int = 0
    undo: Undo | None = None


def keep(
    runtime: Runtime, category: str, group: str, id: str, *, record: Record | None = None
) -> DuplicateGroup:
    """Keep this image of the group rather than what the policy chose; the others are compared with it.
    ``record``: gets how this is taken back. Raises ``NotFound``, ``BadRequest``."""
    run = runtime.duplicates.get(category)
    found = run.group(group)
    _check_member(found, id)
    members = found.members if id == found.keep else _with_first(runtime, category, found, id)
    chosen = replace(found, members=members, chosen=True)
    if record is not None:
        note(record, run, found, chosen)
    replace_group(runtime, category, run, chosen)
    return chosen


def _with_first(runtime: Runtime, category: str, group: DuplicateGroup, id: str) -> tuple[Member, ...]:
    ids = (id, *(other for other in group.ids if other != id))
    hits = [hit or Hit(id) for id, hit in zip(ids, runtime.vectors.retrieve(category, ids), strict=True)]
    looked = any(member.kind != "unseen" for member in group.members[1:])
    pictures = Pictures(runtime, [hit.payload for hit in hits]) if looked else None
    hashes = parse_hashes([str(hit.payload.get("phash") or "0") for hit in hits])
    images = Images(ids, hashes, np.zeros((len(ids), 1), np.float32))
    cache = PairCache(images, pictures, Thresholds(), flips=any(member.turn for member in group.members))
    return arranged(ids, range(len(ids)), cache)


def dismiss(
    runtime: Runtime,
    category: str,
    group: str,
    ids: Sequence[str] = (),
    *,
    record: Record | None = None,
) -> int:
    """Note that these images are no duplicates of the rest of their group, nor of each other; without ``ids``
    the whole group is none.

    Remembered for all later runs. How many pairs were dismissed. ``record``: gets how this is taken back.
    ``NotFound``, ``BadRequest``.
    """
    run = runtime.duplicates.get(category)
    found = run.group(group)
    pairs = pairs_of(found, ids)
    left = found.without(set(ids) or set(found.ids))
    if record is not None:
        note(record, run, found, left, set(pairs) - runtime.duplicates.dismissed(category))
    runtime.duplicates.dismiss(category, pairs)  # before the group goes: a kill in between forgets nothing
    replace_group(runtime, category, run, left)
    return len(pairs)


def pairs_of(group: DuplicateGroup, ids: Sequence[str] = ()) -> list[Pair]:
    """Return all pairs of a group, or those between ``ids`` and the rest of it. Raises ``BadRequest`` for an
    image that is not in it."""
    for id in ids:
        _check_member(group, id)
    chosen = set(ids)
    return [
        ordered(one, other)
        for number, one in enumerate(group.ids)
        for other in group.ids[number + 1 :]
        if not chosen or (one in chosen) or (other in chosen)
    ]


def deletable(
    runtime: Runtime, category: str, groups: Collection[str] = (), kinds: Collection[str] = ()
) -> Deletable:
    """Return what would be deleted of these groups (none: all) and these kinds of copy (none: ``COPIES``).
    Groups whose image to keep is gone are left out, and so is an image without the one that it is a copy of.
    Raises ``NotFound``, and ``BadRequest`` where the groups were found by an earlier rule."""
    run = runtime.duplicates.get(category)
    check_rule(run, category)
    takes: dict[str, tuple[str, ...]] = {}
    staying: list[str] = []
    for group in [run.group(id) for id in groups] if groups else run.groups:
        hits = runtime.vectors.retrieve(category, group.ids, with_payload=("width", "height"))
        there = {hit.id: hit for hit in hits if hit is not None}
        going = _going(group, there, kinds or COPIES)
        more = [member.id for member in going if _is_richer(member, group, there)]
        takes[group.id] = tuple(member.id for member in going if member.id not in more)
        staying += more
    return Deletable({id: ids for id, ids in takes.items() if ids}, tuple(staying))


def named(
    runtime: Runtime, category: str, group: str, ids: Sequence[str], kept: str | None = None
) -> Deletable:
    """Return what would be deleted where a person names the images: these of a group, whatever they are to
    the one that is kept (``kept``, if that is another than now). Raises ``NotFound``; ``BadRequest`` for
    images that are not in the group, and for the one that is kept."""
    run = runtime.duplicates.get(category)
    check_rule(run, category)
    found = run.group(group)
    for id in ids:
        _check_member(found, id)
    if (kept or found.keep) in ids:
        raise BadRequest(
            "The image to keep cannot go: keep another first.", group=group, id=kept or found.keep
        )
    return Deletable({group: tuple(ids)})


def _check_member(group: DuplicateGroup, id: str) -> None:
    if id not in group.ids:
        raise BadRequest(f"Image {id} is not in group {group.id}.", group=group.id, id=id)


def _going(group: DuplicateGroup, there: Mapping[str, Hit], kinds: Collection[str]) -> list[Member]:
    chosen = (member for member in group.members[1:] if member.kind in kinds)
    return [member for member in chosen if {group.keep, group.original_of(member)} <= there.keys()]


def _is_richer(member: Member, group: DuplicateGroup, there: Mapping[str, Hit]) -> bool:
    """Return whether an image shows more than the one that it is a copy of."""
    original = next(each for each in group.members if each.id == group.original_of(member))
    mine, other = (there[id].payload if id in there else {} for id in (member.id, original.id))
    return _pixels(mine) > _pixels(other) or (original.grey and not member.grey)


def _pixels(payload: Mapping[str, Any]) -> int:
    return int(payload.get("width", 0)) * int(payload.get("height", 0))


def check_rule(run: DuplicateRun, category: str) -> None:
    """Raise ``BadRequest`` where the groups were found by an earlier rule: none of their images is
    deleted."""
    if run.rule != RULE:
        raise BadRequest(
            f"The groups of {category!r} were found by an earlier version, which took pages that look "
                "alike for copies: find duplicates again, then delete.", category=category, run=run.key,
        )  # fmt: skip


def delete(
    runtime: Runtime,
    category: str,
    takes: Mapping[str, tuple[str, ...]],
    *,
    merge: bool = True,
    record: Record | None = None,
) -> Deleted:
    """Delete what ``deletable`` named, a group at a time: what people said of its images goes to the one that
    is kept instead (unless not ``merge``), then they go into the bin. Where that one is gone meanwhile they
    are left alone. ``record``: is undone together with this."""
    done, record = Deleted(), record or runtime.editor.record(category)
    for id, ids in takes.items():
        run = runtime.duplicates.get(category)
        group = run.group(id)
        gone: set[str] = set()
        for kept, copies in _by_original(group, ids).items():
            with runtime.catalog.writing(category):  # what is read of them must still be so when they go
                gone |= _deleted(runtime, record, kept, copies, merge, done)
        if gone:
            note(record, run, group, group.without(gone))
            replace_group(runtime, category, run, group.without(gone))
    done.undo = record.undo
    return done


def _by_original(group: DuplicateGroup, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the images to delete by the one that stays for them."""
    found: dict[str, list[str]] = {}
    for member in group.members:
        if member.id in ids:
            original = group.original_of(member)
            found.setdefault(group.keep if original in ids else original, []).append(member.id)
    return found


def _deleted(
    runtime: Runtime, record: Record, keep: str, ids: list[str], merge: bool, done: Deleted
) -> set[str]:
    category = record.category
    kept, *others = runtime.vectors.retrieve(category, [keep, *ids])
    if kept is None:
        return set()
    changes = said_of(kept.payload, [hit.payload for hit in others if hit is not None]) if merge else None
    if changes is not None:
        runtime.editor.change(category, [kept.id], changes, record=record)  # durable before anything goes
        done.merged += 1
    done.images += runtime.editor.delete(category, ids, record=record).changed
    return set(ids)


def said_of(kept: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> ImageChanges | None:
    """Return what people said about other images and not about this one: tags and rejected tags, unless they
    said the contrary about it; class, caption, quality and columns of metadata where it has none, of the
    first that has one. None: nothing.

    >>> others = [{"tags": ["mug", "red"], "caption": "A mug"}, {"caption": "Mug"}]
    >>> said_of({"tags": ["red"]}, others).add_tags
    ('mug',)
    """
    tags, rejected = kept.get("tags", []), kept.get("rejected_tags", [])
    more = _united(others, "tags", {*tags, *rejected})
    said: dict[str, Any] = {
        "add_tags": more,
        "reject_tags": _united(others, "rejected_tags", {*tags, *more, *rejected}),
    }
    for field in SAID:
        first = next((other[field] for other in others if _by_people(other, field)), None)
        said[field] = None if _by_people(kept, field) else first
    columns = {name: value for other in reversed(others) for name, value in other.get("metadata", {}).items()}
    former = kept.get("metadata", {})
    said["metadata"] = {name: value for name, value in columns.items() if name not in former}
    given = {name: value for name, value in said.items() if value not in (None, (), {})}
    return ImageChanges(**given) if given else None


def _united(others: Sequence[Mapping[str, Any]], field: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the values of a list field that the other images have and ``known`` lacks, each once."""
    values = (value for other in others for value in other.get(field, ()))
    return tuple(dict.fromkeys(value for value in values if value not in known))


def _by_people(payload: Mapping[str, Any], field: str) -> bool:
    """Return whether the image has a value in the field, and not one that a tagger gave."""
    by_tagger = field == QUALITY and QUALITY in payload.get("scored_by", {})
    return payload.get(field) is not None and not by_tagger
