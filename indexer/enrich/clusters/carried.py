"""The names that people gave the nodes of a run go over to the run that takes its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitrine.indexer.enrich.clusters.tree.tree import Tree
from vitrine.services.artifacts.cluster_changes import BY_PEOPLE
from vitrine.services.artifacts.clusters import ClusterRun, path_of
from vitrine.services.columns.column import Mask

LEAST_SHARED = 0.8
"""Of the images of both nodes together, so many are in both (Jaccard): then they are the same to a person."""
_SHOWN = 5


@dataclass(frozen=True)
class Carried:
    """``names`` by node of the new run, and those of the former run that no node of the new one is like."""

    names: dict[str, str]
    lost: list[str]

    def note(self, run: str) -> str:
        """Return what became of the names, "" where there were none."""
        said = []
        if self.names:
            said.append(f"Names by people that went over: {_listed(list(self.names.values()))}.")
        if self.lost:
            said.append(
                f"Lost, as no node has nearly the same images: {_listed(self.lost)}; "
                f"vitrine cluster show {run} lists the new ones."
            )
        return " ".join(said)


def carried_names(former: ClusterRun, former_leaves: Sequence[str], tree: Tree) -> Carried:
    """Return which nodes of ``tree`` get the names that people gave nodes of ``former``: of each that node
    which shares the most of its images, ``LEAST_SHARED`` or more. ``former_leaves``: of each row of the tree
    the leaf it had, "" where it had none."""
    named = {id: node.name for id, node in former.nodes.items() if node.named_by == BY_PEOPLE and node.name}
    paths = {leaf: set(path_of(leaf)) for leaf in set(former_leaves) - {""}}
    found: list[tuple[float, str, str]] = []
    lost = []
    for id, name in named.items():
        inside = np.array([leaf != "" and id in paths[leaf] for leaf in former_leaves], bool)
        shares = _shares(inside, tree)
        best = max(shares, key=shares.__getitem__, default="")
        if best and shares[best] >= LEAST_SHARED:
            found.append((-shares[best], best, name))  # the most alike first
        else:
            lost.append(name)
    names: dict[str, str] = {}
    for _, id, name in sorted(found):
        if id in names:
            lost.append(name)
        names.setdefault(id, name)
    return Carried(names, lost)


def _shares(inside: Mask, tree: Tree) -> dict[str, float]:
    """Return what each node of the tree that has any of the rows ``inside`` shares with them, in 0..1."""
    both: dict[str, int] = {}
    for leaf, count in enumerate(np.bincount(tree.leaves[inside], minlength=len(tree.leaf_ids)).tolist()):
        for id in path_of(tree.leaf_ids[leaf]) if count else ():
            both[id] = both.get(id, 0) + count
    size = int(np.count_nonzero(inside))
    return {id: count / (size + tree.nodes[id].count - count) for id, count in both.items()}


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + rest
