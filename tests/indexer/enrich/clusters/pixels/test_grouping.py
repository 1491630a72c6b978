"""Groups of numbers on a line, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from vitrine.indexer.enrich.clusters.pixels.batches import hash_pairs, minhash_pairs
from vitrine.indexer.enrich.clusters.pixels.grouping import (
    Leaders,
    blocks,
    lead,
    members_of,
    merge,
    merge_pairs,
    stars,
)


class Line:
    """Points on a line that are the same within ``reach``; remembers who was compared."""

    def __init__(self, seed: int, count: int = 60, reach: float = 1.0) -> None:
        self.at = np.random.default_rng(seed).uniform(0, 20, count)
        self.reach = reach
        self.compared: list[tuple[int, int]] = []

    def same(self, one: int, other: int) -> bool:
        self.compared.append((min(one, other), max(one, other)))
        return self.near(one, other)

    def near(self, one: int, other: int) -> bool:
        return abs(float(self.at[one] - self.at[other])) <= self.reach

    def holds(self, leaders: Leaders) -> bool:
        """Everyone is near the representative, which is its own."""
        return bool((leaders[leaders] == leaders).all()) and all(
            self.near(row, int(to)) for row, to in enumerate(leaders)
        )


def applied(leaders: Leaders, changed: dict[int, int]) -> Leaders:
    made = leaders.copy()
    made[list(changed)] = list(changed.values())
    return made


@pytest.mark.parametrize("seed", range(5))
def test_leaders_and_merging_keep_everyone_near_the_representative(seed: int) -> None:
    line = Line(seed)
    halves = lead(range(30), line.same) | lead(range(30, 60), line.same)
    assert len(line.compared) == len(set(line.compared)) <= 2 * 30 * 29 / 2
    leaders = np.array([halves[row] for row in range(60)], np.int32)
    for row in range(30):  # the first representative, in order, that is near
        earlier = [leader for leader in sorted(set(leaders[:30].tolist())) if leader < row]
        assert leaders[row] == next((leader for leader in earlier if line.near(row, leader)), row)
    before = sorted(set(leaders.tolist()))
    changed = merge(before, members_of(leaders), line.same)
    merged = applied(leaders, changed)
    assert len(set(merged.tolist())) < len(before) and line.holds(merged)
    left = sorted(set(merged.tolist()))
    both = merge_pairs(
        [(one, other) for one in left for other in left if one < other], members_of(merged), line.same
    )
    assert line.holds(applied(merged, both))


@pytest.mark.parametrize("seed", range(5))
def test_merging_pairs_compares_no_other_representatives(seed: int) -> None:
    line = Line(seed)
    pairs = [
        (one, other)
        for one in range(60)
        for other in range(one + 1, 60)
        if (one + other) % 3 == 0 and line.near(one, other)
    ]
    changed = merge_pairs(pairs, {}, line.same)
    merged = applied(np.arange(60, dtype=np.int32), changed)
    assert changed and line.holds(merged)
    # beside those who stand for a proposed pair, only images of groups that meet are compared
    assert len(line.compared) < 3 * len(pairs)
    alone = np.flatnonzero(merged == np.arange(60)).tolist()
    assert not any(
        merged[one] == one and merged[other] == other
        for one, other in pairs
        if one in alone and other in alone
    )
    assert merge_pairs([], {3: [4]}, line.same) == {}


def test_what_does_not_fit_stays_behind() -> None:
    line = Line(0)
    line.at[:8] = [0.0, 0.1, 0.2, 0.3, 0.9, 0.8, 1.8, 1.85]
    larger = {0: [1, 2, 3]}
    assert merge([0, 4], {**larger, 4: [5, 6]}, line.same) == {4: 0, 5: 0, 6: 6}
    assert merge([0, 4], {**larger, 4: [5, 6, 7]}, line.same) == {}  # most of them do not
    assert merge_pairs([(0, 4)], {**larger, 4: [5, 6]}, line.same) == {4: 0, 5: 0, 6: 6}


def test_blocks_hold_everyone_once_and_neighbours_together() -> None:
    rng = np.random.default_rng(2)
    points = rng.standard_normal((400, 16)).astype(np.float32)
    points[200:] = points[:200] + 0.01 * rng.standard_normal((200, 16)).astype(np.float32)
    met: set[int] = set()
    for seed in range(4):
        cut = blocks(points, 20, seed)
        assert sorted(np.concatenate(cut).tolist()) == list(range(400)) and max(map(len, cut)) <= 20
        assert [rows.tolist() for rows in cut] == [rows.tolist() for rows in blocks(points, 20, seed)]
        met |= {row for rows in cut for row in rows.tolist() if row + 200 in rows}
    assert len(met) > 190
    assert [rows.tolist() for rows in blocks(np.zeros((5, 4), np.float32), 2, 0)]  # all alike: it ends


@pytest.mark.parametrize("seed", range(4))
def test_stars_have_only_rays_that_are_pairs(seed: int) -> None:
    line = Line(seed)
    pairs = np.array([(a, b) for a in range(60) for b in range(a + 1, 60) if line.near(a, b)])
    leaders = stars(60, pairs[:, 0], pairs[:, 1])
    assert (leaders[leaders] == leaders).all()
    assert all(line.near(row, int(leader)) for row, leader in enumerate(leaders))
    for row, leader in enumerate(leaders):  # who is alone is near no representative
        if leader == row and (leaders == row).sum() == 1:
            assert not any(line.near(row, other) for other in set(leaders.tolist()) - {row})


def test_the_index_of_hashes_proposes_what_all_pairs_would() -> None:
    rng = np.random.default_rng(5)
    hashes = [int(value) for value in rng.integers(0, 2**63, 40)]
    hashes += [
        hash ^ (1 << int(bit)) ^ (1 << 3)
        for hash, bit in zip(hashes[:20], rng.integers(4, 60, 20), strict=True)
    ]
    hashes += [hashes[0]] * 3
    values = dict(enumerate(hashes, 100))
    found = {tuple(sorted(pair)) for pair in hash_pairs(values, 4)}
    every = {(a, b) for a in values for b in values if a < b and (values[a] ^ values[b]).bit_count() <= 4}
    assert found <= every and {a for pair in found for a in pair} == {a for pair in every for a in pair}
    assert {
        pair for pair in every if not {*pair} & {160, 161, 162}
    } <= found  # of equal ones, each with the first
    assert hash_pairs(values, 4)[:3] == [(100, 160), (100, 161), (100, 162)]


def test_the_index_of_minhash_misses_few() -> None:
    pytest.importorskip("datasketch")
    rng = np.random.default_rng(6)
    rows = rng.integers(0, 2**32, (80, 128), dtype=np.uint64)
    rows[40:] = np.where(rng.random((40, 128)) < 0.7, rows[:40], rows[40:])
    values = dict(enumerate([*rows, rows[0]]))
    found = minhash_pairs(values, 0.5)
    similar = {(a, b): float((values[a] == values[b]).mean()) for a in values for b in values if a < b}
    assert all(similar[min(pair), max(pair)] >= 0.5 for pair in found) and found[0] == (0, 80)
    assert len({*found} & {(row, row + 40) for row in range(40)}) >= 39
