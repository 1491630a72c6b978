"""Candidate pairs and groups against plain loops."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from PIL import ImageOps

from indexer.duplicates.candidates import Images, Reach, candidates, hash_pairs, near_in_memory, turned_hashes
from indexer.duplicates.groups import complete_link, components
from services.images import perceptual_hash
from services.perceptual_hashes import close_pairs, parse_hashes, telling
from tests.indexer.duplicates.scenes import scene


def random_hashes(count: int, seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**63, count, dtype=np.uint64)
    near = hashes[: count // 3] ^ (np.uint64(1) << random.integers(0, 64, count // 3, dtype=np.uint64))
    return np.unique(np.concatenate([hashes, near, near ^ np.uint64(0b10110)]))


@pytest.mark.parametrize("band", [0, 3, 8, 15])
def test_banded_pairs_are_all_pairs_within_the_band(band: int) -> None:
    hashes = random_hashes(120)
    slow = {(a, b) for a, b in combinations(range(len(hashes)), 2) if int(hashes[a] ^ hashes[b]).bit_count() <= band}
    assert {(one, other) for _, one, other in close_pairs(hashes, band).tolist()} == slow


def test_plain_pictures_are_no_candidates_by_hash() -> None:
    hashes = parse_hashes(["00000000000000ff", "00000000000000fe", "f0f0f0f0f0f0f0f0", "f0f0f0f0f0f0f0f1"])
    assert telling(hashes).tolist() == [False, False, True, True]
    assert hash_pairs(hashes, Reach()).tolist() == [[1, 2, 3]]


def test_neighbours_are_those_of_all_products() -> None:
    rows = np.random.default_rng(1).normal(size=(1_500, 6))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    reach = Reach(similarity=0.97, neighbours=1_000)
    slow = {(a, b) for a, b in zip(*np.nonzero(np.triu(rows @ rows.T >= 0.97, 1)), strict=True)}
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
    groups = complete_link(pairs, lambda pair: True, lambda pair: pair[1] - pair[0] <= 2, lambda pair: pair[0] - pair[1])
    assert all(group[-1] - group[0] <= 2 for group in groups) and len(groups) > 2
    apart = complete_link([(0, 1), (1, 2)], lambda pair: True, lambda pair: True, lambda pair: 0.0, {(0, 2)})
    assert apart == [[0, 1]]


def test_components_number_the_pairs_that_hang_together() -> None:
    assert components(6, [(0, 1), (4, 5), (1, 2)]) == [[0, 2], [1]]
