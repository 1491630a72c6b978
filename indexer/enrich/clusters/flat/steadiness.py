"""How far a run agrees with the one it replaces, and with itself under other seeds: adjusted Rand indices by
level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vitrine.indexer.enrich.clusters.agreement import adjusted_rand
from vitrine.indexer.enrich.clusters.tree.kmeans import Labels
from vitrine.indexer.enrich.clusters.tree.tree import Tree
from vitrine.services.artifacts.clusters import path_of


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
    labels = [tree.at(level) for tree in trees]
    found = [adjusted_rand(one, other) for one, other in combinations(labels, 2)]
    figures = {"mean": float(np.mean(found)), "spread": float(np.std(found)), "least": min(found)}
    return {name: round(value, 6) for name, value in figures.items()}
