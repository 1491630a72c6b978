"""Pictures that arrive as bytes, such as uploads to the API: through the same loop as everything else, answered one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from services.runtime import Runtime

Outcome = Literal["added", "known", "updated", "refused"]


@dataclass(frozen=True)
class Upload:
    """One file as a user sent it, and what the user says of it. ``filename`` is shown, never opened."""

    filename: str
    data: bytes
    tags: Sequence[str] = ()
    class_: str | None = None
    caption: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemOutcome:
    """What became of one file. ``id`` is there unless it was refused; ``reason`` (of ``REFUSALS``) and ``message`` if it was."""

    filename: str
    outcome: Outcome
    id: str | None = None
    reason: str | None = None
    message: str | None = None


def index_uploads(runtime: Runtime, category: str, uploads: Sequence[Upload]) -> list[ItemOutcome]:
    """Index files; outcome i belongs to uploads[i]. Raises what ends a run: ``NotFound``, ``StorageFull``, ``Unavailable`` ..."""
    raise NotImplementedError
