"""How well embeddings retrieve images of the same class, with intervals; numpy alone, in blocks of bounded
memory.

R of a query is the number of gallery images of its class. Sources: recall@k, R-precision and MAP@R as in
Musgrave, Belongie and Lim, "A Metric Learning Reality Check" (ECCV 2020); intervals by the percentile
bootstrap over queries (Efron and Tibshirani, 1993).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import Embeddings
from vitrine.services.extras import from_extra

Values = NDArray[np.float64]
"""(queries,); NaN where a query does not count."""
Classes = Sequence[str] | NDArray[np.str_] | NDArray[np.int64]
METRICS = ("precision_at_1", "recall_at_5", "recall_at_10", "precision_at_10", "r_precision", "map_at_r")
"""The metrics of one query, by name."""
BLOCK_BYTES = 128 << 20
"""Memory that one block of queries takes, in all its steps."""
_BYTES_EACH = 40
"""Of one similarity: itself, its sort key, and what is computed along its rank."""
_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True, eq=False)
class RetrievalMetrics:
    """Means over the queries that count, each in 0..1.

    ``precision_at_1`` is also recall@1. recall@k: the share of queries with one of their class among the k
    nearest; precision@10: the share of their class among the 10 nearest. A query whose class the gallery
    lacks is a miss there, and does not count for ``r_precision`` and ``map_at_r``, which have no value
    without a right answer (NaN if no query has one). ``nmi``: see ``clustering_nmi``. ``per_query`` has
    the values by the names in METRICS.
    """

    precision_at_1: float
    recall_at_5: float
    recall_at_10: float
    precision_at_10: float
    map_at_r: float
    r_precision: float
    nmi: float | None
    per_query: dict[str, Values]


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its confidence interval; all NaN where nothing counts."""

    value: float
    low: float
    high: float


def retrieval_metrics(
    queries: Embeddings,
    query_classes: Classes,
    gallery: Embeddings | None = None,
    gallery_classes: Classes | None = None,
    *,
    nmi: bool = True,
    seed: int = 0,
) -> RetrievalMetrics:
    """Search each query (n, dim) in the gallery (m, dim) by cosine similarity and measure what is found; rows
    have unit length.

    Without a gallery each query is searched among the other queries: left out by its position, so that a copy
    of it counts. Of equally similar images the one that comes first in the gallery is nearer. ``ValueError``
    where numbers differ or there is no query.

    On a line of three, of which the outer ones are alike, every nearest neighbour is wrong:

    >>> angles = np.array([0.0, 0.3, 0.7])
    >>> points = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    >>> found = retrieval_metrics(points, ["a", "b", "a"], nmi=False)
    >>> found.precision_at_1, round(found.recall_at_5, 3), found.map_at_r
    (0.0, 0.667, 0.0)
    """
    query_ids, gallery_ids = _class_ids(queries, query_classes, gallery, gallery_classes)
    alone = gallery is None
    relevant = np.bincount(gallery_ids, minlength=int(max(query_ids.max(), gallery_ids.max())) + 1)[
        query_ids
    ] - int(alone)
    others = len(gallery_ids) - int(alone)
    depth = int(min(others, max(10, relevant.max())))
    parts: list[dict[str, Values]] = []
    for start, order, _ in _blocks(queries, gallery, depth):
        right = gallery_ids[order] == query_ids[start : start + len(order), None]
        parts.append(ranking_metrics(right, relevant[start : start + len(order)]))
    per_query = {name: np.concatenate([part[name] for part in parts]) for name in METRICS}
    means = {name: _mean(values) for name, values in per_query.items()}
    return RetrievalMetrics(
        **means, nmi=clustering_nmi(queries, query_classes, seed=seed) if nmi else None, per_query=per_query
    )


def ranking_metrics(right: NDArray[np.bool_], relevant: NDArray[np.int64]) -> dict[str, Values]:
    """Return the metrics of each query by the names in METRICS.

    ``right`` (n, depth): whether the neighbour at that rank is of the query's class, nearest first;
    ``relevant`` (n,): R. The depth is at least the largest R and, unless the gallery is smaller, 10. MAP@R is
    the mean over ranks 1 to R of the precision at that rank where the neighbour is right, else 0. With R = 3,
    ranks 1 and 3 right:

    >>> found = ranking_metrics(np.array([[True, False, True, False]]), np.array([3]))
    >>> round(float(found["r_precision"][0]), 4)  # 2/3
    0.6667
    >>> round(float(found["map_at_r"][0]), 4)  # (1/1 + 2/3) / 3
    0.5556
    """
    ranks = np.arange(1, right.shape[1] + 1)
    within = right & (ranks <= relevant[:, None])
    precision = np.cumsum(right, axis=1) / ranks
    counts = np.where(relevant > 0, relevant, np.nan)

    def recall(k: int) -> Values:
        return np.asarray(right[:, :k].any(axis=1), np.float64)

    return {
        "precision_at_1": recall(1),
        "recall_at_5": recall(5),
        "recall_at_10": recall(10),
        "precision_at_10": right[:, :10].sum(axis=1) / max(1, min(10, right.shape[1])),
        "r_precision": within.sum(axis=1) / counts,
        "map_at_r": (precision * within).sum(axis=1) / counts,
    }


