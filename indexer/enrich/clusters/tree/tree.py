"""Hierarchical k-means: every node is split into ``branching`` children until it is small or deep enough.

Node ids give the path from the top: ``root``, ``root-14``, ``root-14-3``. Children are numbered by size, the
largest first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.tree.kmeans import Labels, kmeans
from vitrine.services.artifacts.clusters import NOISE, ROOT, assign_leaves
from vitrine.services.domain import Embedding, Embeddings
from vitrine.services.errors import BadRequest
from vitrine.services.threads import one_blas_thread

REPRESENTATIVES = 6
_POOL = 2_000
"""Rows that representatives are chosen among: enough for variety, and few to copy."""
_COLUMNS = 8
"""Rows are put in order in so many blocks of columns, each of which is copied."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TreeNode:
    """A node, by row numbers.

    ``centre``: the mean that k-means ended with, which decides between this node and its siblings; zero for
    noise. ``radius``: least cosine similarity of a member to the mean of the members. ``medoid``: the row
    most similar to all others on average. ``representatives``: a few rows, the medoid first, each unlike
    those before but more central than most.
    """

    id: str
    parent: str | None
    depth: int
    count: int
    centre: Embedding
    radius: float
    medoid: int
    representatives: tuple[int, ...]
    children: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """``nodes`` by id, parents before children; ``leaves``: the number of each row's leaf in ``leaf_ids``."""

    nodes: dict[str, TreeNode]
    leaf_ids: tuple[str, ...]
    leaves: Labels

    @property
    def centres(self) -> Embeddings:
        """(nodes, dim)."""
        return np.stack([node.centre for node in self.nodes.values()])

    def leaf(self, row: int) -> TreeNode:
        return self.nodes[self.leaf_ids[self.leaves[row]]]

    def assign(self, x: Embeddings) -> list[str]:
        """Return the leaf id of each row of ``x`` (n, dim), by the same decisions as the training."""
        return assign_leaves(self.nodes, self.centres, x)


def build_tree(
    x: Embeddings, options: TreeOptions, *, progress: Callable[[int, int], None] | None = None
) -> Tree:
    """Split unit vectors ``x`` (n, dim), float32.

    The rows of ``x`` are put in the order of the tree while it grows, so that each node is a slice and only a
    sample is copied; at the end, also after an error, they are as they were. ``progress(done, n)``: rows that
    have reached their leaf. ``BadRequest`` for no rows or options out of range.
    """
    if not len(x):
        raise BadRequest("There are no vectors to cluster: index images first.")
    builder = _Builder(x, options, progress)
    try:
        with one_blas_thread():
            builder.split(ROOT, None, 0, len(x))
    finally:
        _reorder(x, np.argsort(builder.order))
    return Tree(builder.nodes, tuple(builder.leaf_ids), builder.leaves)


def flat_tree(x: Embeddings, labels: Labels) -> Tree:
    """Return a flat clustering as a tree of one level: ``labels`` (n,) from 0 on, -1 for noise. ``root-0`` is
    the largest cluster."""
    _, first, label = np.unique(labels, return_index=True, return_inverse=True)
    ways = [
        (row,) for row in first[label].tolist()
    ]  # of equal clusters that with the first image comes first
    return given_tree(x, [way if label >= 0 else None for way, label in zip(ways, labels, strict=True)])[0]


def given_tree(
    x: Embeddings, ways: Sequence[tuple[int, ...] | None]
) -> tuple[Tree, dict[str, tuple[int, ...]]]:
    """Return a tree that is known already, and the way to each node by its id.

    ``ways`` (n,): by which child of which each row is reached, None for noise. Children are numbered by size,
    the largest first, whatever their numbers were.
    """
    if not len(x):
        raise BadRequest("There are no vectors to cluster: index images first.")
    inside: dict[tuple[int, ...], list[int]] = {}
    noise: list[int] = []
    for row, way in enumerate(ways):
        if way is None:
            noise.append(row)
        else:
            for end in range(len(way) + 1):
                inside.setdefault(way[:end], []).append(row)
    nodes: dict[str, TreeNode] = {}
    found: dict[str, tuple[int, ...]] = {}
    leaf_ids: list[str] = []
    leaves = np.zeros(len(x), np.int32)
    below: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for way in inside:
        if way:
            below.setdefault(way[:-1], []).append(way)
    waiting: list[tuple[str, str | None, tuple[int, ...]]] = [(ROOT, None, ())]
    while waiting:
        id, parent, way = waiting.pop()
        rows = np.array(inside.get(way, []) if way else range(len(x)), np.int64)
        children = sorted(below.get(way, ()), key=lambda one: (-len(inside[one]), one))
        named = [(f"{id}-{number}", one) for number, one in enumerate(children)]
        ids = [child for child, _ in named] + ([NOISE] if noise and not way else [])
        nodes[id], found[id] = _describe(id, parent, rows, x[rows], tuple(ids)), way
        if not ids:
            leaves[rows] = len(leaf_ids)
            leaf_ids.append(id)
        waiting += [(child, id, one) for child, one in reversed(named)]
    if noise:
        rows = np.array(noise, np.int64)
        described = _describe(NOISE, ROOT, rows, x[rows], ())
        # nothing is near to the centre of noise
        nodes[NOISE] = replace(described, centre=np.zeros_like(described.centre), radius=-1.0)
        leaves[rows] = len(leaf_ids)
        leaf_ids.append(NOISE)
    return Tree(nodes, tuple(leaf_ids), leaves), found


