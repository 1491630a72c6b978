"""Pairs to groups, complete-link: two groups become one only if the members of one are near those of the other.

So a chain of look-alikes, each near the next, does not end in one group of pictures that have nothing in common.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import product

CROSS_CHECKS = 3
"""Pairs looked at when two groups meet: those that are least alike by what is stored."""

Pair = tuple[int, int]
"""Positions, the lesser first."""


def complete_link(
    pairs: Iterable[Pair],
    same: Callable[[Pair], bool],
    may_share: Callable[[Pair], bool],
    closeness: Callable[[Pair], float],
    apart: Collection[Pair] = (),
) -> list[list[int]]:
    """Groups of two and more positions, each ascending, in order of their first.

    ``pairs``, nearest first, join where they are ``same``; a pair that is in one group already is not looked at. Two groups meet
    if also of the pairs across the least close ones ``may_share`` a group, and none is ``apart`` for good.
    """
    group: dict[int, list[int]] = {}
    for one, other in pairs:
        mine, theirs = group.get(one, [one]), group.get(other, [other])
        if mine is theirs or not same((one, other)):
            continue
        across = [(min(pair), max(pair)) for pair in product(mine, theirs) if {*pair} != {one, other}]
        if apart and any(pair in apart for pair in across):
            continue
        if all(may_share(pair) for pair in heapq.nsmallest(CROSS_CHECKS, across, key=closeness)):
            both = [*mine, *theirs]
            group.update(dict.fromkeys(both, both))
    distinct = {id(members): sorted(members) for members in group.values()}
    return sorted(distinct.values())


def components(count: int, pairs: Sequence[Pair]) -> list[list[int]]:
    """Numbers of ``pairs`` that hang together through any number of others, in order of their first pair."""
    leader = list(range(count))

    def top(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    for one, other in pairs:
        leader[top(other)] = top(one)
    found: dict[int, list[int]] = {}
    for number, (one, _) in enumerate(pairs):
        found.setdefault(top(one), []).append(number)
    return list(found.values())
