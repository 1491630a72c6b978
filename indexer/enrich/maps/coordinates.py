"""Write where each image is on a map to the images' payload, and erase it again, under one key."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.job.versions import Kind
from vitrine.services.artifacts.maps import axis_field, on_map
from vitrine.services.domain import Payload
from vitrine.services.filters.conditions import Filter, HasVector

Places = NDArray[np.float32]
"""(n, 2): x and y of each image, in 0..1."""


def points(ids: Sequence[str], places: Places) -> dict[str, Payload]:
    """Return what is stored of each image."""
    rounded = places.astype(float).round(6).tolist()
    return {id: {"x": x, "y": y} for id, (x, y) in zip(ids, rounded, strict=True)}


def lacking(key: str, using: str) -> Filter:
    """Return a filter for the images that have the vector of a map but no place on it."""
    return Filter(must=(HasVector(using),), must_not=(on_map(key),))


def placed(key: str) -> Filter:
    """Return a filter for the images that have a place on a map."""
    return Filter(must=(on_map(key),))


MAPS = Kind("maps", lambda runtime: runtime.maps, partial(axis_field, axis="x"), placed)
