"""Values counted, and numbers counted in bins."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vitrine.services.columns.column import Column, Mask
from vitrine.services.domain import Bin, Facet

Edges: TypeAlias = NDArray[np.float64]
"""The edges of bins, rising: one more than there are bins."""


def most_frequent(column: Column, mask: Mask, limit: int) -> tuple[list[Facet], bool]:
    """Return the ``limit`` most frequent values of the rows in ``mask``, equal counts in order of value; and
    whether there are more."""
    items = column.items_of(mask)
    if column.has_words:
        counts = np.bincount(items, minlength=len(column.words))
        there = np.flatnonzero(counts)
        first = _first(there, counts[there], column.words.ranks[there], limit)
        facets = [Facet(column.words.values[code], int(counts[code])) for code in first]
    else:
        values, found = np.unique(items, return_counts=True)
        there = np.arange(len(values))
        first = _first(there, found, there, limit)
        facets = [Facet(int(values[place]), int(found[place])) for place in first]
    return facets, len(there) > limit


def _first(
    places: NDArray[np.int64], counts: NDArray[np.int64], ranks: NDArray[np.int64], limit: int
) -> list[int]:
    """Return the ``limit`` places of the highest counts, and of the lowest ranks where they are equal."""
    if not len(places):
        return []
    keys = ranks - counts * (int(ranks.max()) + 1)
    if len(keys) > limit:
        chosen = np.argpartition(keys, limit - 1)[:limit]
        places, keys = places[chosen], keys[chosen]
    order: list[int] = places[np.argsort(keys)].tolist()
    return order


def edges_between(lower: float, upper: float, bins: int) -> Edges:
    """Return the edges of equal bins; of one value, a single bin."""
    return np.linspace(lower, upper, bins + 1) if upper > lower else np.array([lower, upper], np.float64)


def counted(column: Column, mask: Mask, edges: Edges) -> list[Bin]:
    """Return how many of the rows in ``mask`` have a value in each bin."""
    if column.rows is None:
        return binned(column.items_of(mask), edges)
    chosen = mask[column.rows]
    bins, inside = _bins_of(column.items[chosen], edges)
    pairs = column.rows[chosen][inside].astype(np.int64) * len(edges) + bins[inside]
    return _as_bins(np.unique(pairs) % len(edges), edges)  # a row with several values in a bin counts once


def binned(values: NDArray[np.generic], edges: Edges) -> list[Bin]:
    """Return how many of the values are in each bin."""
    bins, inside = _bins_of(values, edges)
    return _as_bins(bins[inside], edges)


def _bins_of(values: NDArray[np.generic], edges: Edges) -> tuple[NDArray[np.int64], Mask]:
    """Return the bin of each value, and which values are in one."""
    bins = np.searchsorted(edges[:-1], values, side="right") - 1
    inside = (bins >= 0) & (values <= edges[-1])
    return bins, inside


def _as_bins(found: NDArray[np.int64], edges: Edges) -> list[Bin]:
    counts: Sequence[int] = np.bincount(found, minlength=len(edges) - 1).tolist()
    ends = pairwise(edges.tolist())
    return [Bin(lower, upper, count) for (lower, upper), count in zip(ends, counts, strict=True)]
