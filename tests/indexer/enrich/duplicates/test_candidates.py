"""Candidate pairs and groups against plain loops."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageOps

from tests.indexer.enrich.duplicates.scenes import scene
from vitrine.indexer.enrich.duplicates import candidates as proposals
from vitrine.indexer.enrich.duplicates import groups as groups_module
from vitrine.indexer.enrich.duplicates.candidates import (
    Images,
    Reach,
    candidates,
    hash_pairs,
    near_in_memory,
    turned_hashes,
)
from vitrine.indexer.enrich.duplicates.groups import complete_link, components, nearby
from vitrine.services.images.hashes import close_pairs, parse_hashes, telling
from vitrine.services.images.perceptual_hash import perceptual_hash
from vitrine.services.vector_store.similarity import RESOLUTION


def random_hashes(count: int, seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**63, count, dtype=np.uint64)
    near = hashes[: count // 3] ^ (np.uint64(1) << random.integers(0, 64, count // 3, dtype=np.uint64))
    return np.unique(np.concatenate([hashes, near, near ^ np.uint64(0b10110)]))


@pytest.mark.parametrize("band", [0, 3, 8, 15])
def test_banded_pairs_are_all_pairs_within_the_band(band: int) -> None:
    hashes = random_hashes(120)
    slow = {
        (a, b)
        for a, b in combinations(range(len(hashes)), 2)
        if int(hashes[a] ^ hashes[b]).bit_count() <= band
    }
    assert {(one, other) for _, one, other in close_pairs(hashes, band).tolist()} == slow


def test_plain_pictures_are_no_candidates_by_hash() -> None:
    hashes = parse_hashes(["00000000000000ff", "00000000000000fe", "f0f0f0f0f0f0f0f0", "f0f0f0f0f0f0f0f1"])
    assert telling(hashes).tolist() == [False, False, True, True]
    assert hash_pairs(hashes, Reach()).tolist() == [[1, 2, 3]]


def test_neighbours_are_those_of_all_products() -> None:
    rows = np.random.default_rng(1).normal(size=(1_500, 6))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    reach = Reach(similarity=0.97, neighbours=1_000)
    slow = {(a, b) for a, b in zip(*np.nonzero(np.triu(rows @ rows.T >= 0.97 - RESOLUTION, 1)), strict=True)}
    assert {tuple(pair) for pair in near_in_memory(rows, reach).tolist()} == slow
    few = near_in_memory(rows, Reach(similarity=0.97, neighbours=2))
    assert np.bincount(few[:, 0]).max() == 2


def test_candidates_are_there_once_with_their_fewest_bits() -> None:
    hashes = parse_hashes(["f0f0f0f0f0f0f0f0", "f0f0f0f0f0f0f0f1", "0ff00ff00ff00ff0"])
    images = Images(("a", "b", "c"), hashes, np.eye(3, dtype=np.float32))
    found = candidates(images, np.array([[0, 1], [0, 2]]), Reach())
    rows = sorted(zip(found.one.tolist(), found.other.tolist(), found.bits.tolist(), strict=True))
    assert rows == [(0, 1, 1), (0, 2, 64)]


def test_the_hash_of_a_mirrored_picture_is_worked_out() -> None:
    for seed in range(5):
        image = scene(seed)
        flipped = int(perceptual_hash(ImageOps.mirror(image)), 16)
        found = [int(each[0]) for each in turned_hashes(parse_hashes([perceptual_hash(image)]))]
        assert (found[0] ^ flipped).bit_count() <= 6


def test_no_chain_of_look_alikes_becomes_one_group() -> None:
    pairs = [(n, n + 1) for n in range(9)]
    groups = complete_link(
        pairs, lambda pair: True, lambda pair: pair[1] - pair[0] <= 2, lambda pair: pair[0] - pair[1]
    )
    assert all(group[-1] - group[0] <= 2 for group in groups) and len(groups) > 2
    apart = complete_link([(0, 1), (1, 2)], lambda pair: True, lambda pair: True, lambda pair: 0.0, {(0, 2)})
    assert apart == [[0, 1]]


def test_all_of_a_group_may_share_it_in_random_cases() -> None:
    """By plain loops: every pair in a group is the same or may share, none is apart, pairs that are the same
    hold it together; and wherever a pair that is the same ended in two groups, something across forbids them
    to be one."""
    for seed in range(300):
        random = np.random.default_rng(seed)
        count = int(random.integers(3, 14))
        every = list(combinations(range(count), 2))
        same = {pair for pair in every if random.random() < 0.5}
        may = same | {pair for pair in every if random.random() < 0.5}
        apart = {pair for pair in every if random.random() < 0.05}
        near = {pair: float(random.random()) for pair in every}
        pairs = sorted(
            (pair for pair in every if pair not in apart and random.random() < 0.8),
            key=lambda pair: -near[pair],
        )
        groups = complete_link(pairs, same.__contains__, may.__contains__, near.__getitem__, apart)
        of = {place: number for number, group in enumerate(groups) for place in group}
        assert len(of) == sum(map(len, groups)) and all(group == sorted(group) for group in groups)

        def forbidden(one: list[int], other: list[int], may: set, apart: set) -> list[tuple[int, int]]:  # type: ignore[type-arg]
            across = [(min(a, b), max(a, b)) for a in one for b in other if a != b]
            return [pair for pair in across if pair not in may or pair in apart]

        for group in groups:
            assert not forbidden(group, group, may, apart)
            reached = {group[0]}
            for _ in group:
                reached |= {b for a, b in pairs if (a, b) in same and a in reached and b in group}
                reached |= {a for a, b in pairs if (a, b) in same and b in reached and a in group}
            assert reached == set(group)
        for one, other in pairs:
            if (one, other) in same and of.get(one, -1) != of.get(other, -2):
                both = [groups[of[place]] if place in of else [place] for place in (one, other)]
                assert forbidden(both[0], both[1], may, apart)


def test_large_groups_are_looked_at_where_they_are_least_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_module, "CROSS_CHECKS", 5)
    halves = [*combinations(range(10), 2), *combinations(range(10, 20), 2)]
    looked: list[tuple[int, int]] = []

    def may(pair: tuple[int, int]) -> bool:
        looked.append(pair)
        return True

    (group,) = complete_link([*halves, (9, 10)], lambda pair: True, may, lambda pair: pair[0] - pair[1])
    assert group == list(range(20))
    across = [pair for pair in looked if pair[0] < 10 <= pair[1]]
    assert len(across) == 5 and min(b - a for a, b in across) >= 17


def test_components_number_the_pairs_that_hang_together() -> None:
    assert components(6, [(0, 1), (4, 5), (1, 2)]) == [[0, 2], [1]]
    assert components(6, []) == []


@pytest.mark.parametrize("seed", range(30))
def test_components_are_those_of_a_search_by_hand(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 80))
    drawn = random.integers(0, count, (int(random.integers(1, 2 * count)), 2))
    pairs = [(int(a), int(b)) for a, b in np.sort(drawn) if a != b]
    left = set(range(len(pairs)))
    expected = []
    while left:
        part, places = {min(left)}, set(pairs[min(left)])
        while more := {number for number in left - part if places & set(pairs[number])}:
            part |= more
            places = places.union(*(pairs[number] for number in more))
        expected.append(sorted(part))
        left -= part
    assert components(count, pairs) == expected


@pytest.mark.parametrize("seed", range(10))
def test_no_more_places_are_open_at_a_time_than_with_scipy(seed: int) -> None:
    """A place is open from its first pair to its last."""
    sparse = pytest.importorskip("scipy.sparse")
    csgraph = pytest.importorskip("scipy.sparse.csgraph")
    random = np.random.default_rng(seed)
    count = 500
    near = np.arange(count).repeat(2)
    drawn = np.stack([near, (near + random.integers(1, 12, len(near))) % count], 1)
    pairs = np.unique(np.sort(random.permutation(count)[drawn]), axis=0)
    graph = sparse.coo_array((np.ones(len(pairs), np.int8), pairs.T), shape=(count, count)).tocsr()
    position = np.empty(count, np.int64)
    position[csgraph.reverse_cuthill_mckee(graph + graph.T, symmetric_mode=True)] = np.arange(count)
    placed = np.sort(position[pairs])
    theirs = [pairs[number] for number in np.lexsort((placed[:, 1], placed[:, 0]))]
    ours = [pairs[number] for number in nearby([(int(a), int(b)) for a, b in pairs])]
    assert most_open(ours) <= 1.2 * most_open(theirs)


def most_open(pairs: Sequence[NDArray[np.int64]]) -> int:
    last = {int(place): step for step, pair in enumerate(pairs) for place in pair}
    opened: set[int] = set()
    most = 0
    for step, pair in enumerate(pairs):
        opened |= {int(place) for place in pair}
        most = max(most, len(opened))
        opened -= {place for place in opened if last[place] == step}
    return most


def test_pairs_of_a_place_come_near_each_other() -> None:
    random = np.random.default_rng(3)
    names = random.permutation(400)
    pairs = [(int(a), int(b)) for a, b in pairwise(names)] + [(500, 900), (600, 700)]  # a long chain
    random.shuffle(pairs)
    order = nearby(pairs)
    assert sorted(order) == list(range(len(pairs))) and nearby([]) == []
    last: dict[int, int] = {}
    gaps = []
    for step, number in enumerate(order):
        for place in pairs[number]:
            gaps.append(step - last.get(place, step))
            last[place] = step
    assert max(gaps) <= 3


@pytest.mark.parametrize("neighbours", [3, 300])
@pytest.mark.parametrize("amx", [False, True])
def test_every_processor_finds_the_same(monkeypatch: pytest.MonkeyPatch, neighbours: int, amx: bool) -> None:
    random = np.random.default_rng(5)
    rows = random.standard_normal((300, 32), dtype=np.float32)
    rows[:200] = rows[100] + 0.5 * random.standard_normal((200, 32), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    reach = Reach(similarity=0.7, neighbours=neighbours)
    exact = near_in_memory(rows, reach)
    monkeypatch.setattr(proposals, "_WORTH", 0)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": amx})
    assert proposals.fast_products(rows)[1] == (proposals.SLACK if amx else 0)
    found = near_in_memory(rows, reach)
    assert np.array_equal(found, exact) and len(found) > 400


def test_hashes_far_apart_are_not_looked_at_unless_embeddings_are_very_near() -> None:
    hashes = parse_hashes(["ffffffff00000000", "00000000ffffffff", "ffffffff00000000"])
    rows = np.array([[1, 0], [0.85, np.sqrt(1 - 0.85**2)], [1, 0]], np.float32)
    images = Images(("a", "b", "c"), hashes, rows)
    assert len(candidates(images, np.array([[0, 1]]), Reach(band=0))) == 1, "but the twins 0 and 2"
    assert len(candidates(images, np.array([[0, 1]]), Reach(band=0, flips=True))) >= 2
    near = Images(
        ("a", "b", "c"), hashes, np.array([[1, 0], [0.95, np.sqrt(1 - 0.95**2)], [1, 0]], np.float32)
    )
    assert len(candidates(near, np.array([[0, 1]]), Reach(band=0))) == 2
