"""Agglomerative clustering of up to some 20,000 images: every merge of two clusters, from single images up to
one cluster.

The nearest-neighbour chain (Murtagh, 1983) with the update of Lance and Williams (1967), on one square
float32 matrix of distances that is changed in place: 4 n^2 bytes, 1.6 GB for 20,000 images. scipy takes 8
n^2, since its condensed matrix is float64 and copied.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.clusters.flat.methods import DENDROGRAM_LIMIT as LIMIT
from vitrine.indexer.enrich.clusters.flat.methods import LINKAGES, Linkage
from vitrine.indexer.enrich.clusters.flat.reduce import Geometry
from vitrine.indexer.enrich.clusters.tree.kmeans import Labels
from vitrine.services.domain import Embeddings
from vitrine.services.errors import BadRequest

_BLOCK, _TOLD_EVERY = 1_024, 512


@dataclass(frozen=True, eq=False)
class Merges:
    """``children`` (n - 1, 2): the clusters merged at each step; images are 0..n-1, and step i makes cluster
    n + i.

    ``distances`` (n - 1,) do not fall; ``counts`` (n - 1,): images of the new cluster.
    """

    children: NDArray[np.int64]
    distances: NDArray[np.float32]
    counts: NDArray[np.int64]

    @property
    def images(self) -> int:
        return len(self.children) + 1

    def into(self, clusters: int) -> Labels:
        """Return (n,) labels of this many clusters. ``BadRequest`` unless 1 <= clusters <= n."""
        if not 1 <= clusters <= self.images:
            raise BadRequest(
                f"{self.images} images make 1 to {self.images} clusters, not {clusters}.", clusters=clusters
            )
        return self._after(self.images - clusters)

    def at(self, distance: float) -> Labels:
        """Return (n,) labels of the clusters that were merged at up to ``distance``."""
        return self._after(int(np.searchsorted(self.distances, distance, side="right")))

    def tops(self, clusters: int) -> list[int]:
        """Return the numbers of this many clusters, the largest first."""
        merged = set(self.children[: self.images - clusters].ravel().tolist())
        alive = [number for number in range(2 * self.images - clusters) if number not in merged]
        return sorted(alive, key=lambda number: (-self.count(number), number))

    def count(self, number: int) -> int:
        """Return the number of images in a cluster."""
        return 1 if number < self.images else int(self.counts[number - self.images])

    def _after(self, steps: int) -> Labels:
        """Return the labels after so many merges, 0, 1, ... in the order of the clusters' numbers."""
        n = self.images
        owner = np.arange(n + steps)
        for step in range(
            steps - 1, -1, -1
        ):  # from the top: every cluster knows its last owner before its children ask
            owner[self.children[step]] = owner[n + step]
        found: Labels = np.unique(owner[:n], return_inverse=True)[1].astype(np.int32)
        return found


def merge(
    x: Embeddings,
    linkage: Linkage = "average",
    geometry: Geometry = "cosine",
    *,
    progress: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
) -> Merges:
    """Merge the rows of ``x`` (n, dim), of unit length where the geometry is cosine, step by step into one
    cluster.

    Distances are 1 - cosine similarity, or Euclidean. Ward's linkage is always Euclidean. ``progress(done, n
    - 1)``. ``BadRequest`` for more than LIMIT images, fewer than two, or an unknown linkage;
    ``InterruptedError`` after ``stop``.
    """
    if linkage not in LINKAGES:
        raise BadRequest(f"{linkage!r} is no linkage: choose one of {', '.join(LINKAGES)}.", linkage=linkage)
    if len(x) > LIMIT:
        raise BadRequest(
            f"{len(x):,} images are too many for agglomerative clustering: their distances would take "
            f"{4 * len(x) ** 2 / 1e9:,.1f} GB. Up to {LIMIT:,} are possible: use the tree or kmeans, "
            "or choose fewer images.",
            images=len(x),
            most=LIMIT,
        )
    if len(x) < 2:
        raise BadRequest("A dendrogram needs two images or more.", images=len(x))
    squared = linkage == "ward"
    distances = _distances(x, "euclidean" if squared else geometry, squared)
    pairs, heights = _chain(distances, linkage, progress, stop)
    return _sorted(pairs, np.sqrt(heights) if squared else heights)


