"""The report of a sync."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vitrine.indexer.job.conflicts import FILENAME
from vitrine.indexer.job.job import Report, first_few
from vitrine.indexer.job.report import MAX_REFUSALS, IndexReport
from vitrine.services.category.changes.entries import undo_json

if TYPE_CHECKING:
    from vitrine.services.category.changes.entries import Undo

MAX_NAMES = MAX_REFUSALS


@dataclass(kw_only=True)
class SyncReport(Report):
    """What a sync did, or would do (``dry_run``).

    ``indexed``: what became of the files that were read. ``unchanged``: images of files that were not read.
    ``moved``: by id, the former and the new name. ``gone``: images that left for the bin, name by id;
    ``undo`` takes them out again. ``stay``: images whose file is gone, and which stay since they came from
    elsewhere. ``still_refused``: pictures that were refused before, and have not changed (name, reason,
    message).
    """

    category: str
    source: str
    dry_run: bool = False
    indexed: IndexReport = field(default_factory=lambda: IndexReport(""))
    unchanged: int = 0
    moved: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    gone: Mapping[str, str] = field(default_factory=dict)
    stay: int = 0
    still_refused: list[tuple[str, str, str]] = field(default_factory=list)
    undo: Undo | None = None

    @property
    def refused(self) -> int:
        return self.indexed.refused

    def settle_moved(self) -> None:
        """Take what was said of names that images had, and have no more, out of the conflicts."""
        now = {new for _, new in self.moved.values()}
        report = self.indexed
        report.conflicts = [
            (name, conflict)
            for name, conflict in report.conflicts
            if conflict.field != FILENAME or name not in now
        ]
        report.other_names = sum(conflict.field == FILENAME for _, conflict in report.conflicts)

    def to_json(self) -> dict[str, Any]:
        return self.indexed.to_json() | {
            "status": self.status,
            "category": self.category,
            "source": self.source,
            "dry_run": self.dry_run,
            "unchanged": self.unchanged,
            "moved": len(self.moved),
            "moves": [
                {"id": id, "from": old, "to": new} for id, (old, new) in list(self.moved.items())[:MAX_NAMES]
            ],
            "gone": len(self.gone),
            "left": [{"id": id, "filename": name} for id, name in list(self.gone.items())[:MAX_NAMES]],
            "stay": self.stay,
            "still_refused": [
                {"filename": name, "reason": why, "message": text}
                for name, why, text in self.still_refused[:MAX_NAMES]
            ],
            "undo": undo_json(self.undo),
            "seconds": round(self.seconds, 3),
            "notes": [*self.indexed.notes, *self.notes],
            "error": self.error_json(),
        }

    def summary(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        would = "Dry run, nothing is written: " if self.dry_run else ""
        read = self.indexed
        yield (
            f"{would}{read.added} added, {read.updated} updated, {read.known} known, "
            f"{len(self.moved)} moved, {len(self.gone)} gone, {self.unchanged} unchanged, "
            f"{read.refused} refused in {self.seconds:.1f} s"
        )
        moves = [f"{old} is now {new}" for old, new in self.moved.values()]
        yield from first_few(moves, len(moves), "--json lists them")
        gone = [f"{name} is gone" for name in self.gone.values()]
        yield from first_few(gone, len(gone), "--json lists them")
        yield from (f"  {count} {reason}" for reason, count in read.reasons.most_common())
        refusals = [f"{name}: {message}" for name, _, message in read.refusals[:10]]
        yield from first_few(refusals, read.refused, "--refused FILE lists all")
        if self.still_refused:
            yield f"  {len(self.still_refused)} that were refused before have not changed:"
            lines = [f"{name}: {message}" for name, _, message in self.still_refused]
            yield from first_few(lines, len(lines), "--json lists them")
        if self.stay:
            yield f"{self.stay} images whose file is gone came from elsewhere too, and stay."
        yield from read.notes
        yield from self.notes
        if read.images is not None:
            yield f"{self.category} holds {read.images} images."
        yield from self.ending()
