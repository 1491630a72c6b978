"""Reduce the dimensions before a clustering, by PCA or UMAP, and say which geometry fits the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vitrine.indexer.enrich.clusters.options import Reduction
from vitrine.services.domain import Embeddings
from vitrine.services.errors import BadRequest
from vitrine.services.extras import load_extra

Geometry = Literal["cosine", "euclidean"]
PCA_DIM, UMAP_DIM = 64, 8
UMAP_NEIGHBOURS = 30
_CHUNK = 8_192


@dataclass(frozen=True, eq=False)
class Reduced:
    """``x`` (n, dim) float32, of unit length where the ``geometry`` is cosine. ``explained``: share of the
    variance that PCA kept."""

    x: Embeddings
    geometry: Geometry
    explained: float | None = None
    how: Reduction = "none"

    @property
    def space(self) -> str:
        """The space of ``x`` in words.

        >>> Reduced(np.zeros((2, 8), np.float32), "euclidean", how="umap").space
        'umap, 8 dimensions, euclidean'
        """
        named = "stored embeddings" if self.how == "none" else self.how
        return f"{named}, {self.x.shape[1]} dimensions, {self.geometry}"


def reduce(x: Embeddings, how: Reduction = "none", dim: int | None = None, *, seed: int = 0) -> Reduced:
    """Reduce unit rows ``x`` (n, d) to ``dim`` dimensions (PCA 64, UMAP 8 unless given).

    PCA is centred and its rows are brought back to unit length: cosine about the mean. UMAP's coordinates are
    Euclidean. Both need all rows at once; the centres of clusters come from the original vectors.
    ``BadRequest`` for an unknown method or too few rows.
    """
    if how == "none":
        return Reduced(x, "cosine")
    if how not in get_args(Reduction):
        raise BadRequest(
            f"{how!r} is no reduction: choose one of {', '.join(get_args(Reduction))}.", reduce=how
        )
    dim = min(dim or (PCA_DIM if how == "pca" else UMAP_DIM), x.shape[1], len(x) - 1)
    if dim < 1:
        raise BadRequest("A reduction needs two images or more, and one dimension or more.", dim=dim)
    return _pca(x, dim) if how == "pca" else _umap(x, dim, seed)


class Covariance:
    """The covariance of rows that come in parts, and its axes. Memory: dim x dim numbers for any number of
    rows."""

    def __init__(self, dim: int) -> None:
        self.count = 0
        self._sum = np.zeros(dim)
        self._products = np.zeros((dim, dim))
        self._origin: Embeddings | None = None

    def add(self, rows: Embeddings) -> None:
        """Add rows (n, dim). The mean of the first part is the origin: about zero, squares would lose small
        variances."""
        if self._origin is None:
            self._origin = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        part = rows - self._origin
        self.count += len(rows)
        self._sum += part.sum(axis=0, dtype=np.float64)
        self._products += part.T @ part

    def axes(self, dim: int) -> tuple[Embeddings, Embeddings, float]:
        """Return the mean (d,), the first ``dim`` axes (dim, d) and the share of the variance along them.

        The axes are eigenvectors of the covariance; the largest component of each is positive. ``ValueError``
        before any row.
        """
        if self._origin is None:
            raise ValueError("no rows were added")
        off = self._sum / self.count
        values, vectors = np.linalg.eigh(self._products - self.count * np.outer(off, off))
        axes = vectors[:, ::-1][:, :dim].T
        axes *= np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]
        total = values.sum()
        kept = float(values[::-1][:dim].sum() / total) if total > 0 else 1.0
        return (self._origin + off).astype(np.float32), axes.astype(np.float32), kept


def principal_axes(x: Embeddings, dim: int) -> tuple[Embeddings, Embeddings, float]:
    """Return ``Covariance.axes`` of rows in memory, without a copy of ``x``."""
    covariance = Covariance(x.shape[1])
    for start in range(0, len(x), _CHUNK):
        covariance.add(x[start : start + _CHUNK])
    return covariance.axes(dim)


def _pca(x: Embeddings, dim: int) -> Reduced:
    mean, axes, kept = principal_axes(x, dim)
    rows = x @ axes.T - axes @ mean
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return Reduced(rows / np.maximum(lengths, np.finfo(np.float32).tiny), "cosine", kept, "pca")


def _umap(x: Embeddings, dim: int, seed: int) -> Reduced:
    umap = load_extra("umap", "cluster")
    neighbours = min(UMAP_NEIGHBOURS, len(x) - 1)
    if len(x) < dim + 2 or neighbours < 2:
        raise BadRequest(
            f"{len(x)} images are too few for UMAP in {dim} dimensions: leave the reduction out.", dim=dim
        )
    made = umap.UMAP(  # points close together make clusters; one thread, or the seed would not decide
        n_components=dim, n_neighbors=neighbours, min_dist=0.0, metric="cosine", random_state=seed, n_jobs=1
    ).fit_transform(x)
    return Reduced(np.ascontiguousarray(made, np.float32), "euclidean", how="umap")
