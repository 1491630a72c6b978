"""The bodies of sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from vitrine.api.schemas.common import Taken, example


class SessionBody(Taken):
    """A key of VITRINE_API_KEYS."""

    model_config = Taken.model_config | example({"key": "a long random text"})

    key: str = Field(min_length=1, max_length=1_000)


class SessionOut(BaseModel):
    """Who is signed in. ``needed``: this server asks for a key. ``scope``: what may be done, null: nothing.
    ``csrf``: what requests by cookie, all but GET, send as X-CSRF-Token."""

    model_config = example(
        {
            "needed": True,
            "scope": "write",
            "csrf": "gUX2zSgyd1Pv5c3x2bUjv2bq0l0Jt8GmVh6wz9b1xWQ",
            "expires_at": "2026-11-21T12:53:52Z",
        }
    )

    needed: bool
    scope: Literal["read", "write"] | None
    csrf: str | None
    expires_at: datetime | None
