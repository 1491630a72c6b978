"""Draw pairs of images across the range of a similarity, for people to judge: bin by bin, never from all
pairs.

By embedding, the population is every pair of the category's images whose similarity is in the range. Of it
the pairs of some random images with all others are examined: each pair of the category has the same chance to
be among these. By a measure of the pixels the population is what was proposed: each of the drawn images with
its nearest by embedding, and with another one at random.

A pair that is drawn from a bin stands for (pairs of the population in the bin) / (pairs drawn from it).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.clusters.options import PairOptions
from vitrine.indexer.enrich.clusters.pixels.measures import measure as pixel_measure
from vitrine.indexer.enrich.clusters.pixels.pictures import Pictures, read_sources
from vitrine.indexer.enrich.clusters.stored_vectors import StoredVectors, read_vectors
from vitrine.indexer.job.job import Advance
from vitrine.indexer.job.workers import in_order
from vitrine.services.category.read_all import read_all
from vitrine.services.domain import Embeddings, Near, Query
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime

_TAIL = 0.99
"""Without a lower end, the range begins where one in a hundred random pairs is: less similar pairs are hardly
worth asking about."""
_AT_ONCE = 64

Pair = tuple[str, str]


@dataclass(frozen=True)
class Bin:
    """Pairs of the population with ``low <= similarity < high`` (of the last bin: <=), as counted in the part
    that was examined."""

    low: float
    high: float
    pairs: int


@dataclass(frozen=True)
class SampledPair:
    """Two image ids, the lesser first, their similarity, and the number of its bin."""

    one: str
    other: str
    similarity: float
    bin: int


@dataclass(frozen=True)
class PairSample:
    """``pairs``: most similar first. ``population``: a sentence that says which pairs these stand for."""

    using: str
    bins: tuple[Bin, ...]
    pairs: tuple[SampledPair, ...]
    population: str


def sample_pairs(
    runtime: Runtime, category: str, options: PairOptions, advance: Advance = lambda done, of: None
) -> PairSample:
    """Draw pairs, in turns one from each bin that has any; more ``pairs`` give the same ones and others.

    ``NotFound``, ``UnknownVector``, ``BadRequest`` (options; fewer than two images; a package that is not
    installed).
    """
    return (_by_embedding if options.measure == "embedding" else _by_pixels)(
        runtime, category, options, advance
    )


# By embedding
# ------------------------------------------------------------------------------------------------------------


def _by_embedding(runtime: Runtime, category: str, options: PairOptions, advance: Advance) -> PairSample:
    """Draw pairs in one pass over the vectors. Memory: the vectors of the drawn images, and their products
    with one batch."""
    drawn = _draw(runtime, category, options)
    low = _tail(drawn.x) if options.low is None else options.low
    edges = np.linspace(low, 1.0, options.bins + 1)
    kept = _Kept(options.bins, options.wanted, options.seed)
    numbers = {id: number for number, id in enumerate(drawn.ids)}
    done = 0
    advance(0, drawn.total)
    for batch in read_all(runtime.vectors, category, drawn.using):
        similar = np.minimum(drawn.x @ batch.embeddings.T, 1.0)
        own = np.array([numbers.get(id, -1) for id in batch.ids])
        # of two drawn images the pair is met twice: it counts once, and never an image with itself
        similar[np.arange(len(drawn.ids))[:, None] <= own[None]] = -2
        one, other = np.nonzero(similar >= low)
        found = similar[one, other]
        kept.offer(
            found,
            _bin_of(found, edges),
            lambda at, one=one, other=other, ids=batch.ids: (  # type: ignore[misc]
                drawn.ids[one[at]],
                ids[other[at]],
            ),
        )
        done += len(batch.ids)
        advance(min(done, drawn.total), drawn.total)
    n, s = drawn.total, len(drawn.ids)
    share = 1 - (n - s) * (n - s - 1) / (n * (n - 1))
    part = (
        "all of them"
        if share == 1
        else f"{share:.1%} of them: the pairs of {s:,} images drawn at random with all others"
    )
    population = (
        f"pairs of {n:,} images of {category!r} with a cosine similarity of {low:.4f} or more by "
        f"{drawn.using}; seen: {part}"
    )
    return kept.sample(drawn.using, edges, population, options.wanted)


def _draw(runtime: Runtime, category: str, options: PairOptions) -> StoredVectors:
    cat = runtime.catalog.get(category)
    drawn = read_vectors(runtime.vectors, cat, options.using, most=options.drawn, seed=options.seed)
    if len(drawn.ids) < 2:
        raise BadRequest(
            f"Category {category!r} has one image: there are no pairs to judge.", category=category
        )
    return drawn


def _tail(x: Embeddings) -> float:
    """Return the similarity that one in a hundred random pairs exceeds, rounded down."""
    some = x[:1_000]
    products = (some @ some.T)[np.triu_indices(len(some), 1)]
    return round(float(min(np.floor(float(np.quantile(products, _TAIL)) * 100) / 100, 0.95)), 2)


def _bin_of(similar: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.clip(np.searchsorted(edges, similar, side="right") - 1, 0, len(edges) - 2)


class _Kept:
    """Keeps the pairs of each bin with the lowest random keys: a random sample of all that were offered."""

    def __init__(self, bins: int, most: int, seed: int) -> None:
        self.counts = np.zeros(bins, np.int64)
        self._kept: list[list[tuple[float, float, Pair]]] = [[] for _ in range(bins)]
        self._most = most
        self._generator = np.random.default_rng((seed, 1))

    def offer(self, similar: NDArray[Any], bins: NDArray[np.int64], pair_at: Callable[[int], Pair]) -> None:
        keys = self._generator.random(len(similar))
        self.counts += np.bincount(bins, minlength=len(self.counts))
        for number, kept in enumerate(self._kept):
            inside = np.flatnonzero(bins == number)
            if len(inside) > self._most:
                inside = inside[np.argpartition(keys[inside], self._most - 1)[: self._most]]
            worst = kept[-1][0] if len(kept) >= self._most else 1.0
            kept += [
                (float(keys[at]), float(similar[at]), pair_at(at))
                for at in inside[keys[inside] <= worst].tolist()
            ]
            kept.sort()
            del kept[self._most :]

    def sample(self, using: str, edges: NDArray[np.float64], population: str, pairs: int) -> PairSample:
        taken: list[SampledPair] = []
        for turn in count():  # one from each bin in turn, from the most similar down
            rows = [
                (number, kept[turn])
                for number, kept in reversed([*enumerate(self._kept)])
                if turn < len(kept)
            ]
            taken += [
                SampledPair(min(p), max(p), round(s, 6), number)
                for number, (_, s, p) in rows[: pairs - len(taken)]
            ]
            if not rows or len(taken) >= pairs:
                break
        bins = tuple(
            Bin(float(low), float(high), int(pairs))
            for (low, high), pairs in zip(pairwise(edges), self.counts, strict=True)
        )
        return PairSample(
            using,
            bins,
            tuple(sorted(taken, key=lambda pair: (-pair.similarity, pair.one, pair.other))),
            population,
        )


# By a measure of the pixels
# -----------------------------------------------------------------------------------------------


def _by_pixels(runtime: Runtime, category: str, options: PairOptions, advance: Advance) -> PairSample:
    """Measure every proposed pair. Memory: what the measure keeps of each picture in them."""
    drawn = _draw(runtime, category, options)
    shuffled = np.random.default_rng((options.seed, 2)).permutation(len(drawn.ids)).tolist()
    at_random = [(drawn.ids[one], drawn.ids[other]) for one, other in pairwise([*shuffled, shuffled[0]])]
    pairs = sorted(
        {(min(p), max(p)) for p in [*_neighbours(runtime, category, drawn, options.neighbours), *at_random]}
    )
    pairs = [(one, other) for one, other in pairs if one != other]
    similar = _measured(runtime, category, options.measure, pairs, advance)
    known = [(pair, value) for pair, value in zip(pairs, similar, strict=True) if value is not None]
    values = np.array([value for _, value in known], float)
    # the lower half holds neighbours that are near by chance alone
    middle = round(float(np.floor(float(np.median(values)) * 100) / 100), 2) if len(values) else 0.0
    low = min(middle, 0.95) if options.low is None else options.low
    inside = [(pair, value) for pair, value in known if value >= low]
    edges = np.linspace(low, 1.0, options.bins + 1)
    kept = _Kept(options.bins, options.wanted, options.seed)
    found = np.array([value for _, value in inside], float)
    kept.offer(found, _bin_of(found, edges), lambda at: inside[at][0])
    nearest = f"each with its {options.neighbours} nearest by {drawn.using} and another at random"
    population = (
        f"{len(inside):,} pairs of {category!r} that are alike by {options.measure} to {low:.4f} or "
        f"more, among those proposed: {len(drawn.ids):,} of {drawn.total:,} images drawn at random, "
        f"{nearest}"
    )
    return kept.sample(drawn.using, edges, population, options.wanted)


def _neighbours(runtime: Runtime, category: str, drawn: StoredVectors, most: int) -> Iterator[Pair]:
    for start in range(0, len(drawn.ids), _AT_ONCE):
        ids = drawn.ids[start : start + _AT_ONCE]
        queries = [
            Query(Near(row), using=drawn.using, limit=most, exclude=(id,), with_payload=False)
            for id, row in zip(ids, drawn.x[start : start + _AT_ONCE], strict=True)
        ]
        for id, hits in zip(ids, runtime.vectors.query_batch(category, queries), strict=True):
            yield from ((id, hit.id) for hit in hits)


def _measured(
    runtime: Runtime, category: str, name: str, pairs: Sequence[Pair], advance: Advance
) -> list[float | None]:
    """Return the similarity of each pair; None where a picture is gone or does not decode."""
    measure = pixel_measure(name)
    ids = list(dict.fromkeys(id for pair in pairs for id in pair))
    pictures = Pictures(runtime, read_sources(runtime, category, ids), measure, threading.Event())
    threads = runtime.settings.threads or os.cpu_count() or 1
    prepared: dict[str, Any] = {}
    advance(0, len(ids))
    with ThreadPoolExecutor(threads, "pixels") as pool:
        for id, value in zip(ids, in_order(pool, pictures.value, range(len(ids)), 4 * threads), strict=True):
            prepared[id] = value
            advance(len(prepared), len(ids))

        def compare(pair: Pair) -> float | None:
            one, other = prepared[pair[0]], prepared[pair[1]]
            return None if one is None or other is None else float(measure.similarity(one, other))

        return list(in_order(pool, compare, pairs, 16 * threads))


def object_keys(runtime: Runtime, category: str, ids: Sequence[str], field: str = "object_key") -> list[str]:
    """Return a payload field of images, aligned with ``ids``; "" where it is missing."""
    found: list[str] = []
    for start in range(0, len(ids), 500):
        hits = runtime.vectors.retrieve(category, ids[start : start + 500], with_payload=(field,))
        found += [str(hit.payload.get(field, "")) if hit else "" for hit in hits]
    return found
