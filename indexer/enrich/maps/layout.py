"""Place images on a plane by their vectors, with PCA or UMAP. Memory: an id and two numbers an image, not its
vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.clusters.flat.reduce import Covariance, principal_axes
from vitrine.indexer.enrich.clusters.stored_vectors import StoredVectors, read_vectors
from vitrine.indexer.enrich.maps.coordinates import Places
from vitrine.indexer.enrich.maps.options import MapOptions
from vitrine.indexer.job.job import Advance
from vitrine.services.category.catalog import Category
from vitrine.services.category.read_all import read_all
from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.errors import BadRequest
from vitrine.services.extras import load_extra
from vitrine.services.vector_store.base import VectorStore

BEFORE_UMAP = 50
"""Dimensions left by PCA before UMAP. Of 3,068 photos of 1,280 dimensions it kept as many neighbours in half
the time."""
NEAREST = 5
"""An image that was not fitted is put at the median of so many nearest that were, in x and in y. Of 1,068
photos that were left out it kept 29 % of their neighbours and 68 % of the class about them; the mean 23 % and
65 %; UMAP's own transform 28 % and 70 %."""
_JUDGED, _JUDGED_NEAREST = 2_000, 15
_BLOCK = 1_000


@dataclass(frozen=True, eq=False)
class Layout:
    """``places`` of ``ids``, scaled into the unit square; ``metrics``: how faithful the map is."""

    ids: list[str]
    places: Places
    metrics: dict[str, float] = field(default_factory=dict)


class _Placer(Protocol):
    """A layout that was fitted, and places images, on any scale."""

    metrics: dict[str, float]

    def place(self, ids: list[str], rows: Embeddings) -> Places: ...


def lay_out(
    vectors: VectorStore, category: Category, spec: EncoderSpec, options: MapOptions, advance: Advance
) -> Layout:
    """Place all images that have the vector, in order of id. ``advance(done, of)``: half of them once all
    were read.

    ``BadRequest`` if there are fewer than three.
    """
    total = vectors.count(category.name)
    reader = _Reader(vectors, category, spec, advance, total)
    placer = _Pca(reader) if options.method == "pca" else _Umap(reader, options)
    ids: list[str] = []
    parts: list[Places] = []
    seen: Embeddings | None = None
    for batch_ids, rows in reader.batches(total):
        ids += batch_ids
        parts.append(placer.place(batch_ids, rows))
        # ids derive from hashes of the content: the first images are as good a sample as any
        seen = rows[:_JUDGED] if seen is None else seen
    if len(ids) < 3 or seen is None:
        raise too_few(category, spec, len(ids))
    places = unit_square(np.concatenate(parts))
    return Layout(
        ids, places, {**placer.metrics, "neighbours_kept": neighbours_kept(seen, places[: len(seen)])}
    )


def unit_square(places: Places) -> Places:
    """Scale so that the larger side fills 0..1, with the smaller one centred: distances keep their
    proportions."""
    low, high = places.min(axis=0).astype(float), places.max(axis=0).astype(float)
    side = float((high - low).max()) or 1.0
    scaled = (places - (low + high) / 2) / side + 0.5
    clipped: Places = np.clip(scaled, 0.0, 1.0).astype(np.float32)
    return clipped


def neighbours_kept(rows: Embeddings, places: Places) -> float:
    """Return the share of each image's 15 nearest by cosine that are among its 15 nearest on the map, as a
    mean over images."""
    near = min(_JUDGED_NEAREST, len(rows) - 1)
    close = rows @ rows.T
    squares = (places.astype(float) ** 2).sum(axis=1)
    apart = squares[:, None] + squares[None] - 2 * places.astype(float) @ places.T.astype(float)
    np.fill_diagonal(close, -np.inf)
    np.fill_diagonal(apart, np.inf)
    by_vector = np.argpartition(-close, near - 1, axis=1)[:, :near]
    by_place = np.argpartition(apart, near - 1, axis=1)[:, :near]
    shared = [len(np.intersect1d(one, other)) for one, other in zip(by_vector, by_place, strict=True)]
    return round(float(np.mean(shared)) / near, 4)