def _distances(x: Embeddings, geometry: Geometry, squared: bool) -> NDArray[np.float32]:
    """Return (n, n) distances, infinite on the diagonal."""
    found = np.empty((len(x), len(x)), np.float32)
    lengths = np.einsum("ij,ij->i", x, x)
    for start in range(0, len(x), _BLOCK):
        block = found[start : start + _BLOCK]
        np.matmul(x[start : start + _BLOCK], x.T, out=block)
        if geometry == "cosine":
            np.subtract(1, block, out=block)
        else:
            block *= -2
            block += lengths
            block += lengths[start : start + _BLOCK, None]
        np.maximum(block, 0, out=block)
        if geometry == "euclidean" and not squared:
            np.sqrt(block, out=block)
    np.fill_diagonal(found, np.inf)
    return found


def _chain(
    d: NDArray[np.float32],
    linkage: Linkage,
    progress: Callable[[int, int], None] | None,
    stop: threading.Event | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return pairs of rows (the second stands for both from then on) and their distances, in the order in
    which the chain finds them."""
    n = len(d)
    sizes = np.ones(n, np.float32)
    alive = np.ones(n, np.bool_)
    pairs, heights = np.empty((n - 1, 2), np.int64), np.empty(n - 1, np.float32)
    chain: list[int] = []
    start = 0
    for step in range(n - 1):
        if stop is not None and stop.is_set():
            raise InterruptedError("the dendrogram was stopped")
        if not chain:
            start += int(alive[start:].argmax())
            chain.append(start)
        while True:
            last = chain[-1]
            nearest = int(d[last].argmin())
            if (
                len(chain) > 1 and d[last, chain[-2]] <= d[last, nearest]
            ):  # of equals the one before, or it would never end
                break
            chain.append(nearest)
        gone, kept = chain.pop(), chain.pop()
        pairs[step], heights[step] = (gone, kept), d[gone, kept]
        _join(d, gone, kept, sizes, alive, linkage)
        if progress and ((step + 1) % _TOLD_EVERY == 0 or step == n - 2):
            progress(step + 1, n - 1)
    return pairs, heights


def _join(
    d: NDArray[np.float32],
    gone: int,
    kept: int,
    sizes: NDArray[np.float32],
    alive: NDArray[np.bool_],
    linkage: Linkage,
) -> None:
    """Write the distances of the union to the row and column of ``kept``; ``gone`` is infinitely far from
    then on."""
    height, row = d[gone, kept], d[kept]
    if linkage == "complete":
        np.maximum(row, d[gone], out=row)
    elif linkage == "average":
        row *= sizes[kept]
        row += sizes[gone] * d[gone]
        row /= sizes[kept] + sizes[gone]
    else:
        row *= sizes[kept] + sizes
        row += (sizes[gone] + sizes) * d[gone]
        row -= sizes * height
        row /= sizes[kept] + sizes[gone] + sizes
        np.maximum(row, 0, out=row)
    alive[gone] = False
    sizes[kept] += sizes[gone]
    row[~alive] = np.inf
    row[kept] = np.inf
    d[:, kept] = row
    d[:, gone] = np.inf


def _sorted(pairs: NDArray[np.int64], heights: NDArray[np.float32]) -> Merges:
    """Sort the merges by distance, and number the clusters as they are made."""
    order = np.argsort(heights, kind="stable")
    n = len(pairs) + 1
    number, counts = np.arange(n), np.ones(n, np.int64)
    parent = np.arange(n)

    def find(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row

    children, made = np.empty((n - 1, 2), np.int64), np.empty(n - 1, np.int64)
    for step, at in enumerate(order):
        one, other = find(int(pairs[at, 0])), find(int(pairs[at, 1]))
        children[step] = sorted((int(number[one]), int(number[other])))
        parent[one], number[other] = other, n + step
        counts[other] += counts[one]
        made[step] = counts[other]
    return Merges(children, heights[order], made)
