"""What a check finds, and what it says in the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from vitrine.indexer.job.job import Report, first_few
from vitrine.services.values.words import counted


@dataclass
class Finding:
    """One thing that is not as it should be. ``code`` is stable; ``where``: ids of images, or keys of
    objects. ``advice``: what can be done. ``repaired``: it was done, and is as it should be now."""

    code: str
    category: str
    what: str
    advice: str
    where: list[str] = field(default_factory=list)
    harmless: bool = False
    repaired: bool = False

    def line(self) -> str:
        word = "repaired" if self.repaired else "note" if self.harmless else "WRONG"
        return f"{word:<9}{self.category}: {self.what} ({self.code})" + (
            "" if self.repaired else f" {self.advice}"
        )


@dataclass
class CheckReport(Report):
    """What a check of ``categories`` found. ``images``: those that were looked at; ``read_bytes``: of
    pictures that were read whole."""

    categories: list[str] = field(default_factory=list)
    deep: bool = False
    images: int = 0
    read_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def wrong(self) -> list[Finding]:
        """What is wrong still. Leftovers take room and nothing else."""
        return [each for each in self.findings if not (each.harmless or each.repaired)]

    @property
    def exit_code(self) -> int:
        """0 where all is well or was repaired, 3 where something is wrong; else as any job."""
        return super().exit_code or (3 if self.wrong else 0)

    def to_json(self) -> dict[str, Any]:
        found = [asdict(each) for each in self.findings]
        return super().to_json() | {
            "ok": not self.wrong,
            "findings": found,
            "interrupted": self.interrupted,
            "error": self.error_json(),
        }

    def summary(self) -> str:
        lines = [each.line() for each in self.findings]
        for each in self.findings:
            if each.where and not each.harmless:
                lines.append(f"  {each.code} of {each.category}:")
                lines += first_few(each.where, len(each.where), "--json lists all")
        counts = Counter(each.code for each in self.wrong)
        verdict = ", ".join(f"{count} {code}" for code, count in sorted(counts.items()))
        looked = "1 category" if len(self.categories) == 1 else f"{len(self.categories)} categories"
        lines.append(
            f"{looked}, {counted(self.images, 'image')} in {self.seconds:.1f} s: "
            + (f"wrong: {verdict}" if counts else "nothing is wrong")
        )
        return "\n".join([*lines, *self.ending()])