def too_few(category: Category, spec: EncoderSpec, count: int) -> BadRequest:
    return BadRequest(
        f"Category {category.name!r} has {count} images with the vector {spec.name!r}, too few for a "
        "map: index more first.",
        using=spec.name,
    )


@dataclass(frozen=True)
class _Reader:
    vectors: VectorStore
    category: Category
    spec: EncoderSpec
    advance: Advance
    total: int

    def batches(self, before: int) -> Iterator[tuple[list[str], Embeddings]]:
        """Yield ids and rows of all images; ``before``: how many were read in earlier passes."""
        done = before
        for batch in read_all(self.vectors, self.category.name, self.spec.name):
            yield list(batch.ids), batch.embeddings
            done += len(batch.ids)
            self.advance(min(done // 2, self.total), self.total)

    def sample(self, most: int, seed: int) -> StoredVectors:
        def half(done: int, total: int) -> None:
            self.advance(done // 2, self.total)

        return read_vectors(self.vectors, self.category, self.spec.name, most=most, seed=seed, progress=half)


class _Pca:
    """The two axes along which the vectors differ most."""

    def __init__(self, reader: _Reader) -> None:
        covariance = Covariance(reader.spec.dim)
        for _, rows in reader.batches(0):
            covariance.add(rows)
        if covariance.count < 3 or reader.spec.dim < 2:
            raise too_few(reader.category, reader.spec, covariance.count)
        self._mean, self._axes, explained = covariance.axes(2)
        self.metrics = {"explained": round(explained, 4)}

    def place(self, ids: list[str], rows: Embeddings) -> Places:
        places: Places = ((rows - self._mean) @ self._axes.T).astype(np.float32)
        return places


class _Umap:
    """UMAP of a sample after PCA; other images are placed where their nearest in the sample are."""

    def __init__(self, reader: _Reader, options: MapOptions) -> None:
        umap = load_extra("umap", "cluster")
        sample = reader.sample(options.sample, options.seed)
        neighbours = min(options.neighbours, len(sample.ids) - 1)
        dim = min(BEFORE_UMAP, sample.x.shape[1], len(sample.ids) - 1)
        if neighbours < 2 or len(sample.ids) < 5:
            raise too_few(reader.category, reader.spec, len(sample.ids))
        self._mean, self._axes, explained = principal_axes(sample.x, dim)
        self._cosine = options.metric == "cosine"
        self._rows = self._reduced(sample.x)
        self._number = {id: number for number, id in enumerate(sample.ids)}
        self._places: Places = np.asarray(
            umap.UMAP(  # one thread, or the seed would not decide
                n_components=2,
                n_neighbors=neighbours,
                min_dist=options.min_dist,
                metric="euclidean",
                init="spectral" if len(sample.ids) > 50 else "random",
                random_state=options.seed,
                n_jobs=1,
            ).fit_transform(self._rows),
            np.float32,
        )
        self.metrics = {"fitted": len(sample.ids), "explained_before": round(explained, 4)}

    def place(self, ids: list[str], rows: Embeddings) -> Places:
        known = np.array([self._number.get(id, -1) for id in ids])
        found: Places = self._places[known]
        new = np.flatnonzero(known < 0)
        for start in range(0, len(new), _BLOCK):
            part = new[start : start + _BLOCK]
            found[part] = among(self._places[self._nearest(self._reduced(rows[part]))])
        return found

    def _reduced(self, rows: Embeddings) -> Embeddings:
        """Reduce about the mean; for cosine to unit length, which orders pairs as the Euclidean distance
        does."""
        reduced: Embeddings = rows @ self._axes.T - self._axes @ self._mean
        if self._cosine:
            reduced /= np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return reduced

    def _nearest(self, rows: Embeddings) -> NDArray[np.int64]:
        closeness = rows @ self._rows.T - 0.5 * np.einsum("ij,ij->i", self._rows, self._rows)
        near = min(NEAREST, len(self._rows))
        nearest: NDArray[np.int64] = np.argpartition(-closeness, near - 1, axis=1)[:, :near]
        return nearest


def among(places: NDArray[np.float32]) -> Places:
    """Place images by the places (n, k, 2) of their nearest: the median in x and in y.

    Where the nearest are in two parts of the map, the image goes to the larger part, not into the gap.
    """
    middle: Places = np.median(places, axis=1).astype(np.float32)
    return middle
