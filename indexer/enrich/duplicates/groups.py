"""Group pairs by complete linkage: two groups become one only if every member of one is near every member
of the other.

So a chain of look-alikes, each near the next, does not end in one group of pictures that have nothing in
common.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.pair_cache import Pair, PairCache
from vitrine.services.artifacts.duplicates import Member

Places = NDArray[np.int64]
CROSS_CHECKS = 400
"""Pairs looked at when two groups meet; where there are more, those whose stored
embeddings are least similar."""


def complete_link(
    pairs: Iterable[Pair],
    same: Callable[[Pair], bool],
    may_share: Callable[[Pair], bool],
    closeness: Callable[[Pair], float],
    apart: Collection[Pair] = (),
) -> list[list[int]]:
    """Return groups of two and more positions, each ascending, in order of their first.

    ``pairs``, nearest first, join where they are ``same``; a pair that is in one group already is skipped.
    Two groups join if all other pairs across ``may_share`` a group too, and none is ``apart`` for good. So in
    a group of up to 21 images every pair is the same or may share; in a larger one this holds for every pair
    among the 400 least close of each two groups that joined.
    """
    group: dict[int, list[int]] = {}
    for one, other in pairs:
        mine, theirs = group.get(one, [one]), group.get(other, [other])
        if mine is theirs or not same((one, other)):
            continue
        across = [(min(pair), max(pair)) for pair in product(mine, theirs) if {*pair} != {one, other}]
        if apart and any(pair in apart for pair in across):
            continue
        if all(may_share(pair) for pair in _least_close(across, closeness)):
            both = [*mine, *theirs]
            group.update(dict.fromkeys(both, both))
    distinct = {id(members): sorted(members) for members in group.values()}
    return sorted(distinct.values())


def _least_close(pairs: list[Pair], closeness: Callable[[Pair], float]) -> list[Pair]:
    """Put first what decides most often: nearly all joins that fail do so at the first pair."""
    return heapq.nsmallest(CROSS_CHECKS, pairs, key=closeness) if len(pairs) > 1 else pairs


def arranged(ids: Sequence[str], places: Sequence[int], cache: PairCache) -> tuple[Member, ...]:
    """Return the images at ``places``, the one to keep first.

    Each is a copy of the first before it that is the same picture, or else a version of the one to keep. So a
    copy of a version goes with that version, and no picture is lost by way of another.
    """
    keep, *rest = places
    pictures = [keep]
    members = [Member(ids[keep], "keep", 1.0, grey=cache.is_grey(keep))]
    for place in rest:
        found = ((first, cache.copy(first, place)) for first in pictures)
        first, verdict = next(((first, copy) for first, copy in found if copy is not None), (keep, None))
        if verdict is None:
            pictures.append(place)
            verdict = cache.compare(keep, place)
        kind = verdict.kind if cache.looks else "unseen"
        of = "" if first == keep else ids[first]
        members.append(
            Member(ids[place], kind, round(verdict.similarity, 4), verdict.turn, of, cache.is_grey(place))
        )
    return tuple(members)


def nearby(pairs: Sequence[Pair]) -> list[int]:
    """Return the numbers of ``pairs`` in an order in which pairs of connected positions are close together
    (reverse Cuthill-McKee).

    Going through them in this order, few pictures have to be held at a time. Source: E. Cuthill and J. McKee,
    "Reducing the bandwidth of sparse symmetric matrices" (1969), and its reversal by A. George (1971).
    """
    if not pairs:
        return []
    places, rank = np.unique(np.array(pairs, np.int64), return_inverse=True)
    one, other = rank.reshape(-1, 2).T
    position = np.empty(len(places), np.int64)
    position[_breadth_first(len(places), one, other)] = np.arange(len(places))[::-1]
    first, second = np.minimum(position[one], position[other]), np.maximum(position[one], position[other])
    order: list[int] = np.lexsort((second, first)).tolist()
    return order


def _breadth_first(count: int, one: Places, other: Places) -> list[int]:
    """Return all positions, part by part: each part begins with a position of few pairs, and goes on with the
    neighbours of the first, those of few pairs first, then of the second, and so on."""
    begins, ends = np.concatenate([one, other]), np.concatenate([other, one])
    degrees = np.bincount(begins, minlength=count)
    ends = ends[np.lexsort((degrees[ends], begins))]
    stops = np.cumsum(degrees)
    neighbours, starts, stops = ends.tolist(), (stops - degrees).tolist(), stops.tolist()
    seen = bytearray(count)
    order: list[int] = []
    for root in np.argsort(degrees, kind="stable").tolist():
        if seen[root]:
            continue
        seen[root] = 1
        reached = len(order)
        order.append(root)
        while reached < len(order):  # grows as it is read
            place = order[reached]
            reached += 1
            for next_place in neighbours[starts[place] : stops[place]]:
                if not seen[next_place]:
                    seen[next_place] = 1
                    order.append(next_place)
    return order


def components(count: int, pairs: Sequence[Pair]) -> list[list[int]]:
    """Return the numbers of ``pairs`` that hang together through others, in order of their first pair."""
    if not pairs:
        return []
    one, other = np.array(pairs, np.int64).T
    labels = _connected(count, one, other)[one]
    _, firsts, parts = np.unique(labels, return_index=True, return_inverse=True)
    by_part = np.argsort(parts, kind="stable").tolist()
    ends = np.cumsum(np.bincount(parts)).tolist()
    return [
        by_part[ends[part - 1] if part else 0 : ends[part]]
        for part in np.argsort(firsts, kind="stable").tolist()
    ]


def _connected(count: int, one: Places, other: Places) -> Places:
    """Return for each position the lowest position that it hangs together with.

    Trees of positions, each below a lower one or a root: in a round every pair hangs the higher of its two
    roots below the lower, then every position is hung below its root. Rounds are few: log2(count) as a rule.
    """
    above = np.arange(count)
    while True:
        low, high = np.minimum(above[one], above[other]), np.maximum(above[one], above[other])
        apart = low < high
        if not apart.any():
            return above
        one, other = one[apart], other[apart]
        np.minimum.at(above, high[apart], low[apart])
        while True:
            root = above[above]
            if np.array_equal(root, above):
                break
            above = root
