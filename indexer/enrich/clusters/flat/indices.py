"""How good a clustering is without knowing the truth: silhouette, Calinski-Harabasz, Davies-Bouldin, noise,
and their mean rank.

Noise is left out of the first three, so that a clustering which throws away whatever is hard looks fine:
where any has noise, its share is ranked beside them, the less the better, and with more than half of it a
clustering ranks behind all others.
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

SAMPLE = 5_000
"""Images that the silhouette looks at: its cost grows with the square."""
MOST_NOISE = 0.5
_BLOCK = 1_024
MUCH_NOISE = 0.1
"""A share of noise that a person should hear of."""
_UP = {"silhouette": True, "calinski_harabasz": True, "davies_bouldin": False}


@dataclass(frozen=True)
class Scores:
    """``silhouette`` in -1..1 (up), ``calinski_harabasz`` from 0 (up), ``davies_bouldin`` from 0 (down).

    None where undefined: with fewer than two clusters (among the silhouette's sample), or with one image a
    cluster. ``clusters`` found; ``noise``: share of the images in none.
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
        """The three by name; None also for what is infinite (images that are all alike within their
        clusters)."""
        found = {name: getattr(self, name) for name in _UP}
        return {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in found.items()
        }

    @property
    def remark(self) -> str:
        """Why it ranks last, or nothing."""
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
    """Judge ``labels`` (n,), -1 for noise, of the rows of ``x`` (n, dim).

    The silhouette is that of a seeded sample among itself, by 1 - cosine similarity or Euclidean distance;
    the other two are Euclidean, on all rows.
    """
    kept = labels >= 0
    noise = 1 - float(kept.mean()) if len(labels) else 0.0
    if not kept.all():
        x, labels = x[kept], labels[kept]
    names, groups = np.unique(labels, return_inverse=True)
    k = len(names)
    if k < 2 or k >= len(labels):
        return Scores(None, None, None, k, noise)
    calinski, davies = _by_centres(x, groups, k)
    return Scores(_sampled_silhouette(x, groups, geometry, seed, sample), calinski, davies, k, noise)


def silhouette(x: Embeddings, groups: NDArray[np.int64], geometry: Geometry = "cosine") -> float:
    """Mean of (b - a) / max(a, b): ``a`` the mean distance to the others of its group, ``b`` that to the
    nearest other group (Rousseeuw, 1987). A row alone in its group counts 0. Groups (n,) are 0..k-1, two or
    more; in blocks of bounded memory."""
    counts = np.bincount(groups)
    one_hot = np.zeros((len(x), len(counts)), np.float32)
    one_hot[np.arange(len(x)), groups] = 1
    lengths = np.einsum("ij,ij->i", x, x)
    total = 0.0
    for start in range(0, len(x), _BLOCK):
        part, own = x[start : start + _BLOCK], groups[start : start + _BLOCK]
        at = np.arange(len(part))
        away = part @ x.T
        if geometry == "cosine":
            away = np.maximum(1 - away, 0)
        else:
            away = np.sqrt(np.maximum(lengths[start : start + _BLOCK, None] + lengths - 2 * away, 0))
        away[at, start + at] = 0
        sums = away @ one_hot
        inside = sums[at, own] / np.maximum(counts[own] - 1, 1)
        means = np.divide(sums, counts, out=np.full_like(sums, np.inf), where=counts > 0)
        means[at, own] = np.inf
        outside = means.min(axis=1)
        larger = np.maximum(inside, outside)
        values = np.divide(
            outside - inside, larger, out=np.zeros_like(larger), where=(larger > 0) & (counts[own] > 1)
        )
        total += float(values.sum(dtype=np.float64))
    return total / len(x)


def mean_ranks(scores: Sequence[Scores]) -> list[float]:
    """The mean of its ranks for each, 1 the best: by silhouette (up), Calinski-Harabasz (up), Davies-Bouldin
    (down) and, where any that can be judged has noise, its share (down). Of equals each has their mean rank.
    Ranks go through three tiers: those with at most half of noise, those with more, those that cannot be
    judged (which all share the last ranks)."""
    tiers = np.array([2 if not one.defined else int(one.noise > MOST_NOISE) for one in scores])
    columns = [_ranks(tiers, [getattr(one, name) for one in scores], up) for name, up in _UP.items()]
    if any(one.defined and one.noise > 0 for one in scores):
        columns.append(_ranks(tiers, [one.noise if one.defined else None for one in scores], up=False))
    return [float(value) for value in np.mean(columns, axis=0)] if scores else []


def best_of(scores: Sequence[Scores]) -> int | None:
    """Which has the best mean rank; of equals the least noise, then the highest silhouette, then the fewest
    clusters. None where none can be judged."""
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
    ordered = sorted(keys)
    places: dict[tuple[int, float], list[int]] = {}
    for place, key in enumerate(ordered, 1):
        places.setdefault(key, []).append(place)
    return np.array([sum(places[key]) / len(places[key]) for key in keys])


def _sampled_silhouette(
    x: Embeddings, groups: NDArray[np.int64], geometry: Geometry, seed: int, sample: int
) -> float | None:
    if len(x) > sample:
        chosen = np.sort(np.random.default_rng(seed).choice(len(x), sample, replace=False))
        x, groups = x[chosen], np.unique(groups[chosen], return_inverse=True)[1].astype(np.int64)
    return silhouette(x, groups, geometry) if groups.max(initial=0) > 0 else None


def _by_centres(x: Embeddings, groups: NDArray[np.int64], k: int) -> tuple[float, float]:
    """Calinski and Harabasz (1974): (between / (k - 1)) / (within / (n - k)); Davies and Bouldin (1979): the
    mean over clusters of the largest (spread_i + spread_j) / |centre_i - centre_j|, a spread being the mean
    distance to the centre."""
    counts = np.bincount(groups, minlength=k)
    centres = np.zeros((k, x.shape[1]))
    order = np.argsort(groups, kind="stable")
    for group, rows in enumerate(np.split(order, np.cumsum(counts)[:-1])):
        centres[group] = x[rows].mean(axis=0, dtype=np.float64)
    spreads, within = np.zeros(k), 0.0
    for start in range(0, len(x), _BLOCK):
        own = groups[start : start + _BLOCK]
        squares = np.square(x[start : start + _BLOCK] - centres[own]).sum(axis=1)
        within += float(squares.sum())
        spreads += np.bincount(own, np.sqrt(squares), k)
    spreads /= counts
    between = float((counts * np.square(centres - x.mean(axis=0, dtype=np.float64)).sum(axis=1)).sum())
    calinski = between * (len(x) - k) / (within * (k - 1)) if within > 0 else math.inf
    return calinski, _davies_bouldin(centres, spreads)


def _davies_bouldin(centres: NDArray[np.float64], spreads: NDArray[np.float64]) -> float:
    worst = np.zeros(len(centres))
    for at, centre in enumerate(centres):
        apart = np.sqrt(np.square(centres - centre).sum(axis=1))
        ratios = np.divide(spreads + spreads[at], apart, out=np.full(len(centres), np.inf), where=apart > 0)
        ratios[at] = 0
        worst[at] = ratios.max()
    return float(worst.mean())
