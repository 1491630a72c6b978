"""ORB features (Rublee et al., 2011): corners of a picture, and what surrounds them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.structure import Grey

_EDGE, _PATCH = 15, 31
"""Pixels from the edge without features, and what is looked at round each: a smaller picture has none."""


def orb_features(
    grey: Grey, count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Return the ``count`` strongest features: x and y in pixels (k, 2), angles in degrees, clockwise (k,),
    descriptors (k, 32)."""
    detector = cv2.ORB.create(
        count, scaleFactor=1.2, nlevels=8, edgeThreshold=_EDGE, patchSize=_PATCH, fastThreshold=10
    )
    # OpenCV raises on pictures of which nothing is left in its smallest sizes
    found, descriptors = detector.detectAndCompute(grey, None) if min(grey.shape) >= _PATCH else ((), None)
    if descriptors is None:
        return np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 32), np.uint8)
    points = np.array([point.pt for point in found], np.float32)
    return points, np.array([point.angle for point in found], np.float32), descriptors


def matched(
    one: NDArray[np.uint8], other: NDArray[np.uint8], most: int, least: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of descriptors that are each other's nearest, at most ``most`` bits apart.

    None are returned, in half of the time, where fewer than ``least`` of the first are that near to any of
    the second.
    """
    apart, nearest = nearest_rows(one, other)
    rows = np.flatnonzero(apart <= most)
    if len(rows) < max(least, 1):
        return rows[:0], rows[:0]
    mutual = nearest_rows(other[nearest[rows]], one)[1] == rows
    return rows[mutual], nearest[rows][mutual]


def nearest_rows(
    one: NDArray[np.uint8], other: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the bits to the nearest row of ``other``, and its number."""
    if not len(one):
        return np.empty(0, np.int32), np.empty(0, np.int64)
    apart, nearest = cv2.batchDistance(one, other, cv2.CV_32S, normType=cv2.NORM_HAMMING, K=1)
    return apart[:, 0], nearest[:, 0].astype(np.int64)
