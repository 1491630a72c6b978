"""Bodies of near-duplicates: the groups that were found, and what people decide on them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vitrine.api.schemas.changes import UndoOut
from vitrine.api.schemas.common import ID, URLS, Id, Taken, example
from vitrine.api.schemas.images import Urls

MAX_GROUPS = 10_000
Kind = Literal["identical", "resized", "edited", "look-alike", "unseen"]
_OTHER = "9a2c7e10-4c1f-5a7b-9d53-2f1f0c9e7a44"
_GROUP = {
    "id": "2-1",
    "keep": ID,
    "chosen": False,
    "reason": "resolution",
    "members": [
        {
            "id": ID,
            "verdict": "keep",
            "of": ID,
            "similarity": 1.0,
            "turn": "",
            "payload": {"filename": "IMG_2041.jpg", "width": 4032, "height": 3024, "bytes": 2481190},
            "urls": URLS,
        },
        {
            "id": _OTHER,
            "verdict": "resized",
            "of": ID,
            "similarity": 0.993,
            "turn": "",
            "payload": {"filename": "mug-small.jpg", "width": 1600, "height": 1200, "bytes": 240112},
            "urls": URLS,
        },
    ],
}


class DuplicatesOut(BaseModel):
    """The search for near-duplicates that is in service. ``copies``: images in groups besides those to keep,
    ``kinds`` counts them by verdict. ``dismissed``: pairs that people said are no duplicates."""

    model_config = example(
        {
            "run": "groups-2",
            "using": "clip",
            "images": 3680,
            "groups": 1,
            "copies": 1,
            "kinds": {"resized": 1},
            "dismissed": 4,
            "parameters": {"band": 8, "similarity": 0.8},
            "created_at": "2026-12-01T09:00:00.000+00:00",
        }
    )

    run: str
    using: str
    images: int
    groups: int
    copies: int
    kinds: dict[str, int]
    dismissed: int
    parameters: dict[str, Any]
    created_at: str


class DuplicateMemberOut(BaseModel):
    """An image of a group. ``verdict`` is what it is to ``of``; ``similarity``: structural, in -1..1;
    ``turn``: how it has to be laid. ``payload`` is null where the image is gone."""

    id: str
    verdict: str
    of: str
    similarity: float
    turn: str
    payload: dict[str, Any] | None
    urls: Urls


class DuplicateGroupOut(BaseModel):
    """Copies and versions of one picture, the one to keep first. ``chosen``: by a person. ``reason``: what
    put it before the next: colour, resolution, format, bytes, metadata (more is said of it), age (it is
    older), id; null where a person chose, or fewer than two are left."""

    model_config = example(_GROUP)

    id: str
    keep: str
    chosen: bool
    reason: str | None
    members: list[DuplicateMemberOut]


class DuplicateGroupsOut(BaseModel):
    """``total``: groups in all that there are of the kinds asked for."""

    model_config = example({"groups": [_GROUP], "total": 1})

    groups: list[DuplicateGroupOut]
    total: int


class DecisionBody(Taken):
    """What is decided on groups. ``keep``: this image of the group rather than the one the policy chose.
    ``dismiss``: these are no duplicates; later searches keep to it. ``merge``: copies go into the bin, and
    what people said of them goes to the image that is kept."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"action": "merge", "kinds": ["identical"], "dry_run": True},
                {"action": "merge", "groups": ["2-1"], "keep": ID, "ids": [_OTHER]},
                {"action": "keep", "groups": ["2-1"], "keep": ID},
                {"action": "dismiss", "groups": ["2-1"], "ids": [_OTHER]},
            ]
        },
    )

    action: Literal["keep", "dismiss", "merge"]
    groups: list[Id] = Field([], max_length=MAX_GROUPS, description="Of merge: none for all.")
    keep: Id | None = Field(None, description="The image to keep, of one group.")
    ids: list[Id] = Field(
        [],
        max_length=MAX_GROUPS,
        description="Only these of one group. Of merge: exactly these go, whatever their verdict.",
    )
    kinds: list[Kind] = Field(
        [], description="Of merge: only copies of these verdicts. None: identical and resized."
    )
    dry_run: bool = Field(False, description="Of merge: change nothing, say what would go.")

    @model_validator(mode="after")
    def _consistent(self) -> DecisionBody:
        if self.action != "merge" and not self.groups:
            raise ValueError(f"name the groups to {self.action}")
        if (self.keep is not None or self.ids) and len(self.groups) != 1:
            raise ValueError("keep and ids are images of one group: name that one")
        if (self.action == "keep" and self.keep is None) or (self.action == "dismiss" and self.keep):
            raise ValueError("keep names the image to keep, of the actions keep and merge")
        if self.ids and (self.action == "keep" or self.kinds):
            raise ValueError("ids go with the actions dismiss and merge, and not with kinds")
        if self.action != "merge" and (self.kinds or self.dry_run):
            raise ValueError("kinds and dry_run go with the action merge, and with no other")
        if self.keep is not None and self.dry_run:
            raise ValueError("a dry run keeps no image: leave keep out")
        return self


class DecisionOut(BaseModel):
    """``groups``: those that changed, or would. ``deleted``: images that went into the bin, or would;
    ``merged``: images that are kept and got what was said of others; ``pairs`` that were dismissed;
    ``richer``: images that stay, as they show more than the one that is kept. ``undo`` is null where
    nothing changed."""

    model_config = example(
        {
            "action": "merge",
            "dry_run": False,
            "groups": ["2-1"],
            "deleted": 1,
            "merged": 1,
            "pairs": 0,
            "richer": [],
            "undo": None,
        }
    )

    action: str
    dry_run: bool
    groups: list[str]
    deleted: int = 0
    merged: int = 0
    pairs: int = 0
    richer: list[str] = []
    undo: UndoOut | None = None
