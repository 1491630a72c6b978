"""The report of a clustering by pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitrine.indexer.enrich.clusters.report import ClusterReport
from vitrine.indexer.job.job import Report, Status


@dataclass
class PixelReport(Report):
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

    @property
    def status(self) -> Status:
        return "out_of_time" if self.out_of_time else self.cluster.status

    def to_json(self) -> dict[str, Any]:
        own = super().to_json()
        compared = own.pop("seconds")
        del own["cluster"], own["notes"]
        return self.cluster.to_json() | own | {"compared_seconds": compared}

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
