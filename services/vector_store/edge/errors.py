"""The engine's errors, which are bare texts, as ours; and ours as JSON, to send them to the caller's
process."""

from __future__ import annotations

from typing import Any

from vitrine.services import errors
from vitrine.services.errors import (
    BadRequest,
    BadVector,
    StorageFull,
    StoreDamaged,
    StoreLocked,
    Unavailable,
    UnknownField,
    UnknownVector,
    VitrineError,
    rebuilt,
)

_BY_TEXT: tuple[tuple[str, type[VitrineError]], ...] = (
    ("wouldblock", StoreLocked),
    ("no space left", StorageFull),
    ("os error 28", StorageFull),
    ("not existing vector name", UnknownVector),
    ("vector dimension", BadVector),
    ("no range index", UnknownField),
    ("no appropriate index", UnknownField),
    ("invalid json path", BadRequest),
    ("already exists with different parameters", BadRequest),
    ("validation", BadRequest),
    ("failed to parse", BadRequest),
    ("failed to convert", BadRequest),
)
_DAMAGE = (
    "is out of bounds",
    "offset out of bounds",
    "requested pages",
    "failed to decode value",
    "failed to decompress",
)
"""What the engine says where a file of the shard is not as it was written."""


def from_engine(error: BaseException, collection: str) -> VitrineError:
    """Return our error for one that the engine raised. Its panics are not an ``Exception``: the shard behind
    it cannot be trusted."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if type(error).__name__ == "PanicException" or any(part in text.lower() for part in _DAMAGE):
        return StoreDamaged(
            f"The engine gave up on collection {collection!r} ({text[:500]}). {rebuilt(collection)}",
            collection=collection,
        )
    known = next((cls for part, cls in _BY_TEXT if part in text.lower()), Unavailable)
    if known is Unavailable:
        return Unavailable(
            f"The engine failed on collection {collection!r} ({text[:500]}). Repeat the call: a write "
            "may be half applied.",
            collection=collection,
        )
    return known(
        f"The engine refused a call on collection {collection!r}: {str(error)[:500]}", collection=collection
    )


def to_plain(error: VitrineError) -> dict[str, Any]:
    """Return one of our errors as JSON."""
    return {"code": error.code, "message": error.message, "details": error.details}


def from_plain(plain: dict[str, Any]) -> VitrineError:
    """Return the error that ``to_plain`` wrote."""
    error = _CLASSES.get(plain["code"], VitrineError)(plain["message"])
    error.details = plain["details"]
    return error


_CLASSES: dict[str, type[VitrineError]] = {
    cls.code: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, VitrineError) and cls is not errors.ImageRefused
}
