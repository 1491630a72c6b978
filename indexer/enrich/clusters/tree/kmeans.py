"""k-means as matrix products: the hot path of clustering.

Lloyd's iterations (Lloyd, 1982) from greedy k-means++ seeds (Arthur and Vassilvitskii, 2007), first on a
sample until they converge, then on everything. On unit vectors the Euclidean assignment is the cosine one up
to the length of the centres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import Embeddings
from vitrine.services.errors import BadRequest

CHUNK = 4_096
"""Rows a matrix product: their similarities stay in the cache."""
SAMPLE = 256
"""Rows a cluster in the sample. Centres settle there in a dozen cheap passes and need only a few over all
rows."""
LARGEST_SAMPLE = 0.25
"""Share of the rows: a larger sample would save no time, and cost memory."""
SEEDED_AMONG = 32
"""Rows a cluster that seeds are chosen among where there is no sample: among all they would cost more than
the iterations."""
ITERATIONS = 50
TOLERANCE = 1e-4
"""An iteration that lowers the inertia by a smaller share is the last."""
_SAME = 4e-6
"""Squared distances below this share of the squared length are rounding: float32 adds up to some 1e-7 a
component's sum."""

Labels = NDArray[np.int32]


@dataclass(frozen=True)
class KMeans:
    """``centres`` (k, dim), ``labels`` (n,), ``inertia``: the sum of squared distances to the centres;
    ``iterations``: passes over all rows.

    Each row has the label of the nearest of these centres, ties go to the lower number; each centre has a
    row.
    """

    centres: Embeddings
    labels: Labels
    inertia: float
    iterations: int


def kmeans(
    x: Embeddings,
    k: int,
    *,
    seed: int = 0,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
    sample: int = SAMPLE,
) -> KMeans:
    """Cluster the rows of ``x`` (n, dim) float32 into ``k`` groups. Copies at most a quarter of them.

    Rows that are nearly the same give fewer than ``k``; no cluster is empty. ``BadRequest`` unless 1 <= k <=
    n.
    """
    if not 1 <= k <= len(x):
        raise BadRequest(
            f"{len(x)} images cannot be put into {k} clusters: ask for 1 to {len(x)}.", clusters=k
        )
    generator, norms = np.random.default_rng(seed), _norms(x)
    if sample * k < LARGEST_SAMPLE * len(x):
        chosen = np.sort(generator.choice(len(x), sample * k, replace=False))
        rows, squares = x[chosen], float(norms[chosen].sum(dtype=np.float64))
        centres, _ = _lloyd(rows, squares, seeds(rows, k, generator), generator, iterations, tolerance)
    elif SEEDED_AMONG * k < len(x):
        centres = seeds(x[np.sort(generator.choice(len(x), SEEDED_AMONG * k, replace=False))], k, generator)
    else:
        centres = seeds(x, k, generator)
    squares = float(norms.sum(dtype=np.float64))
    centres, passes = _lloyd(x, squares, centres, generator, iterations, tolerance)
    labels, gain = assign(x, centres)
    counts = np.bincount(labels, minlength=len(centres))
    if not counts.all():
        renumbered = np.cumsum(counts > 0, dtype=np.int32) - 1
        centres, labels = centres[counts > 0], renumbered[labels].astype(np.int32)
    return KMeans(centres, labels, max(0.0, squares - 2 * gain), passes)


def assign(x: Embeddings, centres: Embeddings) -> tuple[Labels, float]:
    """Return the nearest centre of each row, ties to the lower number, and the sum over rows of ``row .
    centre - |centre|^2 / 2``."""
    labels = np.empty(len(x), np.int32)
    return labels, _pass(x, centres, labels=labels)


def seeds(x: Embeddings, k: int, generator: np.random.Generator) -> Embeddings:
    """Choose seeds by greedy k-means++: each is the best of a few rows drawn by their squared distance to the
    seeds so far.

    (k, dim), or fewer if there are fewer different rows.
    """
    trials, norms = 2 + int(math.log(k)), _norms(x)
    first = int(generator.integers(len(x)))
    chosen = [first]
    far = _distances(x, norms, np.array([first]))[0]
    while len(chosen) < k:
        reach = np.cumsum(far, dtype=np.float64)
        if reach[-1] <= 0:
            break
        drawn = np.searchsorted(reach, generator.random(trials) * reach[-1], side="right").clip(0, len(x) - 1)
        distances = np.minimum(_distances(x, norms, drawn), far)
        best = int(distances.sum(axis=1).argmin())
        far = distances[best]
        chosen.append(int(drawn[best]))
    return x[chosen]


def _distances(x: Embeddings, norms: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (rows, n) squared distances; 0 between rows that differ by rounding alone."""
    found = norms - 2 * (x[rows] @ x.T) + norms[rows, None]
    found[found < _SAME * norms] = 0
    return np.asarray(found, np.float32)


def _lloyd(
    x: Embeddings,
    squares: float,
    centres: Embeddings,
    generator: np.random.Generator,
    iterations: int,
    tolerance: float,
) -> tuple[Embeddings, int]:
    """Return the centres, and the passes they took. ``squares``: the sum of the squared lengths of the
    rows."""
    before, passes = math.inf, 0
    while passes < iterations:
        passes += 1
        sums, counts = np.zeros_like(centres), np.zeros(len(centres), np.int64)
        inertia = squares - 2 * _pass(x, centres, sums=sums, counts=counts)
        empty = counts == 0
        centres = np.asarray(sums / np.maximum(counts, 1)[:, None], np.float32)
        centres[empty] = x[generator.integers(len(x), size=int(empty.sum()))]
        if before - inertia <= tolerance * inertia and not empty.any():
            break
        before = inertia
    return centres, passes


def _pass(
    x: Embeddings,
    centres: Embeddings,
    *,
    labels: Labels | None = None,
    sums: Embeddings | None = None,
    counts: NDArray[np.int64] | None = None,
) -> float:
    """Go through every row once: fill ``labels``, or add up the rows and counts of each cluster."""
    half = 0.5 * np.einsum("ij,ij->i", centres, centres)
    transposed, one_hot, total = np.ascontiguousarray(centres.T), np.eye(len(centres), dtype=np.float32), 0.0
    for start in range(0, len(x), CHUNK):
        part = x[start : start + CHUNK]
        gains = part @ transposed
        gains -= half
        nearest = gains.argmax(axis=1)
        total += float(gains[np.arange(len(part)), nearest].sum(dtype=np.float64))
        if labels is not None:
            labels[start : start + CHUNK] = nearest
        if sums is not None and counts is not None:
            sums += (
                one_hot[nearest].T @ part
            )  # a product of 0 and 1 adds rows up faster than any loop over them
            counts += np.bincount(nearest, minlength=len(centres))
    return total


def _norms(x: Embeddings) -> NDArray[np.float32]:
    """Return (n,) squared lengths."""
    return np.asarray(np.einsum("ij,ij->i", x, x), np.float32)
