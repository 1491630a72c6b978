"""Propose pairs of images that may be near-duplicates: those near by perceptual hash, and those near by
embedding. Never all pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.options import Reach
from vitrine.services.domain import Embeddings, Near, Query
from vitrine.services.extras import has_library
from vitrine.services.images.hashes import Hashes, close_pairs, telling
from vitrine.services.vector_store.base import VectorStore
from vitrine.services.vector_store.similarity import RESOLUTION

IN_MEMORY = 200_000
"""Images up to which neighbours are found by products of blocks in memory; beyond, by queries to the
engine."""
_BLOCK = 1_024
_ENGINE_BATCH = 64
_ALONG = 5
"""An image is paired with the next four of the same hash."""
_UNLIKE, _NEAR = 32, 0.9
"""Perceptual hashes of unlike pictures are 32 bits apart on average. Of 7,019 pairs of copies in the train
half of benchmarks/copies/duplicates.py 6 were further apart than that, none with embeddings this near."""

Product = Callable[[int, int], NDArray[np.float32]]
"""Of the rows from one to another with all rows from the first of them on: (rows, n - first)."""
SLACK = 0.006
"""The largest error of a product of unit vectors in bfloat16 (8 bits of fraction, summed in float32)."""
_WORTH = 20_000
"""Images from which the import of torch, a second, pays."""

Done = Callable[[int], None]
"""Called with the number of images that are done."""
Stopped = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class Images:
    """Images in the order of ``ids``; a row of ``embeddings`` is zero where an image has none."""

    ids: tuple[str, ...]
    hashes: Hashes
    embeddings: Embeddings

    def __len__(self) -> int:
        return len(self.ids)

    def similarity(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the cosine similarity of the pairs, 0 where an image has no embedding."""
        rows = [
            np.einsum(
                "ij,ij->i",
                self.embeddings[one[s : s + 4096]],
                self.embeddings[other[s : s + 4096]],
                dtype=np.float32,
            )
            for s in range(0, len(one), 4096)
        ]
        return np.concatenate(rows) if rows else np.empty(0, np.float32)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of positions, one < other, and why they were proposed: ``bits`` apart (64: not by hash) and
    cosine ``similarity``."""

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    bits: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.one)


def candidates(images: Images, neighbours: NDArray[np.int64], reach: Reach) -> Candidates:
    """Return the pairs near by hash and the pairs ``neighbours`` (m, 2), each once, most similar first."""
    by_hash = hash_pairs(images.hashes, reach)
    if not reach.flips:
        neighbours = _not_unlike(images, neighbours)
    pairs = np.unique(np.concatenate([by_hash[:, 1:], neighbours]), axis=0)
    one, other = pairs[:, 0], pairs[:, 1]
    bits = np.full(len(pairs), 64, np.int64)
    keys = one * len(images) + other
    found = by_hash[::-1]  # where a pair is there twice, its closest comes last and stays
    bits[np.searchsorted(keys, found[:, 1] * len(images) + found[:, 2])] = found[:, 0]
    similarity = images.similarity(one, other)
    order = np.lexsort((other, one, bits, -similarity))
    return Candidates(one[order], other[order], bits[order], similarity[order])


def _not_unlike(images: Images, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drop the pairs whose hashes say that they are different pictures, unless their embeddings are very
    near."""
    one, other = pairs[:, 0], pairs[:, 1]
    apart = np.bitwise_count(images.hashes[one] ^ images.hashes[other]) > _UNLIKE
    apart &= telling(images.hashes)[one] & telling(images.hashes)[other]
    apart[apart] &= images.similarity(one[apart], other[apart]) < _NEAR
    likely: NDArray[np.int64] = pairs[~apart]
    return likely


def hash_pairs(hashes: Hashes, reach: Reach) -> NDArray[np.int64]:
    """Return (m, 3): bits apart, one, other; closest first.

    Many images of the same hash are paired with the next few, not each with each. With ``flips`` the hashes
    of the other seven ways a picture can lie are computed from its own: mirroring changes the sign of every
    other column of a discrete cosine transform, and with it the bit, since the median is near zero.
    """
    rows = np.flatnonzero(telling(hashes))
    distinct, position = np.unique(hashes[rows], return_inverse=True)
    order = np.argsort(position, kind="stable")
    sorted_rows, groups = rows[order], position[order]
    first = sorted_rows[np.searchsorted(groups, np.arange(len(distinct)))]
    near = close_pairs(distinct, reach.band)
    found = [np.stack([near[:, 0], first[near[:, 1]], first[near[:, 2]]], 1)]
    for step in range(1, _ALONG):
        twins = np.flatnonzero(groups[step:] == groups[:-step])
        found.append(
            np.stack([np.zeros(len(twins), np.int64), sorted_rows[twins], sorted_rows[twins + step]], 1)
        )
    if reach.flips:
        found += [_turned_pairs(distinct, first, turned, reach.band) for turned in turned_hashes(distinct)]
    every = np.concatenate(found)
    every = np.stack([every[:, 0], every[:, 1:].min(1), every[:, 1:].max(1)], 1)
    return np.unique(every[every[:, 1] < every[:, 2]], axis=0)


def turned_hashes(hashes: Hashes) -> list[Hashes]:
    """Return the hashes of the same pictures mirrored and turned, seven ways, within a few bits."""
    bits = np.unpackbits(hashes[:, None].astype(">u8").view(np.uint8), axis=1).reshape(-1, 8, 8).astype(bool)
    columns, rows = np.arange(8)[None, :] % 2 == 1, np.arange(8)[:, None] % 2 == 1
    flat = np.zeros((8, 8), bool)
    masks = [flat | columns, flat | rows, columns ^ rows]
    swapped = bits.transpose(0, 2, 1)
    turned = [bits ^ mask for mask in masks] + [swapped] + [swapped ^ mask for mask in masks]
    return [np.packbits(each.reshape(-1, 64), axis=1).view(">u8")[:, 0].astype(np.uint64) for each in turned]


