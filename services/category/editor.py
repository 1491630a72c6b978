"""Changes of images that are indexed, and their deletion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from vitrine.services.category.catalog import Catalog
from vitrine.services.category.fields import QUALITY, SAID
from vitrine.services.category.payload import (
    clean_name,
    clean_tags,
    index_kinds,
    joined_kinds,
    settled,
    unite_tags,
)
from vitrine.services.domain import Hit, IndexKind, Payload
from vitrine.services.errors import BadRequest, BadVector, NotFound
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.values.dates import to_utc
from vitrine.services.values.field_paths import field_path
from vitrine.services.values.words import composed
from vitrine.services.vector_store.base import VectorStore, check_ids

_TYPES: Mapping[str, Any] = {
    "keyword": Annotated[str, AfterValidator(composed)],
    "datetime": Annotated[str, BeforeValidator(to_utc)],
    "integer": int,
    "float": float,
    "bool": bool,
}
_UNIT = Annotated[float, Field(ge=0, le=1)]
_DEFINITIONS: dict[str, Any] = {
    field.attribute: (
        (_UNIT if field.unit else _TYPES[field.holds]) | None,
        Field(None, alias=field.name, description=field.help),
    )
    for field in SAID.values()
}
_CONFIG = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)
if TYPE_CHECKING:  # the fields of the table are known at run time alone: read them by getattr
    _OfTable = BaseModel
else:
    _OfTable = create_model("_OfTable", __config__=_CONFIG, **_DEFINITIONS)


class ImageChanges(_OfTable):
    """Changes to one image; what is absent stays, and ``null`` removes a value.

    ``tags`` replaces all tags; ``add_tags`` and ``remove_tags`` change some. ``rejected_tags`` replaces what
    people said the image is *not*; ``reject_tags`` adds to it. A tag that is given is no longer rejected; one
    that is rejected is no longer a tag, nor proposed by a tagger. ``metadata`` is merged by column, and each
    value is converted to the kind of its column.
    """

    tags: tuple[str, ...] | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    rejected_tags: tuple[str, ...] | None = None
    reject_tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field({})


class Editor:
    """Changes and deletes images of categories. Thread-safe within one process."""

    def __init__(self, catalog: Catalog, vectors: VectorStore, objects: ObjectStore) -> None:
        self._catalog = catalog
        self._vectors = vectors
        self._objects = objects

    def change(self, category: str, ids: Sequence[str], changes: ImageChanges) -> list[Hit]:
        """Apply the same changes to every image, and return the images as they are now. ``NotFound`` before
        anything is changed."""
        return self.change_each(category, dict.fromkeys(ids, changes))

    def change_each(self, category: str, changes: Mapping[str, ImageChanges]) -> list[Hit]:
        """Apply to each image its own changes, by id, and return the images as they are now. ``NotFound``
        before anything is changed."""
        with self._catalog.writing(category):  # reading tags and writing them back is one step
            before = self._existing(category, list(changes))
            changes, kinds = _settled(changes, self._catalog.get(category).indexes)
            updates = {hit.id: _changed(hit.payload, changes[hit.id]) for hit in before}
            self._catalog.ensure_indexes(category, joined_kinds([kinds, *map(index_kinds, updates.values())]))
            self._vectors.set_payload(category, {id: payload for id, payload in updates.items() if payload})
            self._remove(category, changes)
            return self._existing(category, list(changes))

    def delete(self, category: str, ids: Sequence[str]) -> int:
        """Delete images, and return how many there were; unknown ids are passed over. The manifest has the
        new count.

        Points go first, then their objects, so that no point is ever without its picture.
        """
        with self._catalog.writing(category):
            found = [hit for hit in self._retrieve(category, ids) if hit is not None]
            if found:
                self._vectors.delete(category, [hit.id for hit in found])
                self._catalog.set_images(category, self._vectors.count(category))
            for hit in found:
                self._objects.delete(hit.payload["object_key"])
        return len(found)

    def _remove(self, category: str, changes: Mapping[str, ImageChanges]) -> None:
        """Remove the fields that are set to null; images that lose the same fields go in one call."""
        alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for id, change in changes.items():
            alike[_removed(change)].append(id)
        for fields, ids in alike.items():
            if fields:
                self._vectors.delete_payload(category, ids, fields)

    def _existing(self, category: str, ids: Sequence[str]) -> list[Hit]:
        hits = self._retrieve(category, ids)
        missing = [id for id, hit in zip(ids, hits, strict=True) if hit is None]
        if missing:
            raise NotFound(f"There is no image {missing[0]} in category {category!r}.", ids=missing)
        return [hit for hit in hits if hit is not None]

    def _retrieve(self, category: str, ids: Sequence[str]) -> list[Hit | None]:
        self._catalog.get(category)
        try:
            check_ids(ids)
        except BadVector as error:
            raise NotFound(error.message, **error.details) from error
        return self._vectors.retrieve(category, ids)


def _settled(
    changes: Mapping[str, ImageChanges], indexes: Mapping[str, IndexKind]
) -> tuple[dict[str, ImageChanges], dict[str, IndexKind]]:
    """Return the changes with metadata as its columns hold it, and the kinds of these columns. A mark of a
    missing value removes the value."""
    held, found = dict(indexes), dict[str, IndexKind]()
    done: dict[str, ImageChanges] = {}
    for id, change in changes.items():
        values, kinds = settled(change.metadata, held) if change.metadata else ({}, {})
        columns = {clean_name(column): None for column in change.metadata}
        done[id] = change.model_copy(update={"metadata": {**columns, **values}}) if columns else change
        held |= kinds
        found |= kinds
    return done, found


def _changed(payload: Mapping[str, Any], changes: ImageChanges) -> Payload:
    """Return the fields that get a new value."""
    new = _changed_tags(payload, changes)
    for name, field in SAID.items():
        if (value := getattr(changes, field.attribute)) is not None:
            new[name] = value
    if QUALITY in new and QUALITY in payload.get("scored_by", {}):
        # in the same write: it is a person's from now on, which no tagger overwrites
        new["scored_by"] = {tag: who for tag, who in payload["scored_by"].items() if tag != QUALITY}
    columns = {column: value for column, value in changes.metadata.items() if value is not None}
    if columns:
        new["metadata"] = {**payload.get("metadata", {}), **columns}
    return new


def _changed_tags(payload: Mapping[str, Any], changes: ImageChanges) -> Payload:
    """Return the new lists of tags, rejected tags and proposed tags, but only the lists that change."""
    dropped = set(clean_tags(changes.remove_tags))
    given = [tag for tag in clean_tags([*(changes.tags or ()), *changes.add_tags]) if tag not in dropped]
    refused = clean_tags([*(changes.rejected_tags or ()), *changes.reject_tags])
    if contradiction := set(given) & set(refused):
        raise BadRequest(
            f"{min(contradiction)!r} is both given and rejected: choose one.", tag=min(contradiction)
        )
    tags = unite_tags(payload.get("tags", []) if changes.tags is None else [], given)
    rejected = unite_tags(payload.get("rejected_tags", []) if changes.rejected_tags is None else [], refused)
    lists = {
        "tags": [tag for tag in tags if tag not in dropped and tag not in refused],
        "rejected_tags": [tag for tag in rejected if tag not in given],
        "machine_tags": [tag for tag in payload.get("machine_tags", []) if tag not in refused],
    }
    return {field: value for field, value in lists.items() if value != payload.get(field, [])}


def _removed(changes: ImageChanges) -> tuple[str, ...]:
    """Return the paths of the fields that are removed."""
    given = [field for field in SAID.values() if field.attribute in changes.model_fields_set]
    gone = [field.name for field in given if getattr(changes, field.attribute) is None]
    gone += [field_path("scored_by", QUALITY)] if QUALITY in gone else []
    columns = [column for column, value in changes.metadata.items() if value is None]
    return (*gone, *(field_path("metadata", clean_name(column)) for column in columns))
