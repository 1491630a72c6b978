"""Score a clustering without knowing the truth: silhouette, Calinski-Harabasz, Davies-Bouldin, noise, and
their mean rank.

Noise is left out of the first three, so a clustering that throws away everything difficult would look good.
Where any clustering has noise, its share is ranked too, less being better, and one with more than half of it
ranks behind all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.clusters.flat.reduce import Geometry
from vitrine.indexer.enrich.clusters.tree.kmeans import Labels
from vitrine.services.domain import Embeddings
from vitrine.services.extras import load_extra

SAMPLE = 5_000
"""Images that the silhouette looks at: its cost grows with the square."""
MOST_NOISE = 0.5
_MEGABYTES = 64
"""For the distances of the silhouette, which are computed in blocks of rows."""
MUCH_NOISE = 0.1
"""A share of noise that a person should hear of."""
_UP = {"silhouette": True, "calinski_harabasz": True, "davies_bouldin": False}


@dataclass(frozen=True)
class Scores:
    """``silhouette`` in -1..1 (higher is better), ``calinski_harabasz`` from 0 (higher), ``davies_bouldin``
    from 0 (lower).

    None where undefined: with fewer than two clusters (in the silhouette's sample), or with one image a
    cluster. ``clusters``: how many; ``noise``: share of the images in no cluster.
    """

    silhouette: float | None
    calinski_harabasz: float | None
    davies_bouldin: float | None
    clusters: int
    noise: float

    @property
    def defined(self) -> bool:
        return self.silhouette is not None

    def values(self) -> dict[str, float | None]:
        """Return the three by name; None also for what is infinite (all images of each cluster are the
        same)."""
        found = {name: getattr(self, name) for name in _UP}
        return {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in found.items()
        }

    @property
    def remark(self) -> str:
        """Why it ranks last, or ""."""
        if not self.defined:
            why = "fewer than two clusters" if self.clusters < 2 else "one image a cluster"
            return (
                "cannot be judged: "
                f"{why if self.calinski_harabasz is None else 'all of the sample is in one cluster'}"
            )
        return f"{self.noise:.0%} noise" if self.noise > MOST_NOISE else ""


def judge(
    x: Embeddings, labels: Labels, geometry: Geometry = "cosine", *, seed: int = 0, sample: int = SAMPLE
) -> Scores:
    """Score ``labels`` (n,), -1 for noise, of the rows of ``x`` (n, dim).

    The silhouette is of a seeded sample, by 1 - cosine similarity or Euclidean distance; the other two
    are Euclidean, on all rows. ``BadRequest`` if scikit-learn is not installed.
    """
    metrics = load_extra("sklearn.metrics", "cluster")
    kept = labels >= 0
    noise = 1 - float(kept.mean()) if len(labels) else 0.0
    if not kept.all():
        x, labels = x[kept], labels[kept]
    k = len(np.unique(labels))
    if k < 2 or k >= len(labels):
        return Scores(None, None, None, k, noise)
    davies = float(metrics.davies_bouldin_score(x, labels))
    # where every image lies on its centre scikit-learn says 1, the worst, for what is as good as can be
    calinski = float(metrics.calinski_harabasz_score(x, labels)) if davies else math.inf
    if len(x) > sample:
        chosen = np.sort(np.random.default_rng(seed).choice(len(x), sample, replace=False))
        x, labels = x[chosen], labels[chosen]
    return Scores(silhouette(x, labels, geometry), calinski, davies, k, noise)


def silhouette(x: Embeddings, labels: Labels, geometry: Geometry = "cosine") -> float | None:
    """Return the mean silhouette (Rousseeuw, 1987), -1..1, of all rows; None where there are fewer than two
    clusters, or one row a cluster."""
    if not 1 < len(np.unique(labels)) < len(labels):
        return None
    with load_extra("sklearn", "cluster").config_context(working_memory=_MEGABYTES):
        return float(load_extra("sklearn.metrics", "cluster").silhouette_score(x, labels, metric=geometry))


def mean_ranks(scores: Sequence[Scores]) -> list[float]:
    """Return the mean rank of each, 1 is best: by silhouette, Calinski-Harabasz, Davies-Bouldin and, if any
    that can be scored has noise, its share.

    Equals share their mean rank. There are three tiers: those with at most half of noise, those with more,
    and those that cannot be scored, which share the last ranks.
    """
    tiers = np.array([2 if not one.defined else int(one.noise > MOST_NOISE) for one in scores])
    columns = [_ranks(tiers, [getattr(one, name) for one in scores], up) for name, up in _UP.items()]
    if any(one.defined and one.noise > 0 for one in scores):
        columns.append(_ranks(tiers, [one.noise if one.defined else None for one in scores], up=False))
    return [float(value) for value in np.mean(columns, axis=0)] if scores else []


def best_of(scores: Sequence[Scores]) -> int | None:
    """Return which has the best mean rank; of equals the least noise, then the highest silhouette, then the
    fewest clusters. None if none can be scored."""
    ranks = mean_ranks(scores)
    judged = [
        (ranks[at], one.noise, -(one.silhouette or 0), one.clusters, at)
        for at, one in enumerate(scores)
        if one.defined
    ]
    return min(judged)[-1] if judged else None


def _ranks(tiers: NDArray[np.int64], values: Sequence[float | None], up: bool) -> NDArray[np.float64]:
    keys = [
        (int(tier), 0.0 if value is None else -value if up else value)
        for tier, value in zip(tiers, values, strict=True)
    ]
    number = {key: at for at, key in enumerate(sorted(set(keys)))}
    ranks: NDArray[np.float64] = load_extra("scipy.stats", "cluster").rankdata([number[key] for key in keys])
    return ranks
