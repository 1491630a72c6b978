"""Flat clusterings of embeddings. Labels are 0..k-1, the largest cluster first, and -1 for noise."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitrine.indexer.enrich.clusters.flat.methods import Linkage, Value, get_method
from vitrine.indexer.enrich.clusters.flat.reduce import Geometry
from vitrine.indexer.enrich.clusters.tree.dendrogram import Merges, merge
from vitrine.indexer.enrich.clusters.tree.kmeans import Labels
from vitrine.services.domain import Embeddings
from vitrine.services.errors import BadRequest

NOISE = -1
_SAMPLE = 500


@dataclass
class Fitter:
    """Rows (n, dim) and a method, to be fit with one set of parameters after another.

    ``BadRequest`` for an unknown method, fewer than two rows, or more than the method can take.
    """

    x: Embeddings
    method: str
    geometry: Geometry = "cosine"
    seed: int = 0
    stop: threading.Event | None = None
    _merges: dict[str, Merges] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        method = get_method(self.method)
        if len(self.x) < 2:
            raise BadRequest(
                f"{len(self.x)} images make no clusters: index two or more first.", images=len(self.x)
            )
        if method.most and len(self.x) > method.most and self.x.shape[1] > method.most_dim:
            few = (
                f" (or reduce to {method.most_dim} dimensions or fewer, with UMAP)" if method.most_dim else ""
            )
            raise BadRequest(
                f"{len(self.x):,} images are too many for {self.method}, which holds all their "
                f"distances: up to {method.most:,} are possible. Use the tree or kmeans, or choose fewer "
                f"images{few}.",
                images=len(self.x),
                most=method.most,
            )

    def fit(self, parameters: Mapping[str, Value]) -> Labels:
        """Return (n,) labels. ``BadRequest`` for parameters that the method does not take, or that cannot
        be."""
        given, method = checked(self.method, parameters), get_method(self.method)
        for name, parameter in method.parameters.items():
            if parameter.needed and name not in given:
                raise BadRequest(f"{self.method} needs {name}.", parameter=name)
        clusters = given.get("clusters")
        if clusters is not None and not 1 <= clusters <= len(self.x):
            raise BadRequest(
                f"{len(self.x)} images cannot be put into {clusters} clusters.", clusters=clusters
            )
        return by_size(method.fit(self, given))

    def merges(self, linkage: Linkage) -> Merges:
        """Return the merges by this linkage, which are made once."""
        if linkage not in self._merges:
            self._merges[linkage] = merge(self.x, linkage, self.geometry, stop=self.stop)
        return self._merges[linkage]


def fit(
    x: Embeddings,
    method: str,
    parameters: Mapping[str, Value],
    geometry: Geometry = "cosine",
    *,
    seed: int = 0,
) -> Labels:
    """Return (n,) labels of the rows of ``x`` (n, dim), of unit length where the geometry is cosine."""
    return Fitter(x, method, geometry, seed).fit(parameters)


def checked(method: str, parameters: Mapping[str, Value]) -> dict[str, Any]:
    """Return the parameters in their types. ``BadRequest`` for what the method does not take or cannot be."""
    takes = get_method(method).parameters
    unknown = sorted(set(parameters) - set(takes))
    if unknown:
        raise BadRequest(
            f"{method} takes {', '.join(takes)}, not {', '.join(unknown)}.", method=method, unknown=unknown
        )
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        kind, choices = takes[name].kind, takes[name].choices
        try:
            found[name] = kind(value)
        except ValueError as error:
            raise BadRequest(f"{name} is a number, not {value!r}.", parameter=name) from error
        if kind is not str and not 0 < found[name] < float("inf"):
            raise BadRequest(f"{name} is greater than 0, not {value!r}.", parameter=name)
        if choices and found[name] not in choices:
            raise BadRequest(f"{name} is one of {', '.join(choices)}, not {found[name]!r}.", parameter=name)
    return found


def by_size(labels: Labels) -> Labels:
    """Number clusters from the largest on, equals by their first image; what is negative becomes -1."""
    names, first, groups, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    order = [at for at in np.lexsort((first, -counts)) if names[at] >= 0]
    number = np.full(len(names), NOISE, np.int32)
    number[order] = np.arange(len(order))
    found: Labels = number[groups]
    return found


def neighbour_distances(x: Embeddings, k: int, geometry: Geometry = "cosine", *, seed: int = 0) -> Embeddings:
    """Return the distances of a seeded sample of ``x`` to their k-th nearest row, itself the first, rising.

    Where the curve bends is the ``eps`` of DBSCAN (Ester et al., 1996).
    """
    away = sample_distances(x, geometry, seed)
    k = min(k, len(x)) - 1
    return np.sort(np.partition(away, k, axis=1)[:, k])


def sample_distances(x: Embeddings, geometry: Geometry, seed: int) -> Embeddings:
    """Return the distances of a seeded sample of rows to all rows, (sample, n)."""
    chosen: Embeddings = x[np.random.default_rng(seed).choice(len(x), min(len(x), _SAMPLE), replace=False)]
    away: Embeddings = chosen @ x.T
    if geometry == "cosine":
        np.subtract(1, away, out=away)
        np.maximum(away, 0, out=away)
        return away
    lengths = np.einsum("ij,ij->i", x, x)
    squares: Embeddings = lengths + np.einsum("ij,ij->i", chosen, chosen)[:, None] - 2 * away
    return np.sqrt(np.maximum(squares, 0))
