"""The report of a clustering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vitrine.indexer.job.versions import VersionReport


@dataclass
class ClusterReport(VersionReport):
    """What became of the images of a clustering, complete or not."""

    category: str
    run: str
    using: str
    method: str = ""
    nodes: int = 0
    leaves: int = 0
    depth: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def summary(self) -> str:
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.stages.items())
        parts = "leaves" if self.method == "tree" else "clusters"
        lines = [
            f"{self.run}: {self.images} images in {self.leaves} {parts} by {self.method} on {self.using}"
        ]
        lines += [f"  {self.written} images written; {spent}", *self._steadiness()]
        if self.interrupted:
            lines = ["Interrupted. What is stored counts; run again to complete it."]
        return "\n".join([*lines, *self.notes])

    def _steadiness(self) -> list[str]:
        """Return the agreement with the run that was replaced, and with other seeds (adjusted Rand index)."""
        lines, former, again = [], self.metrics.get("former"), self.metrics.get("stability")
        if former:
            first = (
                ""
                if former["ari_first_level"] == former["ari"]
                else f", {former['ari_first_level']:.3f} at the first level"
            )
            lines += [
                f"  agreement with the run it replaces (ARI): {former['ari']:.3f}{first}, over "
                f"{former['images']} images"
            ]
        if again and not again["seeds"]:
            lines += ["  other seeds: the same, as this method draws nothing"]
        elif again:
            by_level = "".join(f", level {level['level']} {level['mean']:.3f}" for level in again["levels"])
            figures = (
                f"{again['mean']:.3f} on average, spread {again['spread']:.3f}, {again['least']:.3f} at least"
            )
            lines += [f"  agreement of {len(again['seeds'])} seeds (ARI): {figures}{by_level}"]
        return lines
