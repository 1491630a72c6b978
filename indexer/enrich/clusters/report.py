"""The end of a cluster run, complete or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class ClusterReport:
    """``written``: images that got their node. ``in_service``: queries see them. ``seconds`` by stage."""

    category: str
    run: str
    using: str
    key: str = ""
    method: str = ""
    images: int = 0
    nodes: int = 0
    leaves: int = 0
    depth: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    written: int = 0
    in_service: bool = False
    interrupted: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def status(self) -> Literal["complete", "interrupted"]:
        return "interrupted" if self.interrupted else "complete"

    @property
    def exit_code(self) -> int:
        """0 complete, 130 interrupted."""
        return 130 if self.interrupted else 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object of all of it."""
        return {"status": self.status, **vars(self)}

    def summary(self) -> str:
        """A few lines for people."""
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        parts = "leaves" if self.method == "tree" else "clusters"
        lines = [
            f"{self.run}: {self.images} images in {self.leaves} {parts} by {self.method} on {self.using}"
        ]
        lines += [f"  {self.written} images written; {spent}", *self._steadiness()]
        if self.interrupted:
            lines = ["Interrupted. What is stored counts; run again to complete it."]
        return "\n".join([*lines, *self.notes])

    def _steadiness(self) -> list[str]:
        """Adjusted Rand indices with the run that was replaced, and with other seeds."""
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
            told = (
                f"{again['mean']:.3f} on average, spread {again['spread']:.3f}, {again['least']:.3f} at least"
            )
            lines += [f"  agreement of {len(again['seeds'])} seeds (ARI): {told}{by_level}"]
        return lines
