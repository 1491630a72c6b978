"""Pictures that are sent to search with."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from vitrine.api.schemas.common import example

_SHA256 = "d22da20b0ecdf87bc7a7519fe7a2c6fdafb12cd89025dfcf952775565958dc5e"


class PictureUrls(BaseModel):
    """Paths on the same server."""

    thumbnail: str


class PictureOut(BaseModel):
    """A picture that is kept until ``expires_at``: ``picture:<picture>`` is an example in a search."""

    model_config = example(
        {
            "picture": _SHA256,
            "width": 800,
            "height": 600,
            "expires_at": "2026-11-22T00:53:52Z",
            "urls": {"thumbnail": f"/v1/pictures/{_SHA256}/thumbnail?w=320"},
        }
    )

    picture: str
    width: int
    height: int
    expires_at: datetime
    urls: PictureUrls