def _turned_pairs(hashes: Hashes, first: NDArray[np.int64], turned: Hashes, band: int) -> NDArray[np.int64]:
    near = close_pairs(np.concatenate([hashes, turned]), band)
    count = len(hashes)
    across = near[(near[:, 1] < count) & (near[:, 2] >= count)]
    return np.stack([across[:, 0], first[across[:, 1]], first[across[:, 2] - count]], 1)


def near_in_memory(
    embeddings: Embeddings, reach: Reach, *, done: Done | None = None, stopped: Stopped | None = None
) -> NDArray[np.int64]:
    """Return the pairs (m, 2) at or above ``reach.similarity``: for each image the nearest ``neighbours`` of
    those after it.

    Products of blocks, half of the square: n * n * dim multiplications, as fast as the processor allows. They
    only preselect: what counts is computed in float32, so every processor gives the same pairs. Memory: 1,024
    rows of n numbers.
    """
    product, slack = fast_products(embeddings)
    images = Images((), np.empty(0, np.uint64), embeddings)
    least = reach.similarity - RESOLUTION
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(embeddings), _BLOCK):
        if stopped is not None and stopped():
            break
        near = product(start, min(start + _BLOCK, len(embeddings)))
        pairs = _likely(near, least - slack, reach.neighbours, 2 * slack) + start
        similar = images.similarity(pairs[:, 0], pairs[:, 1])
        pairs, similar = pairs[similar >= least], similar[similar >= least]
        order = np.lexsort((pairs[:, 1], -similar, pairs[:, 0]))
        pairs = pairs[order]
        rank = np.arange(len(pairs)) - np.searchsorted(pairs[:, 0], pairs[:, 0])
        found.append(pairs[rank < reach.neighbours])
        if done is not None:
            done(min(start + _BLOCK, len(embeddings)))
    return np.concatenate(found)


def fast_products(embeddings: Embeddings) -> tuple[Product, float]:
    """Return the fastest way to multiply on this processor, and the largest error of what it gives.

    bfloat16 on AMX is four times as fast as float32 (two cores, 512 dimensions: 0.05 against 0.20 s); with
    the instructions of AVX-512 alone it is slower, so there and elsewhere it is float32. torch multiplies in
    bfloat16, where it is installed.
    """
    if len(embeddings) >= _WORTH and has_library("torch"):
        import torch

        if torch.cpu.get_capabilities().get("amx_bf16"):
            return _in_bfloat16(embeddings), SLACK

    def exact(start: int, end: int) -> NDArray[np.float32]:
        product: NDArray[np.float32] = embeddings[start:end] @ embeddings[start:].T
        return product

    return exact, 0.0


def _in_bfloat16(embeddings: Embeddings) -> Product:
    import torch

    rounded = torch.from_numpy(np.ascontiguousarray(embeddings)).bfloat16()

    def product(start: int, end: int) -> NDArray[np.float32]:
        near: NDArray[np.float32] = (rounded[start:end] @ rounded[start:].T).float().numpy()
        return near

    return product


def _likely(near: NDArray[np.float32], least: float, neighbours: int, slack: float) -> NDArray[np.int64]:
    """Return (m, 2) positions in a block whose columns begin with its own rows: for each row the columns
    after it that are near, and that may be among its nearest ``neighbours`` where values are off by
    ``slack``."""
    rows, columns = np.nonzero(near >= least)
    after = columns > rows
    rows, columns = rows[after], columns[after]
    counts = np.bincount(rows, minlength=len(near))
    ends, kept = np.cumsum(counts), np.ones(len(rows), bool)
    for row in np.flatnonzero(counts > neighbours).tolist():
        own = slice(ends[row] - counts[row], ends[row])
        values = near[row, columns[own]]
        kept[own] = values >= np.partition(values, -neighbours)[-neighbours] - slack - RESOLUTION
    return np.stack([rows[kept], columns[kept]], 1)


def near_by_engine(
    vectors: VectorStore,
    collection: str,
    using: str,
    images: Images,
    reach: Reach,
    *,
    done: Done | None = None,
    stopped: Stopped | None = None,
) -> NDArray[np.int64]:
    """Return the same pairs by queries to the engine, for categories whose products would take hours."""
    places = {id: place for place, id in enumerate(images.ids)}
    found: list[tuple[int, int]] = []
    for start in range(0, len(images), _ENGINE_BATCH):
        if stopped is not None and stopped():
            break
        rows = images.embeddings[start : start + _ENGINE_BATCH].astype(np.float32)
        having = [start + place for place in np.flatnonzero(rows.any(axis=1)).tolist()]
        queries = [_query(images, place, using, reach) for place in having]
        for place, hits in zip(having, vectors.query_batch(collection, queries), strict=True):
            others = (places.get(hit.id, place) for hit in hits)
            found += [(min(place, other), max(place, other)) for other in others if other != place]
        if done is not None:
            done(min(start + _ENGINE_BATCH, len(images)))
    return np.unique(np.array(found, np.int64).reshape(-1, 2), axis=0)


def _query(images: Images, place: int, using: str, reach: Reach) -> Query:
    vector = images.embeddings[place].astype(np.float32)
    vector /= np.linalg.norm(vector)
    return Query(
        Near(vector),
        using=using,
        limit=reach.neighbours,
        min_similarity=reach.similarity,
        exclude=(images.ids[place],),
        with_payload=False,
    )
