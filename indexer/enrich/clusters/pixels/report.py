"""The progress and the report of a clustering by pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitrine.indexer.enrich.clusters.report import ClusterReport

OUT_OF_TIME = 4
"""Exit code of a run whose time budget ended it."""


@dataclass
class PixelReport:
    """``cluster``: the report of the run. ``out_of_time``: the time budget ended it, and nothing is visible
    yet.

    ``groups`` of two and more images, ``grouped`` images in these. ``resumed``: it continued from a
    checkpoint. ``stage`` and ``done``: how far it came.
    """

    cluster: ClusterReport
    out_of_time: bool = False
    resumed: bool = False
    stage: str = ""
    done: int = 0
    groups: int = 0
    grouped: int = 0
    comparisons: int = 0
    unreadable: int = 0
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 complete, 4 out of time, 130 interrupted."""
        return OUT_OF_TIME if self.out_of_time else self.cluster.exit_code

    def to_json(self) -> dict[str, Any]:
        own = {name: value for name, value in vars(self).items() if name not in ("cluster", "seconds")}
        status = {"status": "out_of_time"} if self.out_of_time else {}
        return self.cluster.to_json() | status | own | {"compared_seconds": round(self.seconds, 3)}

    def summary(self) -> str:
        looked = f"{self.comparisons:,} comparisons in {self.seconds:.1f} s"
        if self.out_of_time:
            return (
                f"Out of time: stage {self.stage!r}, {self.done} batches of it done, {looked}. Nothing "
                "of it is visible yet: the same command again goes on from here."
            )
        if self.cluster.interrupted:
            return (
                "Interrupted; nothing of it is visible. The same command again goes on from the last "
                "checkpoint."
            )
        unread = f", {self.unreadable} of them unreadable" if self.unreadable else ""
        alone = self.cluster.images - self.grouped
        found = (
            f"{self.groups} groups of {self.grouped} images by {self.cluster.method}; {alone} alone{unread}"
        )
        return "\n".join(
            [f"{self.cluster.run}: {self.cluster.images} images: {found}", f"  {looked}", *self.cluster.notes]
        )
