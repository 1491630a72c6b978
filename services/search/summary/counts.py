"""What a summary counts, whoever counts it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from vitrine.services.domain import Bin, Facet
from vitrine.services.errors import BadRequest

Owner = str | None
"""Which set of images is meant: those that meet all conditions but the ones on this field; None: all."""
MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class FacetCounts:
    """The most frequent values of a field, equal counts in order of value. ``more``: there are others.
    ``missing``: images that have no value."""

    field: str
    values: tuple[Facet, ...]
    more: bool
    missing: int


@dataclass(frozen=True)
class Histogram:
    """Equal bins in rising order, none where no image has a value. Edges of dates are seconds since 1970.
    ``missing``: images that have no value."""

    field: str
    bins: tuple[Bin, ...]
    missing: int


@dataclass(frozen=True)
class Span:
    """How the values of a field are put into bins: ``bins`` of equal width from ``lower`` to ``upper`` (None:
    the least or greatest value found)."""

    bins: int
    lower: float | None = None
    upper: float | None = None

    def between(self, least: float | None, greatest: float | None) -> tuple[float, float] | None:
        """Return the edges, with the least and greatest value found where they are open; None where no value
        was found. ``BadRequest`` if they bound no range."""
        lower = least if self.lower is None else self.lower
        upper = greatest if self.upper is None else self.upper
        if lower is None or upper is None:
            return None
        if not lower <= upper or not math.isfinite(upper - lower):
            raise BadRequest(
                f"The edges {lower} and {upper} do not bound a range: give finite numbers, the lower first."
            )
        return lower, upper


class Counts(Protocol):
    """Counts of images, in sets that are named by whose conditions are left out."""

    def size(self, owner: Owner) -> int:
        """Return how many images the set has."""
        ...

    def facet(self, field: str, owner: Owner, limit: int) -> tuple[tuple[Facet, ...], bool, int]:
        """Return the most frequent values of a field in the set, whether there are more, and how many images
        have none."""
        ...

    def histogram(self, field: str, owner: Owner, span: Span) -> tuple[tuple[Bin, ...], int]:
        """Return the bins of a field in the set, and how many images have no value."""
        ...
