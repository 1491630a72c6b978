"""Flat clusterings of embeddings, by six methods. Labels are 0..k-1, the largest cluster first, and -1 for
noise.

On unit vectors the squared Euclidean distance is 2 (1 - cosine similarity): what only knows Euclidean
distances is cosine there, with ``eps`` brought over. k-means is our own; minibatch-kmeans, gaussian-mixture,
dbscan and hdbscan are scikit-learn's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from vitrine.indexer.enrich.clusters.flat.reduce import Geometry
from vitrine.indexer.enrich.clusters.options import METHODS, Covariance, Linkage, Method
from vitrine.indexer.enrich.clusters.tree.dendrogram import LIMIT as DENDROGRAM_LIMIT
from vitrine.indexer.enrich.clusters.tree.dendrogram import Merges, merge
from vitrine.indexer.enrich.clusters.tree.kmeans import ITERATIONS, KMeans, Labels, kmeans
from vitrine.indexer.job.optional import load
from vitrine.services.domain import Embeddings
from vitrine.services.errors import BadRequest

NOISE = -1
Value = int | float | str
SEEDED: tuple[Method, ...] = ("kmeans", "minibatch-kmeans", "gaussian-mixture")
"""The others draw nothing: another seed gives the same labels."""
PARAMETERS: Mapping[Method, Mapping[str, type]] = {
    "kmeans": {"clusters": int, "max_iter": int},
    "minibatch-kmeans": {"clusters": int, "max_iter": int},
    "gaussian-mixture": {"covariance": str, "clusters": int, "max_iter": int},
    "agglomerative": {"linkage": str, "clusters": int},
    "dbscan": {"min_samples": int, "eps": float},
    "hdbscan": {"min_cluster_size": int, "min_samples": int},
}
"""What each method takes. ``eps``: a distance (1 - cosine similarity, or Euclidean after UMAP)."""
LIMITS: Mapping[Method, int] = {"agglomerative": DENDROGRAM_LIMIT, "hdbscan": 15_000}
"""Most images of methods that hold all distances; scikit-learn's HDBSCAN holds them twice as float64."""
TREE_DIM = 16
"""Up to so many dimensions HDBSCAN searches a k-d tree instead, and knows no limit."""
NEIGHBOURS = 250_000_000
"""Pairs within ``eps`` that DBSCAN may list: 2 GB."""
FULL_DIM = 256
STARTS = 4
_TRIED = 500


@dataclass
class Fitter:
    """One set of rows and one method, to be fit with one set of parameters after another. Merges of a linkage
    are kept."""

    x: Embeddings
    method: Method
    geometry: Geometry = "cosine"
    seed: int = 0
    stop: threading.Event | None = None
    _merges: dict[str, Merges] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise BadRequest(
                f"{self.method!r} is no method: choose one of {', '.join(METHODS)}.", method=self.method
            )
        if len(self.x) < 2:
            raise BadRequest(
                f"{len(self.x)} images make no clusters: index two or more first.", images=len(self.x)
            )
        most = LIMITS.get(self.method)
        if (
            most is not None
            and len(self.x) > most
            and not (self.method == "hdbscan" and self.x.shape[1] <= TREE_DIM)
        ):
            other = " (or reduce to 16 dimensions or fewer, with UMAP)" if self.method == "hdbscan" else ""
            raise BadRequest(
                f"{len(self.x):,} images are too many for {self.method}, which holds all their "
                f"distances: up to {most:,} are possible. Use the tree or kmeans, or choose fewer "
                f"images{other}.",
                images=len(self.x),
                most=most,
            )

    def fit(self, parameters: Mapping[str, Value]) -> Labels:
        """(n,) labels. ``BadRequest`` for parameters that the method does not take, or that cannot be."""
        given = checked(self.method, parameters)
        needed = next(
            (name for name in ("clusters", "eps") if name in PARAMETERS[self.method] and name not in given),
            None,
        )
        if needed:
            raise BadRequest(f"{self.method} needs {needed}.", parameter=needed)
        clusters = given.get("clusters")
        if clusters is not None and not 1 <= clusters <= len(self.x):
            raise BadRequest(
                f"{len(self.x)} images cannot be put into {clusters} clusters.", clusters=clusters
            )
        return by_size(_FITS[self.method](self, given))

    def merges(self, linkage: Linkage) -> Merges:
        """Those of a linkage, made once."""
        if linkage not in self._merges:
            self._merges[linkage] = merge(self.x, linkage, self.geometry, stop=self.stop)
        return self._merges[linkage]


def fit(
    x: Embeddings,
    method: Method,
    parameters: Mapping[str, Value],
    geometry: Geometry = "cosine",
    *,
    seed: int = 0,
) -> Labels:
    """(n,) labels of the rows of ``x`` (n, dim), which are of unit length where the geometry is cosine."""
    return Fitter(x, method, geometry, seed).fit(parameters)


def checked(method: Method, parameters: Mapping[str, Value]) -> dict[str, Any]:
    """The parameters in their types. ``BadRequest`` for what the method does not take or cannot be."""
    types = PARAMETERS[method]
    unknown = sorted(set(parameters) - set(types))
    if unknown:
        raise BadRequest(
            f"{method} takes {', '.join(types)}, not {', '.join(unknown)}.", method=method, unknown=unknown
        )
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        try:
            found[name] = types[name](value)
        except ValueError as error:
            raise BadRequest(f"{name} is a number, not {value!r}.", parameter=name) from error
        if types[name] is not str and not 0 < found[name] < float("inf"):
            raise BadRequest(f"{name} is greater than 0, not {value!r}.", parameter=name)
    for name, choices in (("linkage", get_args(Linkage)), ("covariance", get_args(Covariance))):
        if found.get(name, choices[0]) not in choices:
            raise BadRequest(f"{name} is one of {', '.join(choices)}, not {found[name]!r}.", parameter=name)
    return found


