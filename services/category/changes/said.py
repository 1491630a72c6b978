"""What people can say about an image in one change, and what becomes of its payload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from vitrine.services.category.fields import QUALITY, SAID
from vitrine.services.category.payload import clean_name, clean_tags, settled, unite_tags
from vitrine.services.domain import IndexKind, Payload
from vitrine.services.errors import BadRequest
from vitrine.services.values.dates import to_utc
from vitrine.services.values.words import composed

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
TOUCHED = ("tags", "rejected_tags", "machine_tags", "scored_by", "metadata", *SAID)
"""The payload fields that such a change reads and writes."""


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


def settle(
    changes: Iterable[ImageChanges], indexes: Mapping[str, IndexKind]
) -> tuple[list[ImageChanges], dict[str, IndexKind]]:
    """Return the changes with metadata as its columns hold it, and the kinds of these columns. A mark of a
    missing value removes the value."""
    held, found = dict(indexes), dict[str, IndexKind]()
    done = []
    for change in changes:
        values, kinds = settled(change.metadata, held) if change.metadata else ({}, {})
        columns = {clean_name(column): None for column in change.metadata}
        done.append(change.model_copy(update={"metadata": {**columns, **values}}) if columns else change)
        held |= kinds
        found |= kinds
    return done, found


def changed(payload: Mapping[str, Any], changes: ImageChanges) -> Payload:
    """Return the payload as it is after changes that ``settle`` returned. ``BadRequest`` for a tag that is
    both given and rejected."""
    after = {**payload, **_changed_tags(payload, changes)}
    for name, field in SAID.items():
        value = getattr(changes, field.attribute)
        if value is not None:
            after[name] = value
        elif field.attribute in changes.model_fields_set:
            after.pop(name, None)
    said = SAID[QUALITY].attribute in changes.model_fields_set
    if said and QUALITY in payload.get("scored_by", {}):
        # in the same write: it is a person's from now on, which no tagger overwrites
        after["scored_by"] = {tag: who for tag, who in payload["scored_by"].items() if tag != QUALITY}
    if changes.metadata:
        columns = {**payload.get("metadata", {}), **changes.metadata}
        after["metadata"] = {column: value for column, value in columns.items() if value is not None}
    return after


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
