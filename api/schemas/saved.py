"""Bodies of saved searches."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vitrine.api.schemas.common import Taken, example
from vitrine.api.schemas.search import SearchBody

_QUERY: dict[str, Any] = {"text": "a red shoe", "filter": {"tags_all": ["shoes"]}}
_SAVED: dict[str, Any] = {
    "name": "Red shoes",
    "query": _QUERY,
    "view": "?q=a+red+shoe&tag=shoes",
    "saved_at": "2026-12-01T09:45:12.123+00:00",
}


class SavedBody(Taken):
    """A search to be saved. ``view``: free text of who saves it, such as the address of a page."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"query": _QUERY, "view": _SAVED["view"]}]}
    )

    query: SearchBody = Field(description="As in a search.")
    view: str = Field("", max_length=10_000)


class SavedOut(BaseModel):
    """A saved search. ``query`` can be sent as a search as it is."""

    model_config = example(_SAVED)

    name: str
    query: dict[str, Any]
    view: str
    saved_at: str


class SavedListOut(BaseModel):
    """All saved searches of a category, by name."""

    model_config = example({"saved": [_SAVED]})

    saved: list[SavedOut]
