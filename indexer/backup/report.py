"""What backing up, restoring, checking and pruning did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from vitrine.indexer.job.job import Report, first_few
from vitrine.services.values.words import counted


@dataclass
class BackupReport(Report):
    """One backup that was made, or restored from.

    ``categories``: points by category; ``files`` and ``bytes``: what was written, the rest was there.
    ``lacking``: (category, key, reason) of pictures that could not be copied; ``damaged``: why categories
    could not, by name.
    """

    place: str
    did: str = "Backed up"
    backup: str = ""
    categories: dict[str, int] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    lacking: list[tuple[str, str, str]] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        return len(self.lacking) + len(self.damaged)

    def to_json(self) -> dict[str, Any]:
        tree = super().to_json()
        del tree["did"]
        return tree | {
            "lacking": [
                {"category": category, "object": key, "reason": reason}
                for category, key, reason in self.lacking
            ],
            "error": self.error_json(),
        }

    def summary(self) -> str:
        lines = [f"{name}: {counted(points, 'image')}" for name, points in self.categories.items()]
        lines.append(
            f"{self.did} {self.backup} in {self.place}: {counted(self.files, 'file')} written, "
            f"{self.bytes / 1e6:,.1f} MB, in {self.seconds:.1f} s."
        )
        lines += [f"Left out, since it is damaged: {name}: {why}" for name, why in self.damaged.items()]
        if self.lacking:
            lines.append(f"{counted(len(self.lacking), 'picture')} could not be copied:")
            shown = [f"{category}: {key}: {reason}" for category, key, reason in self.lacking]
            lines += first_few(shown, len(shown), "--json has all")
        return "\n".join([*lines, *self.notes, *self.ending()])


@dataclass(frozen=True)
class Fault:
    """A file of a backup that is missing or damaged: its path below the place, and what it holds."""

    file: str
    holds: str
    reason: str


@dataclass
class VerifyReport(Report):
    """What was found by reading backups: ``files`` and ``bytes`` that were looked at, and ``faults``."""

    place: str
    backups: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    removed: int = 0

    @property
    def refused(self) -> int:
        return len(self.faults)

    def to_json(self) -> dict[str, Any]:
        faults = [asdict(fault) for fault in self.faults]
        return super().to_json() | {"faults": faults, "error": self.error_json()}

    def summary(self) -> str:
        lines = [
            f"{counted(len(self.backups), 'backup')} in {self.place}: {counted(self.files, 'file')}, "
            f"{self.bytes / 1e6:,.1f} MB, {counted(len(self.faults), 'fault')}."
        ]
        shown = [f"{fault.file}: {fault.holds}: {fault.reason}" for fault in self.faults]
        lines += first_few(shown, len(shown), "--json has all")
        if self.removed:
            lines.append(
                f"Removed {counted(self.removed, 'damaged file')}: the next `vitrine backup create` "
                "copies them again."
            )
        elif self.faults:
            lines.append(
                "With --remove-damaged these files go, so that the next `vitrine backup create` copies them "
                "again."
            )
        return "\n".join([*lines, *self.notes, *self.ending()])


@dataclass
class PruneReport(Report):
    """Which backups were deleted, and how much content that nothing needs any more."""

    place: str
    kept: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0

    def summary(self) -> str:
        return "\n".join(
            [
                f"Kept {counted(len(self.kept), 'backup')} in {self.place}, deleted {len(self.deleted)}: "
                f"{counted(self.files, 'file')}, {self.bytes / 1e6:,.1f} MB.",
                *self.notes,
                *self.ending(),
            ]
        )
