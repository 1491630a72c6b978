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
        lines = [f"{self.run}: {self.images} images in {self.leaves} {parts} by {self.method} on {self.using}"]
        lines += [f"  {self.written} images written; {spent}"]
        if self.interrupted:
            lines = ["Interrupted. What is stored counts; run again to complete it."]
        return "\n".join([*lines, *self.notes])
