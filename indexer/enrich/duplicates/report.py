"""The report of a search for near-duplicates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from vitrine.indexer.job.job import Report
from vitrine.services.artifacts.duplicates import DuplicateGroup


@dataclass
class DuplicateReport(Report):
    """What a search found. Files with the same bytes are one image from the start, so none of those is among
    them.

    ``candidates``: pairs that hashes or embeddings proposed; ``compared``: those that were left after
    a quick look; ``judged``: pairs that were looked at closely, also within groups. ``duplicates``: images in
    groups, without the one of each that is kept. ``kinds`` counts them by kind of copy. ``unreadable``:
    pictures that could not be compared; ``failed``: pairs that could not. ``groups`` are there after a dry
    run as well.
    """

    category: str
    images: int = 0
    candidates: int = 0
    compared: int = 0
    judged: int = 0
    duplicates: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    failed: int = 0
    dismissed: int = 0
    groups: tuple[DuplicateGroup, ...] = ()
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {
            "groups": len(self.groups),
            "kinds": dict(self.kinds),
            "seconds": self.stages,
        }

    def summary(self) -> str:
        if self.interrupted:
            return f"{self.category}: interrupted; nothing was written."
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common())
        found = f"{len(self.groups)} groups, {self.duplicates} images besides those to keep" + (
            f" ({kinds})" if kinds else ""
        )
        pairs = f"{self.candidates} pairs looked at, {self.judged} of them closely,"
        looked = f"{self.images} images, {pairs} in {sum(self.stages.values()):.1f} s"
        notes = [f"{self.unreadable} pictures could not be read"] if self.unreadable else []
        notes += [f"{self.failed} pairs could not be compared"] if self.failed else []
        notes += ["nothing was written (dry run)"] if self.dry_run else []
        known = "Files with the same bytes are one image already."
        return "; ".join([f"{self.category}: {looked}: {found}", *notes]) + f". {known}"
