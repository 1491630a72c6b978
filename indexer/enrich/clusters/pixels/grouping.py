"""Group images around representatives: the leader algorithm, merging, and where to look for what to merge.

One rule holds throughout: every image of a group is at least ``threshold`` similar to the group's
representative. Two images of a group may be farther apart, but both are near the same picture, so groups do
not chain. (Complete linkage would require it of all pairs, single linkage of a chain of them.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Leaders = NDArray[np.int32]
"""(n,): the row of each image's representative; a representative's is its own."""
Same = Callable[[int, int], bool]
"""Whether two rows are at least ``threshold`` similar: one comparison."""
Members = Mapping[int, Sequence[int]]
"""The rows of a group without its representative, by that; one without others may be missing."""


def lead(rows: Iterable[int], same: Same) -> dict[int, int]:
    """Group rows by the leader algorithm (Hartigan, 1975), and return the representative of each row.

    Each row joins the first representative that it is the ``same`` as, in the order in which these came up,
    or becomes one. For n rows at most n (n - 1) / 2 comparisons.

    >>> lead([1, 2, 3, 9, 4], lambda one, other: abs(one - other) <= 1)
    {1: 1, 2: 1, 3: 3, 9: 9, 4: 3}
    """
    leaders: list[int] = []
    found: dict[int, int] = {}
    for row in rows:
        found[row] = next((leader for leader in leaders if same(row, leader)), row)
        if found[row] == row:
            leaders.append(row)
    return found


def merge(representatives: Sequence[int], members: Members, same: Same) -> dict[int, int]:
    """Merge groups, and return the rows that get another representative.

    The largest group comes first and keeps its representative. Another joins it if its representative and
    most of its images are the ``same`` as the one that stays; its other images are grouped among themselves.
    """
    found: dict[int, int] = {}
    leaders: list[int] = []
    for row in sorted(representatives, key=lambda row: (-len(members.get(row, ())), row)):
        joined: dict[int, int] = {}
        for leader in leaders:
            if joined := _joined(row, members.get(row, ()), leader, same):
                break
        found |= joined
        if not joined:
            leaders.append(row)
    return found


def merge_pairs(pairs: Iterable[tuple[int, int]], members: Members, same: Same) -> dict[int, int]:
    """Merge groups as ``merge`` does, comparing only the ``pairs`` of representatives, nearest first.

    A representative that has joined another by then is replaced by that one.
    """
    having = {row: list(rows) for row, rows in members.items()}
    found: dict[int, int] = {}
    tried: set[tuple[int, int]] = set()
    for pair in pairs:
        one, other = (found.get(row, row) for row in pair)
        row, leader = sorted((one, other), key=lambda row: (len(having.get(row, ())), -row))
        if one == other or (row, leader) in tried:
            continue
        tried.add((row, leader))
        joined = _joined(row, having.get(row, ()), leader, same)
        if joined:
            having.pop(row, None)
        found |= joined
        for moved, to in joined.items():
            if moved != to:
                having.setdefault(to, []).append(moved)
    return found


def _joined(row: int, members: Sequence[int], leader: int, same: Same) -> dict[int, int]:
    """Return the new representatives of a group that joins another; empty if it does not."""
    if not same(row, leader):
        return {}
    fits = [member for member in members if same(member, leader)]
    if 2 * len(fits) < len(members):
        return {}
    inside = set(fits)
    left = [member for member in members if member not in inside]
    return dict.fromkeys([row, *fits], leader) | lead(left, same)


def members_of(leaders: Leaders) -> dict[int, list[int]]:
    """Return the images of each group that has more than its representative."""
    others = np.flatnonzero(leaders != np.arange(len(leaders)))
    found: dict[int, list[int]] = {}
    for row, leader in zip(others.tolist(), leaders[others].tolist(), strict=True):
        found.setdefault(leader, []).append(row)
    return found


def blocks(signatures: NDArray[np.float32], size: int, seed: int) -> list[Rows]:
    """Cut rows (n, dim) into blocks of at most ``size`` that lie near each other.

    A random projection tree (Dasgupta and Freund, 2008) splits along a random direction at a random share in
    1/4..3/4. What is near is seldom separated, and another seed cuts elsewhere. Cost: n log n.
    """
    rng = np.random.default_rng(seed)
    done, waiting = [], [np.arange(len(signatures))]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= size:
            done.append(np.sort(rows))
            continue
        along = signatures[rows] @ rng.standard_normal(signatures.shape[1], dtype=np.float32)
        order = rows[np.argsort(along, kind="stable")]
        cut = int(len(rows) * rng.uniform(0.25, 0.75))
        waiting += [order[cut:], order[:cut]]
    return done


def stars(count: int, one: Rows, other: Rows) -> Leaders:
    """Group ``count`` images by the pairs that are alike, as stars (Aslam, Pelekhov and Rus, 2004).

    The image with the most pairs takes all of its neighbours that are in no group yet, then the next one
    does.
    """
    near: dict[int, list[int]] = {}
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    leaders = np.arange(count, dtype=np.int32)
    taken: set[int] = set()
    for centre in sorted(near, key=lambda row: (-len(near[row]), row)):
        if centre not in taken:
            rays = [row for row in near[centre] if row not in taken]
            leaders[rays] = centre
            taken.update(rays, [centre])
    return leaders
