"""Filters, resizing by area and planes of colour, against slow loops over every pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.area import resized
from vitrine.indexer.enrich.duplicates.compare.filters import (
    Edge,
    apart,
    blurred,
    brightest,
    contrast,
    correlated,
    gaussian,
    gaussian_matrix,
    padded,
)
from vitrine.indexer.enrich.duplicates.compare.whole import planes

SIZES = [(1, 1), (1, 6), (5, 3), (17, 40), (130, 140)]


def levels(size: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def windows(plane: NDArray[np.float64], side: int, edge: str) -> NDArray[np.float64]:
    wide = np.pad(plane, side // 2, mode=edge)  # type: ignore[call-overload]
    return np.lib.stride_tricks.sliding_window_view(wide, (side, side))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("edge", ["symmetric", "reflect"])
def test_a_blur_is_the_weighted_mean_of_a_window(size: tuple[int, int], edge: Edge) -> None:
    plane = levels(size).astype(np.float64)
    for sigma, side in ((1.0, 7), (1.6, 11), (4.0, 25)):
        weights = np.outer(gaussian(sigma, side), gaussian(sigma, side))
        expected = (windows(plane, side, edge) * weights).sum(axis=(2, 3))
        assert np.abs(blurred(plane, sigma, side, edge) - expected).max() < 1e-3
        down, across = (gaussian_matrix(length, sigma, side, edge) for length in size)
        assert np.abs(down @ plane @ across.T - expected).max() < 1e-3


@pytest.mark.parametrize("size", SIZES)
def test_a_kernel_weighs_what_is_around_each_pixel(size: tuple[int, int]) -> None:
    kernel = np.random.default_rng(1).standard_normal((5, 5)).astype(np.float32)
    kernel[0, 0] = 0
    expected = (windows(levels(size).astype(np.float64), 5, "reflect") * kernel).sum(axis=(2, 3))
    assert np.abs(correlated(levels(size), kernel) - expected).max() < 1e-2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [3, 11, 15])
def test_extremes_are_those_of_the_square_around_each_pixel(size: tuple[int, int], side: int) -> None:
    plane, reach = levels(size), side // 2
    found, spread = brightest(plane, side), contrast(plane, side)
    for y in range(size[0]):
        for x in range(0, size[1], 7):
            near = plane[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
            assert found[y, x] == near.max() and spread[y, x] == near.max() - near.min()


def test_a_margin_is_that_of_numpy() -> None:
    for size in SIZES:
        for axis in (0, 1):
            for edge in ("symmetric", "reflect"):
                widths = [(3, 3) if each == axis else (0, 0) for each in (0, 1)]
                assert np.array_equal(padded(levels(size), 3, axis, edge), np.pad(levels(size), widths, edge))  # type: ignore[call-overload]


def test_levels_apart_do_not_wrap() -> None:
    one, other = levels((9, 9), 1), levels((9, 9), 2)
    assert np.array_equal(apart(one, other), np.abs(one.astype(int) - other))


def mean_of_area(pixels: NDArray[np.uint8], top: float, left: float, high: float, wide: float) -> float:
    """Return the mean of a part of a plane whose sides lie between pixels."""
    total = 0.0
    for y in range(math.floor(top), min(math.ceil(top + high - 1e-9), len(pixels))):
        for x in range(math.floor(left), min(math.ceil(left + wide - 1e-9), len(pixels[0]))):
            covered = min(y + 1, top + high) - max(y, top), min(x + 1, left + wide) - max(x, left)
            total += float(pixels[y, x]) * covered[0] * covered[1]
    return total / (high * wide)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(24, 30), (12, 15), (8, 10), (17, 23), (7, 30), (1, 1), (5, 29)])
def test_each_pixel_of_a_smaller_picture_is_the_mean_of_its_area(
    size: tuple[int, int], channels: int
) -> None:
    pixels = levels((24, 30, 3))[..., :channels]
    given = pixels[..., 0] if channels == 1 else pixels
    found = resized(np.ascontiguousarray(given), size[::-1]).reshape(*size, channels)
    high, wide = 24 / size[0], 30 / size[1]
    for channel in range(channels):
        for y in range(size[0]):
            for x in range(size[1]):
                expected = mean_of_area(pixels[..., channel], y * high, x * wide, high, wide)
                assert abs(float(found[y, x, channel]) - expected) < 0.501


def test_halves_are_rounded_as_asked() -> None:
    plane = np.array([[1, 2, 2, 3], [1, 2, 2, 3]], np.uint8)  # means 1.5 and 2.5
    assert resized(plane, (2, 1)).tolist() == [[2, 3]]
    assert resized(plane, (2, 1), to_even=True).tolist() == [[2, 2]]


def test_a_larger_picture_lies_between_its_pixels() -> None:
    pixels = levels((9, 12), 3)
    found = resized(pixels, (30, 20))
    assert found.shape == (20, 30) and found.min() >= pixels.min() and found.max() <= pixels.max()
    assert abs(float(found.mean()) - float(pixels.mean())) < 6
    assert np.array_equal(resized(np.full((4, 5), 77, np.uint8), (9, 11)), np.full((11, 9), 77, np.uint8))
    assert resized(pixels, (12, 9)) is pixels


def test_planes_are_brightness_and_differences_of_colour() -> None:
    rgb = levels((150, 140, 3), 4)
    red, green, blue = (rgb[..., place].astype(np.float64) for place in range(3))
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    found = planes(rgb)
    assert found.shape == (3, 150, 140) and np.abs(found[0] - grey).max() <= 0.51
    expected = [128 + 0.713 * (red - grey), 128 + 0.564 * (blue - grey)]
    assert np.abs(found[1:] - np.clip(expected, 0, 255)).max() <= 1.01
