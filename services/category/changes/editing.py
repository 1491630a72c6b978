"""Change the payloads of images, a slice at a time, and take such a change back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vitrine.services.category.changes.differences import Difference, difference, reverse
from vitrine.services.category.changes.entries import Edits, Record, batched
from vitrine.services.category.changes.outcomes import Outcome, TakenBack
from vitrine.services.category.changes.reading import SLICE, Images, refuse_missing
from vitrine.services.category.journal import KEPT, Line, kept
from vitrine.services.category.payload import index_kinds, joined_kinds
from vitrine.services.domain import Hit, IndexKind, Payload


@dataclass(frozen=True)
class Plan:
    """How payloads are changed: ``fields`` are read, ``after`` makes of an image its new payload, and
    ``kinds`` are the indexes that its values ask for."""

    fields: tuple[str, ...]
    after: Callable[[Hit], Payload]
    kinds: Mapping[str, IndexKind] = field(default_factory=dict)


def edit(images: Images, record: Record, ids: Sequence[str], plan: Plan, *, strict: bool = False) -> Outcome:
    """Change the images of a category. What is changed is in the record before it is.

    Of more than one slice all is worked out before anything is written, so that it is noted in one object; an
    image that others change meanwhile is worked out anew. ``strict``: ``NotFound`` before anything is changed
    where an image is missing.
    """
    category, edits = record.category, Edits()
    slices = list(batched(ids, SLICE))
    there, missing = 0, list[str]()
    if len(slices) > 1:
        for part in slices:
            found = images.find(category, part, plan.fields)
            there, missing = there + len(found.hits), missing + found.missing
            for hit in found.hits:
                if made := difference(hit.payload, plan.after(hit)):
                    edits.note(hit.id, made)
        if strict:
            refuse_missing(category, missing)
        if edits.made:
            record.save(edits)
        slices = list(batched(list(edits.made), SLICE))
    for part in slices:
        with images.catalog.writing(category):  # reading tags and writing them back is one step
            found = images.find(category, part, plan.fields)
            if len(ids) <= SLICE:
                there, missing = len(found.hits), found.missing
                if strict:
                    refuse_missing(category, missing)
            _write(images, record, edits, found.hits, plan)
    return Outcome(there, edits.made.keys(), tuple(missing), record.undo)


def take_back(images: Images, record: Record, edits: Edits) -> TakenBack:
    """Take back what an edit did, where it is still as the edit left it."""
    kept = dict[str, None]()

    def after(hit: Hit) -> Payload:
        payload, whole = reverse(hit.payload, edits.of(hit.id))
        if whole:
            kept.pop(hit.id, None)
        else:
            kept[hit.id] = None
        return payload

    fields = tuple({*edits.fields, "scored_by"})  # the journal wants to know whose a score is
    outcome = edit(images, record, list(edits.made), Plan(fields, after))
    return TakenBack(outcome.done, [*outcome.missing, *kept])


def _write(images: Images, record: Record, edits: Edits, hits: Sequence[Hit], plan: Plan) -> None:
    """Write the changes of one slice, in one call; fields that go, in another for each set of them."""
    category, news, updates = record.category, False, dict[str, Payload]()
    going: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    lines: list[Line] = []
    for hit in hits:
        after = plan.after(hit)
        made = difference(hit.payload, after)
        if made:
            news |= edits.note(hit.id, made)
            new = {name: after[name] for name in made.fields if name in after}
            updates |= {hit.id: new} if new else {}
            going[tuple(sorted(made.fields - after.keys()))].append(hit.id)
            lines.append(_line(hit.id, made, after))
    if news:
        record.save(edits)
    kinds = joined_kinds([plan.kinds, *(index_kinds(payload) for payload in updates.values())])
    images.catalog.ensure_indexes(category, kinds)
    if updates:
        images.vectors.set_payload(category, updates)
    for fields, ids in going.items():
        if fields:
            images.vectors.delete_payload(category, ids, fields)
    images.journal.write(category, lines)


def _line(id: str, made: Difference, after: Payload) -> Line:
    """Return what the journal says of an image that was changed: of a family only the keys that were."""
    said: Payload = {name: after[name] for name in made.lists if name in after}
    unset: list[tuple[str, ...]] = [(name,) for name in made.lists if name not in after]
    for value in made.values:
        if value.after is None:
            unset.append(value.path)
        elif len(value.path) == 1:
            said[value.path[0]] = value.after
        else:
            said[value.path[0]] = {**said.get(value.path[0], {}), value.path[1]: value.after}
    people = kept(said | {"scored_by": after.get("scored_by", {})})
    unset += [(name,) for name in said if name not in people and name != "scores"]  # a tagger's by now
    unset += [("scores", tag) for tag in said.get("scores", ()) if tag not in people.get("scores", ())]
    return Line(id, people, tuple(path for path in unset if path[0] in KEPT))
