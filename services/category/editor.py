"""Changes of images that are indexed, their deletion, and how both are taken back."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from vitrine.services.category.catalog import Catalog
from vitrine.services.category.changes.bin import Bin
from vitrine.services.category.changes.deletion import Deleter, Versions
from vitrine.services.category.changes.editing import Plan, edit, take_back
from vitrine.services.category.changes.entries import (
    LIFETIME,
    Clock,
    Deletion,
    Edits,
    Other,
    Record,
    Restoration,
    Step,
    UndoEntries,
    parse_token,
)
from vitrine.services.category.changes.outcomes import Edited, Outcome, TakenBack, Undone
from vitrine.services.category.changes.reading import Images, refuse_missing
from vitrine.services.category.changes.said import TOUCHED, changed, settle
from vitrine.services.category.changes.said import ImageChanges as ImageChanges
from vitrine.services.category.journal import Journal
from vitrine.services.category.thumbnails import Thumbnails
from vitrine.services.domain import Hit, Payload
from vitrine.services.errors import NotFound
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.keys import BIN, UNDO
from vitrine.services.vector_store.base import VectorStore

TakeBack = Callable[[Record, Other], TakenBack]
"""Takes back a step; how this is taken back in turn it saves in the record before."""
_SWEEP_EVERY = timedelta(minutes=10)


class Editor:
    """Changes, deletes and restores images of categories. Thread-safe within one process.

    Deleted images wait in the bin. Where ``record`` is given, what is done becomes part of it, and is undone
    together with the rest of it.
    """

    def __init__(
        self,
        catalog: Catalog,
        vectors: VectorStore,
        objects: ObjectStore,
        thumbnails: Thumbnails,
        *,
        journal: Journal | None = None,
        versions: Versions = lambda category: {},
        others: Mapping[str, TakeBack] | None = None,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        """``others``: how steps of other kinds are taken back, by their kind."""
        self._catalog, self._objects, self._clock = catalog, objects, clock
        self._entries = UndoEntries(objects, clock)
        self._images = Images(catalog, vectors, journal or Journal(objects))
        self.bin = Bin(objects, vectors, thumbnails, catalog.writing, clock)
        self._deleter = Deleter(self._images, self.bin, objects, thumbnails, versions)
        self._others = others or {}
        self._undoing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._swept: dict[str, datetime] = {}

    def change(
        self, category: str, ids: Sequence[str], changes: ImageChanges, *, record: Record | None = None
    ) -> Edited:
        """Apply the same changes to every image. ``NotFound`` before anything is changed."""
        return self.change_each(category, dict.fromkeys(ids, changes), record=record)

    def change_each(
        self, category: str, changes: Mapping[str, ImageChanges], *, record: Record | None = None
    ) -> Edited:
        """Apply to each image its own changes, by id. ``NotFound`` before anything is changed."""
        outcome = self._change(category, changes, record, strict=True)
        found = self._images.find(category, list(changes))
        refuse_missing(category, found.missing)
        return Edited(found.hits, outcome.undo)

    def change_found(self, category: str, ids: Sequence[str], changes: ImageChanges) -> Outcome:
        """Apply the same changes to those of the images that there are."""
        return self._change(category, dict.fromkeys(ids, changes), None, strict=False)

    def delete(self, category: str, ids: Sequence[str], *, record: Record | None = None) -> Outcome:
        """Put images into the bin, where they wait for 24 hours; unknown ids are ``missing``. The manifest
        has the new count."""
        self._images.check(category, ids)
        outcome = self._deleter.delete(record or self._entries.new(category), ids)
        self._tidy(category)
        return outcome

    def restore(self, category: str, ids: Sequence[str]) -> Outcome:
        """Take images out of the bin. One that is in the category, since it was indexed again, is left as it
        is; ids that are neither there nor in the bin are ``missing``."""
        self._images.check(category, ids)
        outcome = self._deleter.restore(self._entries.new(category), ids)
        self._tidy(category)
        return outcome

    def remove(self, category: str, ids: Sequence[str]) -> int:
        """Delete images for good, and return how many there were; unknown ids are passed over. The manifest
        has the new count."""
        self._images.check(category, ids)
        return self._deleter.remove(category, ids)

    def find(self, category: str, id: str) -> Hit:
        """Return an image of the category, or of its bin. ``NotFound``."""
        self._images.check(category, [id])
        hits = self._images.find(category, [id]).hits
        found = hits[0] if hits else self.bin.find(category, id)
        if found is None:
            raise NotFound(f"There is no image {id} in category {category!r}.", category=category, id=id)
        return found

    def record(self, category: str) -> Record:
        """Return a record for several changes that are to be undone together."""
        self._catalog.get(category)
        return self._entries.new(category)

    def undo(self, token: str) -> Undone:
        """Take back what was done under a token: what is still as it was left then. ``NotFound`` if there is
        no such token any more."""
        category, _ = parse_token(token)
        self._catalog.get(category)
        with self._undoing[category]:
            steps = self._entries.read(token)
            record, done, kept = self._entries.new(category), set[str](), dict[str, None]()
            for step in reversed(steps):
                taken = self._take_back(record, step)
                done.update(taken.done)
                kept |= dict.fromkeys(taken.kept)
            if not done and not kept:
                raise NotFound("The images were removed from the bin for good: there is nothing to undo.")
            self._entries.remove(token)
        self._tidy(category)
        return Undone(len(done), tuple(kept), record.undo)

    def empty_bin(self, category: str) -> int:
        """Remove what is in the bin for good, and return how many images that were."""
        self._catalog.get(category)
        return self.bin.empty(category)

    def sweep(self, stop: threading.Event | None = None) -> None:
        """Remove of every category what is older than 24 hours: changes that can be undone no longer, and
        images in the bin. Ends after the present category once ``stop`` is set."""
        names = {*self._objects.folders(BIN), *self._objects.folders(UNDO)}
        for category in self._catalog.list():
            if category.name in names and not (stop and stop.is_set()):
                self._tidy(category.name, at_once=True)

    def _change(
        self, category: str, changes: Mapping[str, ImageChanges], record: Record | None, *, strict: bool
    ) -> Outcome:
        self._images.check(category, list(changes))
        distinct = list({id(change): change for change in changes.values()}.values())
        done, kinds = settle(distinct, self._catalog.get(category).indexes)
        settled = {id(change): its for change, its in zip(distinct, done, strict=True)}

        def after(hit: Hit) -> Payload:
            return changed(hit.payload, settled[id(changes[hit.id])])

        record = record or self._entries.new(category)
        outcome = edit(self._images, record, list(changes), Plan(TOUCHED, after, kinds), strict=strict)
        self._tidy(category)
        return outcome

    def _take_back(self, record: Record, step: Step) -> TakenBack:
        match step:
            case Edits():
                return take_back(self._images, record, step)
            case Deletion():
                return self._deleter.take_back_deletion(record, step)
            case Restoration():
                return self._deleter.take_back_restoration(record, step)
            case Other():
                return self._others[step.kind](record, step)

    def _tidy(self, category: str, *, at_once: bool = False) -> None:
        """Remove what is older than 24 hours, now and then: a change must not wait for a list of all of
        them."""
        now = self._clock()
        if not at_once and now - self._swept.setdefault(category, now - LIFETIME) < _SWEEP_EVERY:
            return
        self._swept[category] = now
        self._entries.sweep(category)
        self.bin.empty(category, older_than=now - LIFETIME)
