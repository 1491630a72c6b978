"""What changes, deletions and undoing give back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from vitrine.services.category.changes.entries import Undo
from vitrine.services.domain import Hit


@dataclass(frozen=True)
class Edited:
    """The images as they are after an edit, and how it is taken back: None where nothing was changed."""

    hits: list[Hit]
    undo: Undo | None


@dataclass(frozen=True)
class Outcome:
    """What became of the images that were to be changed, deleted or restored. ``matched``: how many there
    are; ``done``: ids of those that are otherwise now; ``missing``: ids of no image."""

    matched: int
    done: Collection[str]
    missing: tuple[str, ...] = ()
    undo: Undo | None = None

    @property
    def changed(self) -> int:
        return len(self.done)

    @property
    def unchanged(self) -> int:
        return self.matched - self.changed


@dataclass(frozen=True)
class TakenBack:
    """Ids of the images of which something was taken back, and of those of which something was left as it is,
    since it was changed meanwhile. Of the name of a cluster's node it is the id of the node."""

    done: Collection[str] = ()
    kept: Collection[str] = ()


@dataclass(frozen=True)
class Undone:
    """``undone``: how many images, or named nodes, are as before again. ``kept``: ids of those of which
    something was left as it is, since it was changed meanwhile. ``undo``: how this is taken back."""

    undone: int
    kept: tuple[str, ...]
    undo: Undo | None
