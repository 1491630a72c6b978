"""Rule out most of the proposed pairs by a few features: every picture is read once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.orb_prefilter import Sketch, likely_turns
from vitrine.indexer.enrich.duplicates.pictures import Pictures
from vitrine.indexer.job.workers import in_order
from vitrine.services.threads import one_blas_thread

BLOCK = 65_536
"""Sketches of two blocks of so many pictures are held at a time: 0.4 GB, and twice that with flips."""
_TOGETHER = 256

Turns = list[str | None]
"""By pair: how the other picture may lie in the one, or None for another picture."""


@contextmanager
def comparing(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Provide threads for comparing pictures (0: one a core); each multiplies its small matrices alone."""
    pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, "duplicates")
    try:
        with one_blas_thread():
            yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def prefilter(
    pool: ThreadPoolExecutor,
    pictures: Pictures,
    pairs: NDArray[np.int64],
    *,
    flips: bool = False,
    done: Callable[[int], None] = lambda count: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Turns:
    """Return how the second of each pair of positions (m, 2), one < other, may be turned; None for another
    picture.

    ``done`` is called with the number of pictures read or pairs compared since the last call. After
    ``stopped``, pairs that were not compared count as different.
    """
    places, rank = np.unique(pairs, return_inverse=True)
    tiles = rank.reshape(-1, 2) // BLOCK
    turns: Turns = [None] * len(pairs)
    sketches: dict[int, dict[int, Sketch | None]] = {}
    for tile in sorted({(int(one), int(other)) for one, other in np.unique(tiles, axis=0)}):
        sketches = {block: made for block, made in sketches.items() if block in tile}
        for block in tile:
            if block not in sketches:
                those = places[block * BLOCK : (block + 1) * BLOCK].tolist()
                sketches[block] = _sketched(pool, pictures, those, flips, done, stopped)
        both = sketches[tile[0]] | sketches[tile[1]]
        numbers = np.flatnonzero((tiles == tile).all(axis=1))
        numbers = numbers[np.argsort(pairs[numbers, 0], kind="stable")].tolist()
        parts = [numbers[start : start + _TOGETHER] for start in range(0, len(numbers), _TOGETHER)]
        compared = in_order(pool, partial(_turns, both, pairs), parts, 16)
        for part, found in zip(parts, compared, strict=False):
            for number, turn in zip(part, found, strict=True):
                turns[number] = turn
            done(len(part))
            if stopped():
                return turns
    return turns


def _sketched(
    pool: ThreadPoolExecutor,
    pictures: Pictures,
    places: Sequence[int],
    flips: bool,
    done: Callable[[int], None],
    stopped: Callable[[], bool],
) -> dict[int, Sketch | None]:
    parts = [places[start : start + 16] for start in range(0, len(places), 16)]
    made: dict[int, Sketch | None] = {}
    for part in in_order(
        pool, lambda part: {place: pictures.sketch(place, flips=flips) for place in part}, parts, 8
    ):
        made |= part
        done(len(part))
        if stopped():
            break
    return made


def _turns(sketches: dict[int, Sketch | None], pairs: NDArray[np.int64], numbers: Sequence[int]) -> Turns:
    """Compare the pairs of these numbers, in which the pairs of one picture follow each other."""
    found: Turns = []
    for one, those in groupby(pairs[numbers].tolist(), key=lambda pair: pair[0]):
        first, others = sketches.get(one), [sketches.get(other) for _, other in those]
        there = [other for other in others if other is not None]
        turns = iter(likely_turns(first, there) if first is not None and there else ())
        found += [None if first is None or other is None else next(turns) for other in others]
    return found
