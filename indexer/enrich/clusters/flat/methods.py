"""The flat clustering methods, one entry of ``METHODS`` each.

To add one, write a function that returns labels and an entry: the grid, the command line and its checks
read the table. A parameter that no other method has is also a field of `GridOptions` (../options.py). What is
imported here is light, so that the command line can name the methods at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from vitrine.services.errors import BadRequest
from vitrine.services.extras import load_extra

if TYPE_CHECKING:
    from vitrine.indexer.enrich.clusters.flat.flat import Fitter

Value = int | float | str
Linkage = Literal["average", "complete", "ward"]
LINKAGES: tuple[Linkage, ...] = get_args(Linkage)
DENDROGRAM_LIMIT = 20_000
"""Images of which all distances are held: 1.6 GB."""
TREE_DIM = 16
"""Dimensions up to which DBSCAN and HDBSCAN search a k-d tree; then HDBSCAN has no limit of images."""
NEIGHBOURS = 250_000_000
"""Pairs within ``eps`` that DBSCAN may list: 2 GB."""
FULL_DIM = 256
STARTS = 4
_EPS_SHARES = (0.1, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Parameter:
    """A number greater than 0, or one of the ``choices``.

    ``tried``: the values of the grid where none are given, from the rows and from the grid so far; None
    leaves the parameter out.
    """

    kind: type[int] | type[float] | type[str] = int
    choices: tuple[str, ...] = ()
    needed: bool = False
    tried: Callable[[Fitter, Mapping[str, Sequence[Value]]], Sequence[Value]] | None = None


@dataclass(frozen=True)
class Method:
    """A way to put rows into clusters.

    ``fit(fitter, parameters)`` returns (n,) labels of ``fitter.x``, negative for noise. ``draws``: another
    seed may give other labels. ``most``: images it can take, where it holds all their distances;
    ``most_dim``: dimensions up to which it takes any number.
    """

    fit: Callable[[Fitter, Mapping[str, Any]], Any]
    parameters: Mapping[str, Parameter]
    draws: bool = False
    most: int | None = None
    most_dim: int = 0


def _kmeans(fitter: Fitter, given: Mapping[str, Any]) -> Any:
    """Fit k-means as the best of a few starts: with few clusters one start often ends in a poor optimum."""
    import numpy as np

    from vitrine.indexer.enrich.clusters.tree.kmeans import ITERATIONS, kmeans

    seeds = np.random.SeedSequence(fitter.seed).generate_state(STARTS)
    most = given.get("max_iter", ITERATIONS)
    found = (kmeans(fitter.x, given["clusters"], seed=int(seed), iterations=most) for seed in seeds)
    return min(found, key=lambda one: one.inertia).labels


def _minibatch(fitter: Fitter, given: Mapping[str, Any]) -> Any:
    k, most = given["clusters"], given.get("max_iter", 100)
    model = load_extra("sklearn.cluster", "cluster").MiniBatchKMeans(
        k, max_iter=most, batch_size=max(1_024, 4 * k), n_init=3, random_state=fitter.seed
    )
    return model.fit_predict(fitter.x)


def _mixture(fitter: Fitter, given: Mapping[str, Any]) -> Any:
    covariance, dim = given.get("covariance", "diag"), fitter.x.shape[1]
    if covariance in ("full", "tied") and dim > FULL_DIM:
        raise BadRequest(
            f"A {covariance} covariance in {dim} dimensions has too many numbers: reduce to {FULL_DIM} or "
            "fewer with PCA first, or take diag or spherical.",
            parameter="covariance",
        )
    most = given.get("max_iter", 100)
    model = load_extra("sklearn.mixture", "cluster").GaussianMixture(
        given["clusters"], covariance_type=covariance, max_iter=most, random_state=fitter.seed
    )
    return model.fit_predict(fitter.x)


def _agglomerative(fitter: Fitter, given: Mapping[str, Any]) -> Any:
    return fitter.merges(given.get("linkage", "average")).into(given["clusters"])


def _dbscan(fitter: Fitter, given: Mapping[str, Any]) -> Any:
    from vitrine.indexer.enrich.clusters.flat.flat import sample_distances

    eps, n = given["eps"], len(fitter.x)
    near = float((sample_distances(fitter.x, fitter.geometry, fitter.seed) <= eps).mean()) * n * n
    if near > NEIGHBOURS:
        raise BadRequest(
            f"With eps {eps:g} some {near / 1e6:,.0f} million pairs are neighbours, too many to hold: "
            "choose a smaller eps.",
            parameter="eps",
        )
    # on unit vectors the squared Euclidean distance is twice 1 - cosine similarity
    reach = math.sqrt(2 * eps) if fitter.geometry == "cosine" else eps
    model = load_extra("sklearn.cluster", "cluster").DBSCAN(
        eps=reach,
        min_samples=given.get("min_samples", 5),
        algorithm="auto" if fitter.x.shape[1] <= TREE_DIM else "brute",
    )
    return model.fit_predict(fitter.x)


def _hdbscan(fitter: Fitter, given: Mapping[str, Any]) -> Any:
    size = max(2, given.get("min_cluster_size", 15))
    model = load_extra("sklearn.cluster", "cluster").HDBSCAN(
        min_cluster_size=size,
        min_samples=min(given.get("min_samples", size), len(fitter.x)),
        algorithm="kd_tree" if fitter.x.shape[1] <= TREE_DIM else "brute",
        copy=True,
    )
    return model.fit_predict(fitter.x)


def _samples(fitter: Fitter, grid: Mapping[str, Sequence[Value]]) -> Sequence[Value]:
    return [k for k in (5, 10) if k <= len(fitter.x)] or [2]


def _reaches(fitter: Fitter, grid: Mapping[str, Sequence[Value]]) -> Sequence[Value]:
    """Return distances within which a tenth to three quarters of the images have ``min_samples``
    neighbours."""
    import numpy as np

    from vitrine.indexer.enrich.clusters.flat.flat import neighbour_distances

    few = int((grid.get("min_samples") or _samples(fitter, grid))[0])
    curve = neighbour_distances(fitter.x, few, fitter.geometry, seed=fitter.seed)
    return sorted({max(1e-6, round(float(np.quantile(curve, share)), 4)) for share in _EPS_SHARES})


_CLUSTERS = Parameter(
    needed=True, tried=lambda fitter, grid: [k for k in (10, 20, 50) if k <= len(fitter.x) // 2] or [2]
)
METHODS: Mapping[str, Method] = {
    "kmeans": Method(_kmeans, {"clusters": _CLUSTERS, "max_iter": Parameter()}, draws=True),
    "minibatch-kmeans": Method(_minibatch, {"clusters": _CLUSTERS, "max_iter": Parameter()}, draws=True),
    "gaussian-mixture": Method(
        _mixture,
        {
            "covariance": Parameter(str, ("diag", "spherical", "tied", "full")),
            "clusters": _CLUSTERS,
            "max_iter": Parameter(),
        },
        draws=True,
    ),
    "agglomerative": Method(
        _agglomerative,
        {
            "linkage": Parameter(str, LINKAGES, tried=lambda fitter, grid: ("average", "ward")),
            "clusters": _CLUSTERS,
        },
        most=DENDROGRAM_LIMIT,
    ),
    "dbscan": Method(
        _dbscan,
        {
            "min_samples": Parameter(tried=_samples),
            "eps": Parameter(float, needed=True, tried=_reaches),
        },
    ),
    "hdbscan": Method(
        _hdbscan,
        {
            "min_cluster_size": Parameter(tried=lambda fitter, grid: (5, 15, 30)),
            "min_samples": Parameter(),
        },
        most=15_000,
        most_dim=TREE_DIM,
    ),
}
"""By name, in the order in which they are listed. ``eps`` is a distance: 1 - cosine similarity, or Euclidean
after UMAP."""


def get_method(name: str) -> Method:
    """Return the method of that name. ``BadRequest`` for an unknown one."""
    if name not in METHODS:
        raise BadRequest(f"{name!r} is no method: choose one of {', '.join(METHODS)}.", method=name)
    return METHODS[name]
