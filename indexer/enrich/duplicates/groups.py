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

from vitrine.indexer.enrich.duplicates.pair_cache import Pair, PairCache
from vitrine.services.artifacts.duplicates import Member

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

    Going through them in this order, few pictures have to be held at a time.
    """
    if not pairs:
        return []
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    places, rank = np.unique(np.array(pairs, np.int64), return_inverse=True)
    one, other = rank.reshape(-1, 2).T
    both = np.concatenate([one, other]), np.concatenate([other, one])
    graph = coo_array((np.ones(2 * len(pairs), np.int8), both), shape=(len(places), len(places))).tocsr()
    position = np.empty(len(places), np.int64)
    position[reverse_cuthill_mckee(graph, symmetric_mode=True)] = np.arange(len(places))
    first, second = np.minimum(position[one], position[other]), np.maximum(position[one], position[other])
    order: list[int] = np.lexsort((second, first)).tolist()
    return order


def components(count: int, pairs: Sequence[Pair]) -> list[list[int]]:
    """Return the numbers of ``pairs`` that hang together through others, in order of their first pair."""
    if not pairs:
        return []
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, other = np.array(pairs, np.int64).T
    graph = coo_array((np.ones(len(pairs), bool), (one, other)), shape=(count, count))
    labels = connected_components(graph, directed=False)[1][one]
    found: dict[int, list[int]] = {}
    for number, label in enumerate(labels.tolist()):
        found.setdefault(label, []).append(number)
    return list(found.values())