@dataclass(eq=False)
class _Builder:
    x: Embeddings
    options: TreeOptions
    progress: Callable[[int, int], None] | None
    nodes: dict[str, TreeNode] = field(default_factory=dict)
    leaf_ids: list[str] = field(default_factory=list)
    done: int = 0

    def __post_init__(self) -> None:
        self.leaves: Labels = np.zeros(len(self.x), np.int32)
        self.order: Rows = np.arange(len(self.x))
        """Which row of the caller's is at each place now."""

    def split(
        self, id: str, parent: str | None, start: int, end: int, centre: Embedding | None = None
    ) -> None:
        """Make the node of these places and everything below it. ``centre``: from the k-means of the
        parent."""
        vectors, depth = self.x[start:end], id.count("-")
        groups, centres = self._children(vectors, depth)
        children = tuple(f"{id}-{number}" for number in range(len(groups)))
        self.nodes[id] = _describe(id, parent, self.order[start:end], vectors, children, centre)
        if not children:
            self.leaves[self.order[start:end]] = len(self.leaf_ids)
            self.leaf_ids.append(id)
            self.done += len(vectors)
            if self.progress:
                self.progress(self.done, len(self.x))
            return
        chosen = np.concatenate(groups)
        self.order[start:end] = self.order[start:end][chosen]
        _reorder(vectors, chosen)
        for child, group, mean in zip(children, groups, centres, strict=True):
            self.split(child, id, start, start + len(group), mean)
            start += len(group)

    def _children(self, vectors: Embeddings, depth: int) -> tuple[list[Rows], Embeddings]:
        """Return the places of each child, the largest first, and the centres; none for a leaf."""
        wanted = self.options.children(len(vectors), depth)
        if wanted:
            found = kmeans(vectors, wanted, seed=self.options.seed + len(self.nodes))
            if len(found.centres) > 1:
                groups = _groups(found.labels)
                return groups, found.centres[[found.labels[group[0]] for group in groups]]
        return [], vectors[:0]


def _groups(labels: Labels) -> list[Rows]:
    """Return the row numbers of each label from 0 on, the largest group first, of equals that with the lowest
    row."""
    order = np.argsort(labels, kind="stable")
    order = order[int((labels < 0).sum()) :]
    bounds = np.flatnonzero(np.diff(labels[order])) + 1
    groups = [group for group in np.split(order, bounds) if len(group)]
    return sorted(groups, key=lambda group: (-len(group), int(group[0])))


def _reorder(x: Embeddings, order: Rows) -> None:
    """Order the rows of ``x`` in place, with a copy of a block of columns at a time."""
    width = ceil(x.shape[1] / _COLUMNS) if x.size > 1 << 20 else x.shape[1]
    for start in range(0, x.shape[1], width):
        x[:, start : start + width] = x[:, start : start + width][order]


def _describe(
    id: str,
    parent: str | None,
    rows: Rows,
    vectors: Embeddings,
    children: tuple[str, ...],
    centre: Embedding | None = None,
) -> TreeNode:
    mean = np.asarray(vectors.mean(axis=0, dtype=np.float64), np.float32)
    length = float(np.linalg.norm(mean))
    similar = vectors @ mean
    chosen = _representatives(vectors, similar)
    return TreeNode(
        id=id,
        parent=parent,
        depth=id.count("-"),
        count=len(rows),
        centre=mean if centre is None else centre,
        radius=min(1.0, float(similar.min()) / length) if length > 0 else -1.0,
        medoid=int(rows[chosen[0]]),
        representatives=tuple(int(rows[row]) for row in chosen),
        children=children,
    )


def _representatives(vectors: Embeddings, similar: Embeddings) -> list[int]:
    """Choose the medoid, then the farthest points among the more central half: varied, yet typical.

    ``similar``: to the mean. On unit vectors the similarity to the mean is the mean of the similarities to
    all.
    """
    central = np.argsort(-similar, kind="stable")[: len(vectors) // 2 + 1]
    central = central[:: ceil(len(central) / _POOL)]
    pool = vectors[central]
    nearest = pool @ pool[0]
    chosen = [0]
    while len(chosen) < min(REPRESENTATIVES, len(central)):
        farthest = int(nearest.argmin())
        if farthest in chosen:
            break
        chosen.append(farthest)
        np.maximum(nearest, pool @ pool[farthest], out=nearest)
    return [int(central[place]) for place in chosen]
