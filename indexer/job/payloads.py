"""The payload of a new image, and what the same bytes again add to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitrine.indexer.sources.columns import ColumnKinds
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.category.catalog import Category
from vitrine.services.category.fields import FROM_TABLE, QUALITY, SAID, read_unit, read_value
from vitrine.services.category.known_urls import FIELD as URLS
from vitrine.services.category.known_urls import MAX_URLS
from vitrine.services.category.payload import clean_name, clean_tags, unite_tags
from vitrine.services.domain import IndexKind, Payload
from vitrine.services.errors import BadRequest, ImageRefused, VitrineError
from vitrine.services.images.open import object_key
from vitrine.services.images.previews import Preview
from vitrine.services.vector_store.base import check_vectors


@dataclass(frozen=True)
class FileFacts:
    """What decoding found out about one file."""

    sha256: str
    phash: str
    media_type: str
    extension: str
    width: int
    height: int
    size: int
    preview: Preview


def check_record(
    record: ImageRecord, category: Category, columns: ColumnKinds
) -> tuple[Payload, dict[str, IndexKind]]:
    """Return the payload fields that people gave, cleaned, and the kinds of the metadata columns by field
    path.

    ``ImageRefused`` as ``bad_row`` or ``bad_vector``.
    """
    try:
        said = _said(record)
        metadata, kinds = columns.settled(record.metadata)
    except BadRequest as error:
        raise ImageRefused("bad_row", error.message) from error
    except ValueError as error:
        raise ImageRefused("bad_row", f"{error}.") from error
    try:
        for using, vector in record.vectors.items():
            check_vectors(category.schema, using, np.asarray(vector)[None])
    except VitrineError as error:
        raise ImageRefused("bad_vector", error.message) from error
    return {**said, **({"metadata": metadata} if metadata else {})}, kinds


def new_payload(category: str, record: ImageRecord, said: Payload, facts: FileFacts, now: str) -> Payload:
    """Return the whole payload of a new image. ``now`` is RFC 3339 in UTC."""
    return {
        "sha256": facts.sha256,
        "phash": facts.phash,
        "object_key": object_key(category, facts.sha256, facts.extension),
        "source": record.source,
        "filename": record.filename,
        "media_type": facts.media_type,
        "width": facts.width,
        "height": facts.height,
        "bytes": facts.size,
        "colour": facts.preview.colour,
        "blur": facts.preview.blur,
        "created_at": record.created_at or now,
        "indexed_at": now,
        **said,
    }


def additions(old: Mapping[str, Any], said: Payload, *, overwrite: bool = False) -> Payload:
    """Return the fields to set on an image that is stored already: tags are united, everything else only
    fills gaps, since users may have edited it.

    With ``overwrite`` what is said now wins. Objects come back whole, old keys and new, and scores with the
    word on who gave them.

    >>> said = {"tags": ["red", "new"], "class": "cup", "caption": "A cup"}
    >>> additions({"tags": ["red"], "class": "mug"}, said)
    {'tags': ['red', 'new'], 'caption': 'A cup'}
    """
    first, second = (old, said) if overwrite else (said, old)
    if QUALITY in said and QUALITY in old.get("scored_by", {}):  # people's word goes before a tagger's
        people = {**_without(old, QUALITY), "scored_by": _without(old["scored_by"], QUALITY)}
        return {"scored_by": people["scored_by"], **additions(people, said, overwrite=overwrite)}
    merged: Payload = {"tags": unite_tags(old.get("tags", ()), said["tags"])}
    for field, value in said.items():
        if isinstance(value, dict):
            merged[field] = {**first.get(field, {}), **second.get(field, {})}
        elif field == URLS:
            merged[field] = unite_tags(old.get(field, ()), value)[:MAX_URLS]
        elif field != "tags":
            merged[field] = second.get(field, value)
    new = {
        field: value
        for field, value in merged.items()
        if value != old.get(field, [] if field == "tags" else None)
    }
    return new | ({"scored_by": merged["scored_by"]} if "scores" in new else {})


def without_scores(said: Payload, tags: Collection[str]) -> Payload:
    """Return what people gave, without its scores of ``tags``."""
    if said.get("scores", {}).keys().isdisjoint(tags):
        return said
    kept = {name: _without(said[name], *tags) for name in ("scores", "scored_by")}
    return {name: value for name, value in (said | kept).items() if value or name not in kept}


def _without(values: Mapping[str, Any], *keys: str) -> Payload:
    return {key: value for key, value in values.items() if key not in keys}


def _said(record: ImageRecord) -> Payload:
    said: Payload = {"tags": clean_tags(record.tags)}
    if record.url is not None:
        said[URLS] = [record.url]
    for name, field in SAID.items():
        value = record.fields.get(name)
        if value is not None and (value := read_value(field, value)) is not None:
            said[name] = value
    if record.scores:
        scores = {clean_name(tag): read_unit(f"scores.{tag}", score) for tag, score in record.scores.items()}
        said |= {"scores": scores, "scored_by": dict.fromkeys(scores, FROM_TABLE)}
    return said
