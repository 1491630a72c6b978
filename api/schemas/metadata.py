"""The answer to a table of metadata."""

from __future__ import annotations

from pydantic import BaseModel, Field

from vitrine.api.schemas.changes import UndoOut
from vitrine.api.schemas.common import example

_JOINED = {
    "status": "refused", "dry_run": False, "on": "name", "column": "filename", "rows": 4, "matched": 1,
    "unmatched": {"rows": 1, "first": ["lost.jpg"]}, "ambiguous": {"rows": 1, "first": ["front.jpg"]},
    "conflicting": {"rows": 0, "first": []},
    "malformed": {"rows": 1, "first": [{"row": 5, "reason": "quality is a number in 0..1, not '7'"}]},
    "images": 1, "updated": 1, "unchanged": 0, "gone": 0, "notes": [], "unindexed": [],
    "undo": {"token": "shop.20261201T094512123-5f3a9c1e8b7d6a50", "expires_at": "2026-12-02T09:45:12+00:00"},
}  # fmt: skip


class RowsOut(BaseModel):
    """How many rows, and the first few names."""

    rows: int
    first: list[str]


class MalformedRowOut(BaseModel):
    """``row`` counts from 1 as an editor does, the header of a CSV table included."""

    row: int
    reason: str


class MalformedRowsOut(BaseModel):
    rows: int
    first: list[MalformedRowOut]


class MetadataOut(BaseModel):
    """Every row is one of matched, unmatched, ambiguous, conflicting and malformed. ``images``: that the
    matched rows mean. ``unindexed``: columns that no filter finds."""

    model_config = example(_JOINED)

    status: str
    dry_run: bool
    on: str
    column: str
    rows: int
    matched: int
    unmatched: RowsOut
    ambiguous: RowsOut
    conflicting: RowsOut
    malformed: MalformedRowsOut
    images: int
    updated: int
    unchanged: int
    gone: int
    notes: list[str]
    unindexed: list[str]
    undo: UndoOut | None = Field(None, description="Null where nothing was changed.")
