"""How near-duplicates are looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vitrine.services.options import Options, option

Criterion = Literal["colour", "resolution", "format", "bytes", "metadata"]
POLICY: tuple[Criterion, ...] = ("colour", "resolution", "format", "bytes", "metadata")
"""One with colours before a grey one; of those the most pixels; of those the best format; of those the
largest file; of those the one most is known of."""


@dataclass(frozen=True)
class Reach(Options):
    """How far to look for candidates."""

    band: int = option(8, "Most bits in which perceptual hashes differ.", ge=0, le=15)
    similarity: float = option(0.8, "Least cosine similarity of embeddings.", gt=0, le=1)
    neighbours: int = option(16, "Nearest images of each that are looked at.", ge=1, le=1_000)
    flips: bool = option(False, "Mirrored and turned copies as well.")


@dataclass(frozen=True)
class DuplicateOptions(Reach):
    """How to look for duplicates, and which image of a group to keep."""

    using: str | None = option(None, "The vector whose neighbours are looked at. [default: the category's]")
    look: bool = option(True, "Judge by the pictures; without, by much nearer hashes and embeddings alone.")
    prefer: tuple[Criterion, ...] = option((), f"Keep by these, in this order. [default: {','.join(POLICY)}]")

    @property
    def policy(self) -> tuple[Criterion, ...]:
        """The criteria to keep by, each once."""
        return tuple(dict.fromkeys(self.prefer)) or POLICY
