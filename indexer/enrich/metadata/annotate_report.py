"""What became of the rows of a table that was joined to a category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vitrine.indexer.job.job import Report
from vitrine.services.category.payload import unindexed_note

SHOWN = 10
"""Names and rows told of each kind."""


@dataclass
class AnnotateReport(Report):
    """A run's end. ``rows`` = ``matched`` + ``unmatched`` + ``ambiguous`` + ``conflicting`` + ``malformed``.

    ``ambiguous``: rows whose name several images have. ``conflicting``: rows of a name that others say
    something else of. ``images``: that the matched rows mean; of these ``updated``, ``unchanged`` (they say
    so already) and ``gone`` (deleted meanwhile). ``malformed_first``: (row number, reason), the number as an
    editor shows it.
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
            "interrupted": self.interrupted,
            "seconds": self.stages,
        }

    def summary(self) -> str:
        done = "would be updated" if self.dry_run else "updated"
        lines = [
            f"{self.table}: {self.matched} of {self.rows} rows met {_images(self.images)} (by "
            f"{self.on}, column {self.column})"
        ]
        told = [
            f"{self.updated} {done}",
            f"{self.unchanged} said so already",
            f"{self.gone} deleted meanwhile",
        ]
        lines += ["  " + ", ".join([told[0], *(text for text in told[1:] if not text.startswith("0 "))])]
        lines += _told(self.unmatched, "name no image of the category", self.unmatched_first)
        lines += _told(
            self.ambiguous,
            "name several images, so they were not applied (--all-of-a-name)",
            self.ambiguous_first,
        )
        lines += _told(
            self.conflicting,
            "say different things of one image, so they were not applied",
            self.conflicting_first,
        )
        lines += _told(
            self.malformed,
            "are malformed",
            [f"row {row}: {reason}" for row, reason in self.malformed_first],
            "; ",
        )
        if self.interrupted:
            lines += ["Interrupted. What is written counts; run again to complete it."]
        return "\n".join([*lines, *self.notes, *([unindexed_note(self.unindexed)] if self.unindexed else [])])


def _told(count: int, what: str, first: Sequence[str], mark: str = ", ") -> list[str]:
    shown = mark.join(first[:5]) + (" ..." if count > 5 else "")
    return [f"  {count} rows {what}: {shown}"] if count else []


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
