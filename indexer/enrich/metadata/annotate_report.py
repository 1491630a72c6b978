"""The report of `annotate`: how many rows named an image, and why others did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vitrine.indexer.job.job import Report
from vitrine.services.category.changes.entries import Undo, undo_json
from vitrine.services.category.payload import unindexed_note
from vitrine.services.values.words import counted

_NOT = ", so they were not applied"
SHOWN = 10
"""Names and rows that are shown of each kind."""


@dataclass
class AnnotateReport(Report):
    """How a table was joined. ``rows`` = ``matched`` + ``unmatched`` + ``ambiguous`` + ``conflicting`` +
    ``malformed``.

    ``ambiguous``: rows whose name several images have. ``conflicting``: rows of which another of the same
    name says something else. ``images``: those that the matched rows name; of these some are ``updated``,
    ``unchanged`` (they had all of it) or ``gone`` (deleted meanwhile). ``malformed_first``: (row number,
    reason), the number as an editor shows it.
    """

    category: str
    table: str
    on: str
    column: str = ""
    dry_run: bool = False
    rows: int = 0
    matched: int = 0
    unmatched: int = 0
    ambiguous: int = 0
    conflicting: int = 0
    malformed: int = 0
    images: int = 0
    updated: int = 0
    unchanged: int = 0
    gone: int = 0
    unmatched_first: list[str] = field(default_factory=list)
    ambiguous_first: list[str] = field(default_factory=list)
    conflicting_first: list[str] = field(default_factory=list)
    malformed_first: list[tuple[int, str]] = field(default_factory=list)
    unindexed: set[str] = field(default_factory=set)
    """Fields of columns that no filter finds."""
    undo: Undo | None = None
    """How it is taken back; None where nothing was changed."""

    @property
    def partial(self) -> bool:
        """Whether some rows were refused, or none met an image."""
        return bool(self.ambiguous or self.conflicting or self.malformed or not self.images)

    def to_json(self) -> dict[str, Any]:
        tree = {name: value for name, value in super().to_json().items() if not name.endswith("_first")}
        for name in ("unmatched", "ambiguous", "conflicting"):
            tree[name] = {"rows": tree[name], "first": getattr(self, f"{name}_first")}
        first = [{"row": row, "reason": reason} for row, reason in self.malformed_first]
        return tree | {
            "malformed": {"rows": self.malformed, "first": first},
            "unindexed": sorted(self.unindexed),
            "undo": undo_json(self.undo),
            "interrupted": self.interrupted,
            "seconds": self.stages,
        }

    def summary(self) -> str:
        what = [f"{self.updated} " + ("would be updated" if self.dry_run else "updated")]
        what += [f"{self.unchanged} said so already"] if self.unchanged else []
        what += [f"{self.gone} deleted meanwhile"] if self.gone else []
        malformed = [f"row {row}: {reason}" for row, reason in self.malformed_first]
        lines = [
            f"{self.table}: {self.matched} of {self.rows} rows met {counted(self.images, 'image')} (by "
            f"{self.on}, column {self.column})",
            f"  {', '.join(what)}",
            *_shown(self.unmatched, "name no image of the category", self.unmatched_first),
            *_shown(self.ambiguous, f"name several images{_NOT} (--all-of-a-name)", self.ambiguous_first),
            *_shown(self.conflicting, f"say different things of one image{_NOT}", self.conflicting_first),
            *_shown(self.malformed, "are malformed", malformed, "; "),
        ]
        if self.interrupted:
            lines += ["Interrupted. What is written counts; run again to complete it."]
        return "\n".join([*lines, *self.notes, *([unindexed_note(self.unindexed)] if self.unindexed else [])])


def _shown(count: int, what: str, first: Sequence[str], mark: str = ", ") -> list[str]:
    shown = mark.join(first[:5]) + (" ..." if count > 5 else "")
    return [f"  {count} rows {what}: {shown}"] if count else []
