"""What exports share: the report, and the images page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vitrine.indexer.job.job import Report, first_few
from vitrine.services.category import read_all
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Hit
from vitrine.services.runtime import Runtime
from vitrine.services.values.words import counted

PAGE = 500
"""Images that are read at a time."""


@dataclass
class ExportReport(Report):
    """What an export did, complete or not.

    ``images``: exported ones; ``files``: written ones; ``there``: files that were there with the same
    content; ``without``: images that lack the value they are sorted by. ``folders``: images by folder.
    ``failed``: (id, reason) of images whose picture is missing or damaged, or whose names other files have.
    ``moved``: images that were removed from the category once they were in the folder.
    """

    category: str
    target: str
    images: int = 0
    files: int = 0
    there: int = 0
    without: int = 0
    folders: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    moved: int = 0

    @property
    def done(self) -> int:
        """Images that were looked at."""
        return self.images + self.without + len(self.failed)

    @property
    def refused(self) -> int:
        return len(self.failed)

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {
            "folders": dict(sorted(self.folders.items())),
            "failed": [{"id": id, "reason": reason} for id, reason in self.failed],
            "interrupted": self.interrupted,
            "error": self.error_json(),
        }

    def summary(self) -> str:
        files = (
            f", {self.files} files written, {self.there} there already" if self.files or self.there else ""
        )
        lines = [f"{self.images} images exported to {self.target} in {self.seconds:.1f} s{files}"]
        lines += [f"  {count:>7} {name}" for name, count in sorted(self.folders.items())[:50]]
        lines += [f"  ... and {len(self.folders) - 50} more folders"] if len(self.folders) > 50 else []
        lines += [f"{self.without} images lack the value and were left out"] if self.without else []
        if self.failed:
            lines.append(f"{len(self.failed)} could not be exported:")
            failed = [f"{id}: {reason}" for id, reason in self.failed]
            lines += first_few(failed, len(failed), "--json lists all", indent="  ")
        if self.moved:
            lines.append(f"{counted(self.moved, 'image')} left Vitrine.")
        if self.error:
            lines.append(f"Ended early ({self.error.code}): {self.error.message}")
        elif self.interrupted:
            lines.append("Interrupted: run it again to go on.")
        return "\n".join(lines)


def pages(runtime: Runtime, category: str, conditions: Conditions) -> Iterator[tuple[Hit, ...]]:
    """Yield all images that meet the conditions, in order of id, with their payloads."""
    chosen = runtime.searcher.to_filter(runtime.catalog.get(category), conditions)
    return read_all.pages(runtime.vectors, category, filter=chosen, fields=True, size=PAGE)