def by_size(labels: Labels) -> Labels:
    """Numbered from the largest cluster on, of equals by their first image; noise stays -1."""
    names, first, groups, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    order = [at for at in np.lexsort((first, -counts)) if names[at] >= 0]
    number = np.full(len(names), NOISE, np.int32)
    number[order] = np.arange(len(order))
    found: Labels = number[groups]
    return found


def neighbour_distances(x: Embeddings, k: int, geometry: Geometry = "cosine", *, seed: int = 0) -> Embeddings:
    """Distance to the k-th nearest row (itself being the first) of a seeded sample of ``x``, in rising order:
    where its curve bends is the ``eps`` of DBSCAN (Ester et al., 1996)."""
    away = _to_all(x, geometry, seed)
    k = min(k, len(x)) - 1
    return np.sort(np.partition(away, k, axis=1)[:, k])


def _to_all(x: Embeddings, geometry: Geometry, seed: int) -> Embeddings:
    chosen: Embeddings = x[np.random.default_rng(seed).choice(len(x), min(len(x), _TRIED), replace=False)]
    away: Embeddings = chosen @ x.T
    if geometry == "cosine":
        np.subtract(1, away, out=away)
        np.maximum(away, 0, out=away)
        return away
    lengths = np.einsum("ij,ij->i", x, x)
    squares: Embeddings = lengths + np.einsum("ij,ij->i", chosen, chosen)[:, None] - 2 * away
    return np.sqrt(np.maximum(squares, 0))


def _kmeans(fitter: Fitter, given: Mapping[str, Any]) -> Labels:
    """The best of a few starts: with few clusters one start often ends in a poor optimum."""
    found: KMeans | None = None
    for seed in np.random.SeedSequence(fitter.seed).generate_state(STARTS):
        made = kmeans(
            fitter.x, given["clusters"], seed=int(seed), iterations=given.get("max_iter", ITERATIONS)
        )
        if found is None or made.inertia < found.inertia:
            found = made
    assert found is not None
    return found.labels


def _minibatch(fitter: Fitter, given: Mapping[str, Any]) -> Labels:
    cluster = load("sklearn.cluster", "scikit-learn")
    k = given["clusters"]
    model = cluster.MiniBatchKMeans(
        k,
        max_iter=given.get("max_iter", 100),
        batch_size=max(1_024, 4 * k),
        n_init=3,
        random_state=fitter.seed,
    )
    return np.asarray(model.fit_predict(fitter.x), np.int32)


def _mixture(fitter: Fitter, given: Mapping[str, Any]) -> Labels:
    mixture = load("sklearn.mixture", "scikit-learn")
    covariance = given.get("covariance", "diag")
    if covariance in ("full", "tied") and fitter.x.shape[1] > FULL_DIM:
        raise BadRequest(
            f"A {covariance} covariance in {fitter.x.shape[1]} dimensions has too many numbers: reduce "
            f"to {FULL_DIM} or fewer with PCA first, or take diag or spherical.",
            parameter="covariance",
        )
    model = mixture.GaussianMixture(
        given["clusters"],
        covariance_type=covariance,
        max_iter=given.get("max_iter", 100),
        random_state=fitter.seed,
    )
    return np.asarray(model.fit_predict(fitter.x), np.int32)


def _agglomerative(fitter: Fitter, given: Mapping[str, Any]) -> Labels:
    return fitter.merges(given.get("linkage", "average")).into(given["clusters"])


def _dbscan(fitter: Fitter, given: Mapping[str, Any]) -> Labels:
    eps, n = given["eps"], len(fitter.x)
    near = float((_to_all(fitter.x, fitter.geometry, fitter.seed) <= eps).mean()) * n * n
    if near > NEIGHBOURS:
        raise BadRequest(
            f"With eps {eps:g} some {near / 1e6:,.0f} million pairs are neighbours, too many to hold: "
            "choose a smaller eps.",
            parameter="eps",
        )
    cluster = load("sklearn.cluster", "scikit-learn")
    reach = float(np.sqrt(2 * eps)) if fitter.geometry == "cosine" else eps
    algorithm = "auto" if fitter.x.shape[1] <= TREE_DIM else "brute"
    model = cluster.DBSCAN(eps=reach, min_samples=given.get("min_samples", 5), algorithm=algorithm)
    return np.asarray(model.fit_predict(fitter.x), np.int32)


def _hdbscan(fitter: Fitter, given: Mapping[str, Any]) -> Labels:
    cluster = load("sklearn.cluster", "scikit-learn")
    size = max(2, given.get("min_cluster_size", 15))
    few = min(given.get("min_samples", size), len(fitter.x))
    algorithm = "kd_tree" if fitter.x.shape[1] <= TREE_DIM else "brute"
    model = cluster.HDBSCAN(min_cluster_size=size, min_samples=few, algorithm=algorithm, copy=True)
    return np.asarray(np.maximum(model.fit_predict(fitter.x), NOISE), np.int32)


_FITS: Mapping[Method, Callable[[Fitter, Mapping[str, Any]], Labels]] = {
    "kmeans": _kmeans,
    "minibatch-kmeans": _minibatch,
    "gaussian-mixture": _mixture,
    "agglomerative": _agglomerative,
    "dbscan": _dbscan,
    "hdbscan": _hdbscan,
}
