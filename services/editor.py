"""Changes that people make to images that are there: tags, class, caption, quality, metadata; and deletion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.catalog import Catalog
from services.domain import Hit, Payload
from services.errors import BadRequest, BadVector, NotFound
from services.object_store.base import ObjectStore
from services.payload import clean_name, clean_tags, field_path, index_kinds, unite_tags
from services.vector_store.base import VectorStore, check_ids

_CHUNK = 500


class ImageChanges(BaseModel):
    """Changes to one image; what is absent stays. ``null`` for class, caption or quality removes it.

    ``tags`` replaces all tags; ``add_tags`` and ``remove_tags`` change some. ``metadata`` is merged by column; null removes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    tags: tuple[str, ...] | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    class_: str | None = Field(None, alias="class")
    caption: str | None = None
    quality: float | None = Field(None, ge=0, le=1)
    metadata: dict[str, Any] = {}


class Editor:
    """Edits and deletes images of categories. Thread-safe within one process."""

    def __init__(self, catalog: Catalog, vectors: VectorStore, objects: ObjectStore) -> None:
        self._catalog = catalog
        self._vectors = vectors
        self._objects = objects

    def change(self, category: str, ids: Sequence[str], changes: ImageChanges) -> list[Hit]:
        """Apply the same changes to every image; the images as they are now. ``NotFound`` before anything is changed."""
        with self._catalog.writing(category):  # reading tags and writing them back is one step
            before = self._existing(category, ids)
            updates = {hit.id: _changed(hit.payload, changes) for hit in before}
            for payload in updates.values():
                self._catalog.ensure_indexes(category, index_kinds(payload))
            gone = [field for field in ("class", "caption", "quality") if _removes(changes, field)]
            gone += [field_path("metadata", column) for column, value in changes.metadata.items() if value is None]
            self._vectors.set_payload(category, updates)
            if gone:
                self._vectors.delete_payload(category, list(updates), gone)
            return self._existing(category, ids)

    def delete(self, category: str, ids: Sequence[str]) -> int:
        """Delete images: points first, then their objects, so that no point is ever without its picture. Unknown ids: nothing.

        Returns how many images there were.
        """
        with self._catalog.writing(category):
            found = [hit for hit in self._retrieve(category, ids) if hit is not None]
            self._vectors.delete(category, [hit.id for hit in found])
            for hit in found:
                self._objects.delete(hit.payload["object_key"])
        return len(found)

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
        chunks = [ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK)]
        return [hit for chunk in chunks for hit in self._vectors.retrieve(category, chunk)]


def _changed(payload: Mapping[str, Any], changes: ImageChanges) -> Payload:
    """The fields that get a new value."""
    new: Payload = {}
    if changes.tags is not None or changes.add_tags or changes.remove_tags:
        kept = payload.get("tags", []) if changes.tags is None else clean_tags(changes.tags)
        dropped = set(clean_tags(changes.remove_tags))
        new["tags"] = [tag for tag in unite_tags(kept, clean_tags(changes.add_tags)) if tag not in dropped]
    for field, value in (("class", changes.class_), ("caption", changes.caption), ("quality", changes.quality)):
        if value is not None:
            new[field] = value
    columns = {clean_name(column): _scalar(column, value) for column, value in changes.metadata.items() if value is not None}
    if columns:
        new["metadata"] = {**payload.get("metadata", {}), **columns}
    return new


def _removes(changes: ImageChanges, field: str) -> bool:
    name = "class_" if field == "class" else field
    return name in changes.model_fields_set and getattr(changes, name) is None


def _scalar(column: str, value: Any) -> Any:
    values: Iterable[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(item, bool | int | float | str) for item in values):
        raise BadRequest(f"Column {column!r} takes text, numbers, booleans or lists of them.", field=column)
    return value