def nearest(
    queries: Embeddings, gallery: Embeddings | None = None, k: int = 10
) -> tuple[NDArray[np.int64], Embeddings]:
    """Return the gallery positions and similarities of the k nearest, both (n, k'), nearest first; k' = k, or
    all there are.

    Without a gallery: among the other queries. Of equally similar ones the first comes first.
    """
    others = len(queries) - 1 if gallery is None else len(gallery)
    found = [(order, similarities) for _, order, similarities in _blocks(queries, gallery, min(k, others))]
    return np.concatenate([order for order, _ in found]), np.concatenate(
        [similarities for _, similarities in found]
    )


def clustering_nmi(
    embeddings: Embeddings, classes: Classes, *, seed: int = 0, starts: int = 4
) -> float | None:
    """Return the normalised mutual information, 0..1, of the classes and a k-means clustering with as many
    clusters; None with one class.

    The mean of both entropies normalises. k-means++ with ``starts`` starts; the best by inertia counts. Needs
    scikit-learn.
    """
    with from_extra("train"):
        from sklearn.cluster import KMeans
        from sklearn.metrics import normalized_mutual_info_score

    names, ids = np.unique(np.asarray(classes), return_inverse=True)
    if len(names) < 2:
        return None
    clusters = KMeans(len(names), n_init=starts, random_state=seed).fit_predict(embeddings)
    return float(normalized_mutual_info_score(ids, clusters))


def bootstrap_interval(
    values: Values | Sequence[float], seed: int = 0, confidence: float = 0.95, *, resamples: int = 2_000
) -> Interval:
    """Return the mean and its percentile bootstrap interval over queries; NaN values do not count.

    >>> bootstrap_interval([1.0, 1.0, 1.0])
    Interval(value=1.0, low=1.0, high=1.0)
    """
    counted = np.asarray(values, np.float64)
    counted = counted[~np.isnan(counted)]
    if not len(counted):
        return Interval(float("nan"), float("nan"), float("nan"))
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, BLOCK_BYTES // 16 // len(counted))
    for start in range(0, resamples, step):
        drawn = random.integers(0, len(counted), (min(step, resamples - start), len(counted)))
        means[start : start + step] = counted[drawn].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(counted.mean()), float(low), float(high))


def bootstrap_difference(
    first: Values, second: Values, seed: int = 0, confidence: float = 0.95, *, resamples: int = 2_000
) -> Interval:
    """Return ``bootstrap_interval`` of first minus second on the same queries: pairing takes out how hard
    each query is for both.

    >>> bootstrap_difference(np.array([1.0, 0.0, 1.0]), np.array([0.5, -0.5, 0.5]))
    Interval(value=0.5, low=0.5, high=0.5)
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} queries: pair the same ones")
    return bootstrap_interval(np.asarray(first) - np.asarray(second), seed, confidence, resamples=resamples)


def _blocks(
    queries: Embeddings, gallery: Embeddings | None, depth: int
) -> Iterator[tuple[int, NDArray[np.int64], Embeddings]]:
    """Yield the first query, the positions of the ``depth`` nearest (block, depth), their similarities; a
    block of queries at a time."""
    others = queries if gallery is None else gallery
    size = max(1, BLOCK_BYTES // _BYTES_EACH // max(1, len(others)))
    for start in range(0, len(queries), size):
        similarities = np.ascontiguousarray(queries[start : start + size] @ others.T, np.float32)
        keys = _sort_keys(similarities)
        if gallery is None:
            rows = np.arange(len(keys))
            keys[rows, start + rows] = _LAST
        if depth < keys.shape[1]:
            keys.partition(max(0, depth - 1), axis=1)
        ordered = np.sort(keys[:, :depth], axis=1)
        order = (ordered & np.uint64(0xFFFFFFFF)).astype(np.int64)
        yield start, order, np.take_along_axis(similarities, order, axis=1)


def _sort_keys(similarities: Embeddings) -> NDArray[np.uint64]:
    """Return integers that ascend as similarities fall and, where those are equal, as positions rise: no two
    are the same.

    The bits of a float, read as an integer, rise with a negative number's size as they should; the bits of
    positive numbers are inverted.
    """
    bits = (similarities + np.float32(0)).view(np.int32)  # + 0 makes -0.0 and 0.0 one
    bits ^= ~(bits >> 31) & np.int32(0x7FFFFFFF)
    keys = bits.view(np.uint32).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(similarities.shape[1], dtype=np.uint64)
    return keys


def _class_ids(
    queries: Embeddings, query_classes: Classes, gallery: Embeddings | None, gallery_classes: Classes | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return an integer for the class of each query and of each gallery image."""
    if (gallery is None) != (gallery_classes is None):
        raise ValueError("a gallery and its classes come together")
    counts = [(len(queries), len(query_classes))]
    if gallery is not None and gallery_classes is not None:
        counts.append((len(gallery), len(gallery_classes)))
    if any(rows != classes or not rows for rows, classes in counts):
        raise ValueError(f"embeddings and classes differ in number, or there are none: {counts}")
    every = np.concatenate(
        [np.asarray(query_classes), np.asarray(query_classes if gallery_classes is None else gallery_classes)]
    )
    ids = np.unique(every, return_inverse=True)[1].astype(np.int64)
    query_ids = ids[: len(queries)]
    return query_ids, query_ids if gallery is None else ids[len(queries) :]


def _mean(values: Values) -> float:
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if len(counted) else float("nan")
