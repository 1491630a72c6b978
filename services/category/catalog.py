"""Creates, finds, changes and deletes categories. Each has a manifest in the object store and a collection in
the vector store.

A manifest is written before anything else of its category and deleted after everything else. It is in service
from when the collection is made until the deletion begins, so that what an interruption leaves has a manifest
that names it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace

from vitrine.services.category.fields import STANDARD_INDEXES
from vitrine.services.category.leftovers import PLACES, Remains, left_of, remove_objects, unfinished
from vitrine.services.category.manifest import (
    NAME,
    Category,
    check_name,
    manifest_json,
    manifest_key,
    now,
    read_manifest,
    spec_from_json,
    spec_to_json,
)
from vitrine.services.category.payload import MAX_METADATA_INDEXES
from vitrine.services.category.turns import Turns
from vitrine.services.domain import CollectionSchema, EncoderSpec, IndexKind, Quantization, VectorSpec
from vitrine.services.encoders.base import check_encoder
from vitrine.services.encoders.reference import STORED
from vitrine.services.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    NotFound,
    OtherFormat,
    StoreDamaged,
    VitrineError,
    rebuilt,
)
from vitrine.services.object_store.base import ObjectStore, list_keys
from vitrine.services.object_store.edits import edit
from vitrine.services.object_store.keys import ENCODERS, JOURNAL, MANIFESTS
from vitrine.services.object_store.known import Known
from vitrine.services.vector_store.base import VectorStore

__all__ = ["Catalog", "Category", "Remains", "check_name", "spec_from_json", "spec_to_json"]


class Catalog:
    """Creates, finds, changes and deletes categories. Thread-safe.

    Processes that share the stores see each other's changes. A change is made again on what another process
    has written meanwhile, so that none is lost. While the object store is away, what was read before is used.
    """

    def __init__(
        self,
        objects: ObjectStore,
        vectors: VectorStore,
        *,
        known: Known | None = None,
        on_deletion: Sequence[Callable[[str], object]] = (),
        turns: Turns | None = None,
    ) -> None:
        """``turns``: whose turn it is to write; None: only threads of this program write.

        ``on_deletion`` is called with the name of each category that was deleted, so that what is
        remembered of it is forgotten."""
        self._objects = objects
        self._known = known or Known(objects)
        self._on_deletion = on_deletion
        self._vectors = vectors
        self._lock = threading.RLock()
        self._whole: dict[str, str] = {}
        self._copied: dict[str, Category] = {}
        self._turns = turns or Turns()

    def writing(self, name: str) -> AbstractContextManager[object]:
        """Return a lock to hold while images of a category are read, changed and written back: all programs
        that share the data folder have one writer at a time."""
        return self._turns.take(name)

    def create(
        self,
        name: str,
        encoders: Iterable[EncoderSpec],
        *,
        description: str = "",
        quantization: Quantization | None = None,
    ) -> Category:
        """Make an empty category. ``BadRequest`` for a bad name or no encoder, ``AlreadyExists``.

        Until its collection is made its manifest says that it is being deleted: where this is interrupted,
        ``create`` or ``delete`` with its name clears it away.
        """
        specs = tuple(encoders)
        if not specs:
            raise BadRequest(f"Category {name!r} needs an encoder: name one, such as clip.")
        with self.writing(name), self._lock:
            self.make_room(name)
            moment = now()
            made = Category(
                name,
                description,
                specs,
                dict(STANDARD_INDEXES),
                moment,
                moment,
                deleting=True,
                keep_images=True,
                quantization=quantization,
            )
            try:
                self._objects.replace(manifest_key(name), manifest_json(made), None)
            except Conflict as error:
                raise _exists(name) from error
            self._vectors.ensure(made.schema)
            return self._rewrite(name, lambda present: self._finished(made, present))

    def restore(self, category: Category, schema: CollectionSchema, fill: Callable[[], object]) -> Category:
        """Make a category as a backup has it: ``fill`` brings its objects and points, and when it has
        returned the category is in service. ``AlreadyExists``.

        Where this is interrupted the same call goes on, and ``delete`` or ``create`` clears it away.

        ``schema``: of its collection. Nobody else writes to the category meanwhile.
        """
        name = category.name
        made = replace(category, deleting=True, keep_images=True)
        with self.writing(name):
            self.check_room(made)
            if self._read(name) != made:
                self.make_room(name)
                try:
                    self._objects.replace(manifest_key(name), manifest_json(made), None)
                except Conflict as error:
                    raise _exists(name) from error
            self._vectors.ensure(schema)
            fill()
            return self._rewrite(name, lambda present: self._finished(made, present))

    def check_room(self, category: Category) -> None:
        """Raise ``AlreadyExists`` if there is a category of this name, in service or damaged, or a collection
        that is not Vitrine's, before anything is done to restore it. Pictures that were kept may be there."""
        check_name(category.name)
        try:
            old = self._read(category.name)
        except StoreDamaged as error:
            raise _exists(category.name) from error
        if old is not None and not old.deleting:
            raise _exists(category.name)
        if old is None:
            self._check_no_collection(category.name)

    def make_room(self, name: str) -> None:
        """Clear away what an interrupted creation or deletion has left under this name, before anything is
        stored for a new category. ``BadRequest`` for a bad name, ``AlreadyExists``."""
        check_name(name)
        with self.writing(name), self._lock:  # what another program is making is not cleared away
            old = self._read(name)
            if old is not None and not old.deleting:
                raise _exists(name)
            if old is not None:
                self._delete(name, keep_images=old.keep_images)
            self._check_no_collection(name)

    def get(self, name: str) -> Category:
        """Return a category. ``NotFound`` if there is none of this name, ``StoreDamaged`` if it cannot be
        read or has lost its collection."""
        category = self._remembered(name) if NAME.fullmatch(name) else None
        if category is None:
            self._known.forget(manifest_key(name))
            raise NotFound(
                f"There is no category {name!r}: list the categories to see those there are.", category=name
            )
        if category.deleting:
            raise NotFound(f"There is no category {name!r} any more. {unfinished(name)}", category=name)
        if self._whole.get(name) != category.created_at:
            if name not in self._vectors.collections():
                self._known.forget(manifest_key(name))
                if self._remembered(name) != category:
                    return self.get(name)  # another program deletes it, or has made it anew
                raise StoreDamaged(
                    f"The collection of category {name!r} is gone. {rebuilt(name)}", category=name
                )
            self._whole[name] = category.created_at
        return category

    def manifest(self, name: str) -> Category:
        """Return a category as its manifest says, whatever its collection is like. ``NotFound``,
        ``StoreDamaged``."""
        category = self._read(name) if NAME.fullmatch(name) else None
        if category is None or category.deleting:
            raise NotFound(f"There is no category {name!r}: list the categories to see those there are.")
        return category

    def remains(self) -> list[Remains]:
        """Return damaged categories, interrupted deletions, and what no category describes, by name."""
        found: dict[str, Remains] = {}
        collections, known = self._vectors.collections(), _names(list_keys(self._objects, MANIFESTS))
        for name in known:
            try:
                category = self._read(name)
            except StoreDamaged as error:
                found[name] = Remains(name, "damaged", error.message)
                continue
            if category is not None and category.deleting:
                found[name] = Remains(name, "deleting", unfinished(name))
            elif category is not None and (wrong := self._fault(name)):
                found[name] = Remains(name, "damaged", wrong)
        places = self._objects.folders()
        kept = {
            name for place in PLACES if place.rstrip("/") in places for name in self._objects.folders(place)
        }
        for name in sorted({*places, *kept, *collections} - set(known)):
            left = self._left_of(name, collections)
            if left:
                found[name] = Remains(name, "leftover", left)
        return [found[name] for name in sorted(found)]

    def damaged(self) -> dict[str, str]:
        """Return of each damaged category what is wrong, by name, as far as it is known without looking for
        it. The others are served."""
        found = {name: error.message for name, error in self.unreadable().items()}
        faults = {category.name: self._fault(category.name) for category in self.list()}
        return found | {name: wrong for name, wrong in faults.items() if wrong}

    def unreadable(self) -> dict[str, StoreDamaged]:
        """Return what is wrong with each manifest that cannot be read, by name of its category."""
        found = {}
        for name in _names(self._known.keys(MANIFESTS)):
            try:
                self._remembered(name)
            except StoreDamaged as error:
                found[name] = error
        return found

    def _fault(self, name: str) -> str:
        """Return what is wrong with the collection of a category; "" for nothing that is known."""
        try:
            info = self._vectors.info(name)
        except StoreDamaged as error:
            return error.message
        except NotFound:
            return f"The collection of category {name!r} is gone. {rebuilt(name)}"
        if info.status != "damaged":
            return ""
        return (
            f"A part of the collection of category {name!r} cannot be read; the rest is served. `vitrine "
            f"check {name} --repair` says what, and brings back what can be."
        )

    def list(self) -> list[Category]:
        """Return all categories that can be read, by name; ``remains`` has the others."""
        found = []
        for name in _names(self._known.keys(MANIFESTS)):
            with suppress(StoreDamaged):
                category = self._remembered(name)
                if category is not None and not category.deleting:
                    found.append(category)
        return found

    def describe(self, name: str, description: str) -> Category:
        """Change the description."""
        return self._change(name, lambda category: replace(category, description=description))

    def add_encoder(self, name: str, spec: EncoderSpec) -> Category:
        """Add a named vector, also to a filled category; its points lack it until they are re-embedded.

        Where the category has this encoder already, only the place of its weights is updated.
        ``EncoderMismatch`` if the name is taken by another revision.
        """

        def add(category: Category) -> Category:
            known = next((old for old in category.encoders if old.name == spec.name), None)
            if known is not None:
                check_encoder(known, spec)
                encoders = tuple(
                    replace(old, model=spec.model) if old is known else old for old in category.encoders
                )
                return replace(category, encoders=encoders)
            self._vectors.add_vector(name, VectorSpec(spec.name, spec.dim))
            return replace(category, encoders=(*category.encoders, spec))

        return self._change(name, add)

    def promote(self, name: str, alias: str, using: str, *, default: bool = True) -> Category:
        """Answer queries for ``alias`` from the named vector ``using`` from now on, in one write. The former
        one stays in the list behind it.

        ``default``: queries without ``using`` go to ``alias`` too. ``UnknownVector`` if the category lacks
        ``using``, ``BadRequest`` if ``alias`` is a named vector itself.
        """

        def promote(category: Category) -> Category:
            category.encoder(using)
            if any(spec.name == alias for spec in category.encoders):
                raise BadRequest(
                    f"{alias!r} is a named vector of category {name!r}: promote under another name.",
                    name=alias,
                )
            former = [old for old in category.promoted.get(alias, ()) if old != using]
            promoted = {**category.promoted, alias: (using, *former)}
            if not default or category.default == alias:
                return replace(category, promoted=promoted)
            replaced = {**category.replaced, alias: category.default}
            return replace(category, promoted=promoted, default=alias, replaced=replaced)

        return self._change(name, promote)

    def set_default(self, name: str, using: str | None) -> Category:
        """Answer queries without ``using`` from this named vector or promoted name (None: the first encoder).
        ``UnknownVector`` if the category has none of this name."""

        def choose(category: Category) -> Category:
            category.encoder(using)
            return replace(category, default=using)

        return self._change(name, choose)

    def set_quantization(self, name: str, quantization: Quantization | None) -> Category:
        """Keep quantised copies of the vectors in the search index, or none. An index that is there is built
        anew in the background; until then it answers as before."""

        def choose(category: Category) -> Category:
            self._vectors.set_quantization(name, quantization)
            return replace(category, quantization=quantization)

        return self._change(name, choose)

    def ensure_indexes(self, name: str, kinds: Mapping[str, IndexKind], *, change: bool = False) -> Category:
        """Index these fields where they have no index yet; columns past ``MAX_METADATA_INDEXES`` get none.

        A field keeps its kind, but whole numbers become numbers where those are asked for. With ``change``
        every field gets the kind that is asked for; the caller converts the values that are there.
        """
        category = self.get(name)
        if not _lacking(category.indexes, kinds, change):
            return category

        def index(category: Category) -> Category:
            indexes, new = dict(category.indexes), dict[str, IndexKind]()
            for field, kind in _lacking(indexes, kinds, change).items():
                columns = sum(known.startswith("metadata.") for known in indexes)
                if field in indexes:
                    # the engine first: after an interruption the manifest still lacks the kind, and the next
                    # value of it completes the change
                    self._vectors.change_index(name, field, kind)
                elif field.startswith("metadata.") and columns >= MAX_METADATA_INDEXES:
                    continue
                else:
                    new[field] = kind
                indexes[field] = kind
            if new:
                self._vectors.ensure(CollectionSchema(name, (), new))  # in one call: each costs a flush
            return replace(category, indexes=indexes)

        return self._change(name, index)

    def set_images(self, name: str, images: int) -> Category:
        """Store how many images the category holds."""
        return self._change(name, lambda category: replace(category, images=images))

    def delete(self, name: str, *, keep_images: bool | None = None) -> bool:
        """Delete every point, then every object, then the manifest; also what an interrupted deletion or
        creation has left, and what no category describes. Return whether the pictures were kept.

        Where this is interrupted the category is gone, and ``delete`` or ``create`` completes the work.
        ``keep_images``: the pictures stay in the object store, with the taggers and encoders that were made
        from them, to be indexed again; None: only if the category is damaged. ``NotFound``.
        """
        with self.writing(name), self._lock:
            kept = self.keeps_images(name)
            keep = kept if keep_images is None else keep_images
            self._rewrite(name, lambda present: _tombstone(name, present, keep_images=keep))
            self._delete(name, keep_images=keep)
            return keep

    def keeps_images(self, name: str) -> bool:
        """Return whether ``delete`` keeps the pictures where ``keep_images`` is None. ``NotFound``: nothing
        has this name."""
        try:
            category = self._read(name) if NAME.fullmatch(name) else None
        except StoreDamaged:
            return True
        if category is None:
            if not NAME.fullmatch(name) or not self._left_of(name, self._vectors.collections()):
                raise NotFound(f"There is no category {name!r}: nothing was deleted.", category=name)
            return False
        if category.deleting:
            return category.keep_images
        return bool(self._fault(name))  # it has lost its collection, or the collection some of its points

    def _delete(self, name: str, *, keep_images: bool) -> None:
        if name in self._vectors.collections():
            self._vectors.drop(name)
        remove_objects(
            self._objects, name, keep_images=keep_images, others=self._stored_encoders_of_others(name)
        )
        self._objects.delete(_copy_key(name))
        self._objects.delete(manifest_key(name))
        self._copied.pop(name, None)
        self._known.forget(manifest_key(name))
        self._known.forget(MANIFESTS)
        self._whole.pop(name, None)
        for forget in self._on_deletion:
            forget(name)

    def _stored_encoders_of_others(self, name: str) -> tuple[str, ...]:
        """Return the key prefixes of encoders that other categories use; of all encoders, while another
        category cannot be read."""
        try:
            found = [
                self._read(other) for other in _names(list_keys(self._objects, MANIFESTS)) if other != name
            ]
        except StoreDamaged:
            return (ENCODERS,)
        models = [spec.model for category in found if category is not None for spec in category.encoders]
        return tuple(model.removeprefix(STORED) + "/" for model in models if model.startswith(STORED))

    def _left_of(self, name: str, collections: Collection[str]) -> str:
        """Return a sentence about what there is of a name without a manifest; "" for nothing of Vitrine's."""
        with_collection = name in collections and self._is_ours(name)
        return left_of(self._objects, name, with_collection, self._stored_encoders_of_others(name))

    def _is_ours(self, collection: str) -> bool:
        """Return whether Vitrine made a collection: a server may hold collections of other programs,
        which must stay."""
        try:
            return STANDARD_INDEXES.keys() <= self._vectors.info(collection).schema.indexes.keys()
        except StoreDamaged:
            return True

    def _check_no_collection(self, name: str) -> None:
        """Refuse a name whose collection no manifest describes, or drop that collection if it is Vitrine's
        and empty."""
        if name not in self._vectors.collections():
            return
        if not self._is_ours(name):
            raise AlreadyExists(
                f"The vector store has a collection {name!r} of another program: choose another name."
            )
        points = self._vectors.count(name)
        if points:
            raise AlreadyExists(
                f"There is a collection {name!r} of {points} points that belongs to no category: "
                f"choose another name, or remove it with `vitrine category delete {name}`.",
                category=name,
            )
        self._vectors.drop(name)

    def _change(self, name: str, change: Callable[[Category], Category]) -> Category:
        """Change a category that is in service. ``change`` is called again if another process was faster.
        ``NotFound``."""

        def changed(present: bytes | None) -> Category:
            category = None if present is None else read_manifest(name, present)
            if category is None or category.deleting:
                raise NotFound(
                    f"There is no category {name!r}: list the categories to see those there are.",
                    category=name,
                )
            return change(category)

        return self._rewrite(name, changed)

    def _rewrite(self, name: str, change: Callable[[bytes | None], Category]) -> Category:
        """Write the manifest that ``change`` makes of the present one, unless they are equal."""

        def rewritten(present: bytes | None) -> bytes:
            category = change(present)
            same = present is not None and manifest_json(category) == present
            if same and present is not None:
                return present
            category = replace(category, updated_at=now())
            data = manifest_json(category)
            self._keep_copy(category, data)
            return data

        with self._lock:
            data = edit(self._objects, manifest_key(name), rewritten)
            self._known.put(manifest_key(name), data)
            self._known.forget(MANIFESTS)
            return read_manifest(name, data)

    def _keep_copy(self, category: Category, data: bytes) -> None:
        """Keep a copy of a manifest beside the journal, unless only its count is new: without the manifest
        nobody knows which encoders a category has."""
        told = replace(category, images=0, updated_at="")
        if not category.deleting and self._copied.get(category.name) != told:
            self._objects.put(_copy_key(category.name), data, media_type="application/json")
            self._copied[category.name] = told

    def restore_manifest(self, name: str) -> bool:
        """Put the copy of a manifest in place of one that is gone or cannot be read, and return whether there
        is a copy. One that another version wrote stays. ``StoreDamaged`` if the copy cannot be read
        either."""
        try:
            copy = self._objects.get(_copy_key(name))
        except NotFound:
            return False
        read_manifest(name, copy)

        def readable(present: bytes | None) -> bytes:
            if present is not None:
                try:
                    read_manifest(name, present)
                    return present
                except OtherFormat:
                    raise
                except StoreDamaged:
                    pass
            return copy

        with self._lock:
            self._known.put(manifest_key(name), edit(self._objects, manifest_key(name), readable))
            self._known.forget(MANIFESTS)
        return True

    def _finished(self, made: Category, present: bytes | None) -> Category:
        if present is None or read_manifest(made.name, present) != made:
            raise Conflict(
                f"Category {made.name!r} was deleted or created by another process meanwhile: look "
                "what is there now."
            )
        return replace(made, deleting=False, keep_images=False)

    def _remembered(self, name: str) -> Category | None:
        return self._known.read(manifest_key(name), lambda data: read_manifest(name, data))

    def _read(self, name: str) -> Category | None:
        """Return the category as the store has it now, or None. ``StoreDamaged``."""
        try:
            return read_manifest(name, self._objects.get(manifest_key(name)))
        except NotFound:
            return None


