"""How far two groupings of the same images agree, and a clustering with itself under other seeds.

Labels are integers or strings; noise (-1) counts as one more group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.clusters.tree.kmeans import Labels
from vitrine.indexer.enrich.clusters.tree.tree import Tree
from vitrine.services.artifacts.clusters import path_of

Groups = Sequence[str] | Sequence[int] | NDArray[Any]
"""(n,): which group each image is in."""


@dataclass(frozen=True)
class Agreement:
    """How far clusters agree with classes: ``nmi`` and ``purity`` in 0..1, ``ari`` at most 1, 0 by chance."""

    nmi: float
    ari: float
    purity: float


@dataclass(frozen=True)
class Stability:
    """The adjusted Rand index between every two of ``runs`` clusterings: 1 where the seed does not matter."""

    mean: float
    least: float
    runs: int


def agreement(clusters: Groups, classes: Groups) -> Agreement:
    """Compare ``clusters`` (n,) with the true ``classes`` (n,)."""
    return Agreement(
        normalised_mutual_information(clusters, classes),
        adjusted_rand(clusters, classes),
        purity(clusters, classes),
    )


def adjusted_rand(first: Groups, second: Groups) -> float:
    """Return the adjusted Rand index (Hubert and Arabie, 1985): 1 for equal groupings, about 0 for unrelated
    ones, at least -0.5.

    Written out, since every clustering is compared with the one before, also where scikit-learn is not
    installed: (index - expected) / (mean of rows and columns - expected) over the pairs C(n, 2) of the cells,
    rows and columns of the contingency table, where expected = rows * columns / pairs.

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
    """Return the mutual information over the mean of both entropies, 0..1 (Strehl and Ghosh, 2002).

    1 where both are one single group. The information is the sum of both entropies, less that of the cells
    of the contingency table; written out, since a server has no scikit-learn.

    >>> round(normalised_mutual_information([0, 0, 1, 1], [0, 1, 0, 1]), 6)
    0.0
    """
    cells, *sides = _table(first, second)
    one, other = map(_entropy, sides)
    mean = (one + other) / 2
    return 1.0 if mean == 0 else max(0.0, (one + other - _entropy(cells)) / mean)


def purity(clusters: Groups, classes: Groups) -> float:
    """Return the share of images that are of the most frequent class of their cluster, 0..1.

    It rises with the number of clusters.

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
    """Cluster again with each of ``seeds`` and compare every two; ``first``: labels that are known already.

    A method that draws nothing at random has 1. ``ValueError`` for fewer than two runs.

    >>> stability(lambda seed: [0, 0, 1, 1] if seed else [0, 0, 0, 1], [0, 1])
    Stability(mean=0.0, least=0.0, runs=2)
    """
    runs = [] if first is None else [first]
    runs += [run(seed) for seed in seeds]
    if len(runs) < 2:
        raise ValueError("stability compares two runs or more")
    found = _every_two(runs)
    return Stability(float(np.mean(found)), min(found), len(runs))


@dataclass(frozen=True)
class Leaves:
    """A tree without its nodes: ``leaves`` (n,), the number of each row's leaf in ``leaf_ids``."""

    leaf_ids: tuple[str, ...]
    leaves: Labels

    @classmethod
    def of(cls, tree: Tree) -> Leaves:
        return cls(tree.leaf_ids, tree.leaves)

    @property
    def depth(self) -> int:
        return max(len(path_of(id)) - 1 for id in self.leaf_ids)

    def at(self, level: int | None) -> Labels:
        """Return the number (n,) of each row's node at a level below the root (1: its children), or of its
        leaf where that is higher.

        None: the leaf.
        """
        if level is None:
            return self.leaves
        nodes = [path_of(id)[: level + 1][-1] for id in self.leaf_ids]
        number = {id: n for n, id in enumerate(dict.fromkeys(nodes))}
        return np.array([number[id] for id in nodes], np.int32)[self.leaves]


def former_agreement(former: Sequence[str], tree: Tree) -> dict[str, Any]:
    """Compare the ``former`` leaf ids of the rows ("" for none) with the tree, over the rows that have both.

    Adjusted Rand indices: ``ari`` at the leaves, ``ari_first_level`` for the children of the root;
    ``images``: how many rows. Empty without such rows.
    """
    rows = np.array([row for row, leaf in enumerate(former) if leaf], np.int64)
    if not len(rows):
        return {}
    ids = tuple(dict.fromkeys(leaf for leaf in former if leaf))
    number = {id: n for n, id in enumerate(ids)}
    old = Leaves(ids, np.array([number[former[row]] for row in rows], np.int32))
    new = Leaves(tree.leaf_ids, tree.leaves[rows])
    return {
        "images": len(rows),
        "ari": round(adjusted_rand(old.at(None), new.at(None)), 6),
        "ari_first_level": round(adjusted_rand(old.at(1), new.at(1)), 6),
    }


def seed_agreement(trees: Sequence[Leaves], seeds: Sequence[int]) -> dict[str, Any]:
    """Return the adjusted Rand index between every two clusterings of the same rows: ``mean``, ``spread``
    (standard deviation), ``least``.

    At the leaves, and in ``levels`` for each level of a tree, from the children of the root down. One
    clustering alone, of a method that draws nothing at random, agrees with itself: 1, and no ``seeds``.
    """
    if len(trees) == 1:
        return {"seeds": [], "mean": 1.0, "spread": 0.0, "least": 1.0, "levels": []}
    depth = max(tree.depth for tree in trees)
    levels = (
        [{"level": level, **_between(trees, level)} for level in range(1, depth + 1)] if depth > 1 else []
    )
    return {"seeds": list(seeds), **_between(trees, None), "levels": levels}


def _between(trees: Sequence[Leaves], level: int | None) -> dict[str, float]:
    found = _every_two([tree.at(level) for tree in trees])
    figures = {"mean": float(np.mean(found)), "spread": float(np.std(found)), "least": min(found)}
    return {name: round(value, 6) for name, value in figures.items()}


def _every_two(runs: Sequence[Groups]) -> list[float]:
    return [adjusted_rand(one, other) for one, other in combinations(runs, 2)]


def _ids(groups: Groups) -> NDArray[np.int64]:
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)


def _table(first: Groups, second: Groups) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the sizes of the pairs of groups that occur, of the first's groups and of the second's."""
    if len(first) != len(second) or not len(first):
        raise ValueError(f"two groupings of the same images, not {len(first)} and {len(second)} labels")
    one, other = _ids(first), _ids(second)
    cells = np.unique(one * (int(other.max()) + 1) + other, return_counts=True)[1]
    return cells, np.bincount(one), np.bincount(other)


def _pairs(counts: NDArray[np.int64]) -> float:
    wide = counts.astype(np.float64)
    return float((wide * (wide - 1) / 2).sum())


def _entropy(counts: NDArray[np.int64]) -> float:
    """Return the entropy of groups of these sizes, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
