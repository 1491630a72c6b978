"""How far two groupings of the same images agree, and how far a clustering agrees with itself under other
seeds.

Labels are integers or strings; noise (-1) counts as one more group. All three figures come from the
contingency table, at the cost of a sort of the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Groups = Sequence[str] | Sequence[int] | NDArray[Any]
"""(n,): which group each image is in."""


@dataclass(frozen=True)
class Agreement:
    """Of clusters with classes: ``nmi`` and ``purity`` in 0..1, ``ari`` at most 1, 0 by chance."""

    nmi: float
    ari: float
    purity: float


@dataclass(frozen=True)
class Stability:
    """Adjusted Rand index between every two runs: 1 where the seed does not matter. ``runs`` counts them."""

    mean: float
    least: float
    runs: int


def agreement(clusters: Groups, classes: Groups) -> Agreement:
    """All three figures of ``clusters`` (n,) against the true ``classes`` (n,)."""
    return Agreement(
        normalised_mutual_information(clusters, classes),
        adjusted_rand(clusters, classes),
        purity(clusters, classes),
    )


def adjusted_rand(first: Groups, second: Groups) -> float:
    """Share of pairs on which both agree, corrected for chance: 1 for equal groupings, about 0 for unrelated
    ones, at least -0.5.

    With index = sum over cells of C(n_ij, 2), rows and columns likewise: (index - expected) / (mean(rows,
    columns) - expected), where expected = rows * columns / C(n, 2) (Hubert and Arabie, "Comparing
    partitions", 1985).

    >>> adjusted_rand([0, 0, 1, 1], ["b", "b", "a", "a"])
    1.0
    >>> round(adjusted_rand([0, 0, 0, 1], [0, 0, 1, 1]), 6)
    0.0
    """
    cells, rows, columns = _table(first, second)
    index, of_rows, of_columns = _pairs(cells), _pairs(rows), _pairs(columns)
    every = _pairs(rows.sum(keepdims=True))
    expected = of_rows * of_columns / every if every else 0.0
    most = (of_rows + of_columns) / 2
    return 1.0 if most == expected else float((index - expected) / (most - expected))


def normalised_mutual_information(first: Groups, second: Groups) -> float:
    """Mutual information over the mean of both entropies, 0..1 (Strehl and Ghosh, 2002, with the arithmetic
    mean).

    1 where both are one single group.

    >>> round(normalised_mutual_information([0, 0, 1, 1], [0, 1, 0, 1]), 6)
    0.0
    """
    cells, rows, columns = _table(first, second)
    of_rows, of_columns = _entropy(rows), _entropy(columns)
    if not of_rows and not of_columns:
        return 1.0
    shared = of_rows + of_columns - _entropy(cells)
    return float(min(1.0, max(0.0, 2 * shared / (of_rows + of_columns))))


def purity(clusters: Groups, classes: Groups) -> float:
    """Share of images that are of the most frequent class of their cluster, 0..1; rises with the number of
    clusters.

    >>> purity([0, 0, 0, 1], ["hat", "hat", "shoe", "shoe"])
    0.75
    """
    ids = _ids(clusters), _ids(classes)
    width = int(ids[1].max()) + 1
    pairs, counts = np.unique(ids[0] * width + ids[1], return_counts=True)
    most = np.zeros(int(ids[0].max()) + 1, np.int64)
    np.maximum.at(most, pairs // width, counts)
    return float(most.sum() / len(ids[0]))


def stability(run: Callable[[int], Groups], seeds: Sequence[int], first: Groups | None = None) -> Stability:
    """Cluster again with each of ``seeds`` and compare every two; ``first``: labels that are there already.

    A clustering that does not draw (agglomerative, DBSCAN, HDBSCAN) is 1 by construction. ``ValueError`` for
    fewer than two runs.

    >>> stability(lambda seed: [0, 0, 1, 1] if seed else [0, 0, 0, 1], [0, 1])
    Stability(mean=0.0, least=0.0, runs=2)
    """
    runs = [] if first is None else [first]
    runs += [run(seed) for seed in seeds]
    if len(runs) < 2:
        raise ValueError("stability compares two runs or more")
    found = [adjusted_rand(one, other) for one, other in combinations(runs, 2)]
    return Stability(float(np.mean(found)), min(found), len(runs))


def _ids(groups: Groups) -> NDArray[np.int64]:
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)


def _table(first: Groups, second: Groups) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Counts of the pairs of groups that occur, of the first's groups, of the second's."""
    if len(first) != len(second) or not len(first):
        raise ValueError(f"two groupings of the same images, not {len(first)} and {len(second)} labels")
    one, other = _ids(first), _ids(second)
    cells = np.unique(one * (int(other.max()) + 1) + other, return_counts=True)[1]
    return cells, np.bincount(one), np.bincount(other)


def _pairs(counts: NDArray[np.int64]) -> float:
    wide = counts.astype(np.float64)
    return float((wide * (wide - 1) / 2).sum())


def _entropy(counts: NDArray[np.int64]) -> float:
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum()) + 0.0 if len(counts) > 1 else 0.0
