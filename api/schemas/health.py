"""Bodies of health checks."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from vitrine.api.schemas.common import example


class HealthOut(BaseModel):
    """The process answers."""

    model_config = example({"status": "ok"})

    status: Literal["ok"]


class ReadyOut(BaseModel):
    """Whether the stores answer; each part is ``ok`` or an error code. ``ready``: all can be done;
    ``search``: searches can.

    ``known_as_of``: since when the object store does not answer. Searches go on with what was known of it
    then. ``damaged``: how many categories are damaged, which keeps no other from being served;
    ``damaged_categories``: their names, for those who may read.
    """

    model_config = example(
        {
            "ready": True,
            "search": True,
            "parts": {"vectors": "ok", "objects": "ok"},
            "known_as_of": None,
            "damaged": 0,
            "damaged_categories": [],
        }
    )

    ready: bool
    search: bool
    parts: dict[str, str]
    known_as_of: datetime | None
    damaged: int
    damaged_categories: list[str]
