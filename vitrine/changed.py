"""What a change of a category gives back: what there is now, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vitrine.hits import Hits
from vitrine.services.category.changes.entries import Undo
from vitrine.services.category.changes.outcomes import Undone
from vitrine.services.domain import Hit as Found
from vitrine.services.errors import BadRequest
from vitrine.services.search.options import SearchOptions

if TYPE_CHECKING:
    from vitrine.category import Category


class Changed(Hits):
    """The images as they are after a change. ``undo()`` takes it back; ``token`` does so in another process,
    within 24 hours, and is None where nothing was changed."""

    def __init__(self, category: Category, found: Sequence[Found], undo: Undo | None) -> None:
        super().__init__(category, found, SearchOptions(), title=f"changed in {category.name}")
        self.token = None if undo is None else undo.token

    def undo(self) -> Undone:
        """Take the change back, where it was not changed again. Raises ``NotFound`` the second time."""
        return take_back(self._category, self.token)


class Moved(int):
    """How many images were deleted or restored. ``undo()`` and ``token``: as of ``Changed``."""

    token: str | None
    _category: Category

    @classmethod
    def of(cls, category: Category, count: int, undo: Undo | None = None) -> Moved:
        """Return the number, with the way back."""
        moved = cls(count)
        moved._category = category
        moved.token = None if undo is None else undo.token
        return moved

    def undo(self) -> Undone:
        """Restore what was deleted, or delete what was restored. Raises ``NotFound`` the second time."""
        return take_back(self._category, self.token)


def take_back(category: Category, token: str | None) -> Undone:
    """Undo what was done under a token; ``BadRequest`` where there is none."""
    if token is None:
        raise BadRequest("Nothing was changed, so that there is nothing to undo.")
    return category.library.undo(token)