def _copy_key(name: str) -> str:
    """Return the key of the copy of a manifest."""
    return f"{JOURNAL}{name}.json"


def _exists(name: str) -> AlreadyExists:
    return AlreadyExists(f"Category {name!r} exists: choose another name, or delete it first.", category=name)


def _names(keys: Iterable[str]) -> list[str]:
    return sorted(name for key in keys if NAME.fullmatch(name := key[len(MANIFESTS) :].removesuffix(".json")))


def _lacking(
    indexes: Mapping[str, IndexKind], kinds: Mapping[str, IndexKind], change: bool
) -> dict[str, IndexKind]:
    """Return the fields whose index is missing or must become another."""
    return {
        field: kind
        for field, kind in kinds.items()
        if field not in indexes
        or (kind != indexes[field] and (change or (indexes[field], kind) == ("integer", "float")))
    }


def _tombstone(name: str, present: bytes | None, *, keep_images: bool) -> Category:
    """Return the manifest of a category that is being deleted, also where the present one cannot be read."""
    moment = now()
    try:
        category = (
            Category(name, "", (), {}, moment, moment) if present is None else read_manifest(name, present)
        )
    except VitrineError:
        category = Category(name, "", (), {}, moment, moment)
    return replace(category, deleting=True, keep_images=keep_images)
