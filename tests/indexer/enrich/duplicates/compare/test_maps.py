"""Maps between pictures, found by points and by correlation."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.indexer.enrich.duplicates.scenes import scene
from vitrine.indexer.enrich.duplicates.compare.corners import EDGE, corners
from vitrine.indexer.enrich.duplicates.compare.features import matched, nearest_rows, orb_features
from vitrine.indexer.enrich.duplicates.compare.maps import affine_inliers, aligned, homography, warped
from vitrine.indexer.enrich.duplicates.compare.pattern import TESTS
from vitrine.indexer.enrich.duplicates.compare.pattern import test_places as places_of_tests

TURNED = np.array([[0.9, -0.2, 14.0], [0.25, 1.1, -6.0], [0.0004, -0.0002, 1.0]])


def moved(points: np.ndarray, by: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    led = np.column_stack([points, np.ones(len(points))]) @ by.T
    return np.asarray(led[:, :2] / led[:, 2:])


@pytest.mark.parametrize("wrong", [0, 20])
def test_a_homography_is_found_among_wrong_matches(wrong: int) -> None:
    random = np.random.default_rng(wrong)
    points = random.uniform(0, 250, (60, 2))
    others = moved(points, TURNED) + random.normal(0, 0.3, points.shape)
    others[:wrong] = random.uniform(0, 250, (wrong, 2))
    found = homography(points, others, 3.0, 50)
    assert found is not None
    matrix, kept = found
    assert kept[wrong:].all() and kept[:wrong].sum() <= 2
    assert np.abs(moved(points, matrix) - moved(points, TURNED)).max() < 2
    again = homography(points, others, 3.0, 50)
    assert again is not None and np.array_equal(again[0], matrix), "the same points, the same map"


def test_points_on_a_line_give_no_homography() -> None:
    points = np.column_stack([np.arange(20.0), np.arange(20.0)])
    assert homography(points, points, 3.0, 50) is None
    assert affine_inliers(points, points, 0.01, 60) == 0
    assert homography(np.ones((12, 2)), np.ones((12, 2)), 3.0, 50) is None


def test_points_that_fit_an_affine_map_are_counted() -> None:
    random = np.random.default_rng(1)
    points = random.uniform(0, 1, (40, 2))
    others = points @ np.array([[0.8, 0.1], [-0.1, 0.9]]) + [0.1, 0.05]
    assert affine_inliers(points, others, 0.012, 60) == 40
    others[:15] = random.uniform(0, 1, (15, 2))
    assert 25 <= affine_inliers(points, others, 0.012, 60) <= 29


def test_a_picture_is_warped_by_what_each_pixel_leads_to() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (40, 40), dtype=np.uint8)
    for back in (np.array([[1, 0, 3], [0, 1, -2], [0, 0, 1.0]]), TURNED):
        found = np.asarray(warped(Image.fromarray(pixels), back, Image.Resampling.NEAREST))
        for y in range(40):
            for x in range(0, 40, 3):
                across, down = moved(np.array([[x, y]]), back)[0]
                if min(abs(across % 1 - 0.5), abs(down % 1 - 0.5)) < 0.02:
                    continue  # between two pixels
                right, low = round(across), round(down)
                inside = 0 <= right < 40 and 0 <= low < 40
                assert found[y, x] == (pixels[low, right] if inside else 0)


def test_two_pictures_are_aligned_by_correlation() -> None:
    grey = scene(5, (128, 128)).convert("L")
    shift = np.array([[1.04, 0.02, -4.0], [-0.03, 0.98, 3.0], [0, 0, 1]])
    one, other = np.asarray(grey), np.asarray(warped(grey, np.linalg.inv(shift), Image.Resampling.BILINEAR))
    brighter = np.clip(other * 0.7 + 40, 0, 255).astype(np.uint8)
    for seen in (other, brighter):
        found = aligned(one, seen, np.eye(3), 60)
        assert found is not None
        corner = np.array([[20.0, 20], [100, 20], [60, 100]])
        assert np.abs(moved(corner, found) - moved(corner, shift)).max() < 0.5
    negative = aligned(one, 255 - one, np.eye(3), 30)
    assert negative is None, "correlation can only fall"


def test_features_are_those_of_a_turned_picture() -> None:
    image = scene(7, (240, 200)).convert("L")
    points, angles, descriptors = orb_features(np.asarray(image), 200)
    turned = np.ascontiguousarray(np.rot90(np.asarray(image), 1))
    others, their_angles, theirs = orb_features(turned, 200)
    assert 100 < len(points) <= 202 and descriptors.shape == (len(points), TESTS // 8)
    mine, yours = matched(descriptors, theirs, 60)
    assert len(mine) > 60
    expected = np.column_stack([points[mine, 1], 239 - points[mine, 0]])
    assert np.median(np.abs(others[yours] - expected).max(axis=1)) < 1.0
    turn = (angles[mine] - their_angles[yours] + 180) % 360 - 180
    assert abs(float(np.median(turn)) - 90) < 3


def test_corners_are_where_a_square_has_them() -> None:
    grey = np.full((120, 120), 30, np.uint8)
    grey[40:80, 40:80] = 200
    found = corners(grey, 50)
    assert len(found.x), "a square has corners"
    at = np.array([(40, 40), (79, 40), (40, 79), (79, 79)])
    away = np.abs(found.points[:, None] - at).max(axis=2).min(axis=1)
    assert away.min() <= 1 and away.max() <= 12, (
        "within four pixels of the smallest size, at which it is 42 wide"
    )
    assert min(found.points.min(), 119 - found.points.max()) >= EDGE - 1
    assert not len(corners(np.full((120, 120), 30, np.uint8), 50).x)
    assert not len(orb_features(np.zeros((30, 400), np.uint8), 50)[0]), "too small for a patch"


def test_matches_are_each_others_nearest() -> None:
    random = np.random.default_rng(3)
    one, other = (random.integers(0, 256, (count, 32), dtype=np.uint8) for count in (70, 50))
    other[:20] = one[:20] ^ (random.random((20, 32)) < 0.2)
    bits = np.array([[np.unpackbits(a ^ b).sum() for b in other] for a in one])
    apart, nearest = nearest_rows(one, other)
    assert np.array_equal(apart, bits.min(axis=1)) and np.array_equal(nearest, bits.argmin(axis=1))
    rows, columns = matched(one, other, 40)
    assert rows.tolist() == columns.tolist() == list(range(20))
    assert not len(matched(one, other, 40, least=21)[0]) and not len(matched(one[:0], other, 40)[0])


def test_the_tests_of_a_descriptor_lie_within_its_patch() -> None:
    places = places_of_tests()
    assert places.shape == (2 * TESTS, 2)
    assert np.hypot(*places.T).max() + 2 * np.sqrt(2) < EDGE + 2
    assert (places[:TESTS] != places[TESTS:]).any(axis=1).all(), "none compares a place with itself"
