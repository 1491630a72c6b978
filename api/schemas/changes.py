"""Bodies of changes of many images, of undoing, and of the bin."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vitrine.api.schemas.common import ID, Id, Taken, example
from vitrine.api.schemas.images import IMAGE, ImageOut, Urls
from vitrine.api.schemas.search import SearchBody
from vitrine.services.category.changes.entries import Undo
from vitrine.services.category.changes.said import ImageChanges

MAX_IDS = 100_000
UNDO = {
    "token": "shop.20261201T094512123-5f3a9c1e8b7d6a50",
    "expires_at": "2026-12-02T09:45:12+00:00",
}


class BatchBody(Taken):
    """One action on many images: those of ``ids``, or all that ``query`` finds."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"action": "change", "changes": {"add_tags": ["sale"]}, "ids": [ID]},
                {"action": "delete", "query": {"text": "a blurred photo", "min_similarity": 0.3}},
                {"action": "change", "changes": {"class": "mug"}, "query": {"filter": {"tags_all": ["mug"]}}},
            ]
        },
    )

    action: Literal["change", "delete", "restore"]
    changes: ImageChanges | None = Field(None, description="With the action change: as in PATCH.")
    ids: list[Id] | None = Field(None, max_length=MAX_IDS)
    query: SearchBody | None = Field(
        None,
        description="As in a search. Without a way to ask all images that meet the filter; with one its "
        "hits, at most 10,000. `limit`, if given, limits both.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> BatchBody:
        if (self.ids is None) == (self.query is None):
            raise ValueError("give either ids or a query")
        if (self.action == "change") != (self.changes is not None):
            raise ValueError("changes go with the action change, and with no other")
        if self.action == "restore" and self.ids is None:
            raise ValueError("no query finds deleted images: restore them by their ids")
        return self


class UndoOut(BaseModel):
    """How a change is taken back: by ``POST /v1/undo/{token}``, until ``expires_at``."""

    model_config = example(UNDO)

    token: str
    expires_at: str

    @classmethod
    def of(cls, undo: Undo | None) -> UndoOut | None:
        return None if undo is None else cls(token=undo.token, expires_at=undo.expires_at)


class BatchOut(BaseModel):
    """``matched``: images that there are; ``changed`` and ``unchanged`` of them; ``missing``: ids of none.
    ``undo`` is null where nothing was changed."""

    model_config = example(
        {
            "action": "change",
            "matched": 12400,
            "changed": 12391,
            "unchanged": 9,
            "missing": [],
            "undo": UNDO,
            "notes": [],
        }
    )

    action: str
    matched: int
    changed: int
    unchanged: int
    missing: list[str]
    undo: UndoOut | None
    notes: list[str] = Field([], description="What else to know, such as columns that have no index.")


class DeletedOut(BaseModel):
    """An image that was deleted. ``undo`` is null where it was deleted for good."""

    model_config = example({"deleted": 1, "undo": UNDO})

    deleted: int
    undo: UndoOut | None


class ChangedOut(ImageOut):
    """One image as it is after a change. ``undo`` is null where nothing was changed."""

    model_config = example({**IMAGE, "undo": UNDO, "notes": []})

    undo: UndoOut | None
    notes: list[str] = Field([], description="What else to know, such as columns that have no index.")


class UndoneOut(BaseModel):
    """``undone``: images, or nodes of cluster runs that were renamed, that are as before. ``kept``: ids of
    those of which something was left as it is, since it was changed meanwhile. ``undo`` takes this back."""

    model_config = example({"undone": 12391, "kept": [], "undo": UNDO})

    undone: int
    kept: list[str]
    undo: UndoOut | None


class BinnedOut(BaseModel):
    """An image in the bin. Of its ``urls`` the thumbnail still answers."""

    id: str
    deleted_at: str
    payload: dict[str, Any]
    urls: Urls


class BinOut(BaseModel):
    """Images in the bin, latest deleted first; ``total``: how many there are in all."""

    model_config = example(
        {
            "images": [
                {
                    "id": ID,
                    "deleted_at": "2026-12-01T09:45:12.123+00:00",
                    "payload": IMAGE["payload"],
                    "urls": IMAGE["urls"],
                }
            ],
            "total": 1,
        }
    )

    images: list[BinnedOut]
    total: int


class EmptiedOut(BaseModel):
    """How many images were removed for good."""

    model_config = example({"removed": 3})

    removed: int
