"""Bodies of images and uploads. Hits are built as plain dicts on the way out, because
validating each again would cost more than finding it: the tests hold the two equal."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from vitrine.api.schemas.common import ID, URLS, Taken, example

MAX_HASHES = 10_000

_SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PAYLOAD = {
    "sha256": _SHA,
    "filename": "rex.jpg",
    "media_type": "image/jpeg",
    "width": 640,
    "height": 480,
    "bytes": 81234,
    "class": "border_collie",
    "tags": ["dog", "outdoors"],
    "scores": {"outdoors": 0.97},
    "metadata": {"year": 2024},
}
IMAGE = {"id": ID, "similarity": None, "payload": _PAYLOAD, "urls": URLS}


class Urls(BaseModel):
    """Paths below this server's address."""

    self: str
    file: str
    thumbnail: str


class HitOut(BaseModel):
    """One image. ``similarity`` is null where nothing was compared."""

    id: str
    similarity: float | None
    payload: dict[str, Any]
    urls: Urls
    vectors: dict[str, list[float]] | None = Field(None, description="By encoder; only if asked for.")


class ImageOut(HitOut):
    """One image and what is known of it."""

    model_config = example(IMAGE)


class NearDuplicateOut(BaseModel):
    """The image that a file is a copy (identical, resized) or a version (edited) of. ``similarity``:
    structural, in -1..1."""

    id: str
    kind: Literal["identical", "resized", "edited"]
    similarity: float
    urls: Urls


class ConflictOut(BaseModel):
    """``kept`` is stored in ``field`` (``class``, ``metadata.price``, ``filename`` ...), ``said`` was not
    taken over."""

    field: str
    kept: Any
    said: Any


class UploadItem(BaseModel):
    """What became of one file. ``id`` if it is in the category; ``reason`` and ``message`` if it was refused.
    A ``duplicate`` was not added, since it is a copy of another image and ``near_duplicates`` was skip.
    ``conflicts``: where the file says something else than the image of the same bytes, which stays as it
    is."""

    filename: str
    outcome: Literal["added", "known", "updated", "duplicate", "refused"]
    id: str | None
    urls: Urls | None
    reason: str | None
    message: str | None
    near_duplicate_of: NearDuplicateOut | None = None
    conflicts: list[ConflictOut] = []


class UploadOut(BaseModel):
    """Item i belongs to file i of the request, and the items of URLs come after those of files."""

    model_config = example(
        {
            "items": [
                {
                    "filename": "rex.jpg",
                    "outcome": "added",
                    "id": ID,
                    "urls": URLS,
                    "reason": None,
                    "message": None,
                },
                {
                    "filename": "notes.txt",
                    "outcome": "refused",
                    "id": None,
                    "urls": None,
                    "reason": "unsupported_format",
                    "message": "The file looks like text; JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, "
                    "HEIC, camera RAW and PNM are read.",
                },
            ],
            "counts": {"added": 1, "refused": 1},
            "notes": [],
        }
    )

    items: list[UploadItem]
    counts: dict[str, int]
    notes: list[str] = Field([], description="What else to know, such as columns that have no index.")


class KnownBody(Taken):
    """The files that somebody has, by the SHA-256 of their bytes."""

    model_config = example({"sha256": [_SHA]})

    sha256: list[Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{64}$")]] = Field(
        max_length=MAX_HASHES, description="64 hex digits each."
    )


class KnownOut(BaseModel):
    """``known``: the ids of the images that the category holds, by hash as it was asked. Files that it does
    not hold are left out."""

    model_config = example({"known": {_SHA: ID}})

    known: dict[str, str]
