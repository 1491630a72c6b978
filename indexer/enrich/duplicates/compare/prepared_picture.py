"""A small version of a picture, with what comparisons need, computed once when first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.indexer.enrich.duplicates.compare.area import resized
from vitrine.indexer.enrich.duplicates.compare.colour import Chroma, chroma, is_grey, stands_out
from vitrine.indexer.enrich.duplicates.compare.features import orb_features
from vitrine.indexer.enrich.duplicates.compare.structure import Grey, Local, local

SIDE = 256
"""Longest side in pixels at which pictures are compared."""
COMPARED = 128
"""Side of the square at which structure is compared."""
COLOURED = 64
"""Side of the square at which colours are compared."""
_FEATURES = 300
_TURNED_AT = 24


class PreparedPicture:
    """A picture prepared for comparisons.

    ``grey`` is upright, its longest side at most ``SIDE``; ``colours`` (COLOURED, COLOURED, 2) is its
    chromaticity, zero everywhere if it ``is_grey``; ``size`` (width, height) is of the original. Threads
    that ask for the same thing at once all compute it: no lock delays the others.
    """

    def __init__(self, grey: Grey, colours: Chroma, size: tuple[int, int]) -> None:
        self.grey = grey
        self.colours = colours
        self.is_grey = is_grey(colours)
        self.size = size

    @cached_property
    def square(self) -> Grey:
        """Return the grey picture stretched to ``COMPARED`` x ``COMPARED``."""
        return resized(self.grey, (COMPARED, COMPARED))

    @cached_property
    def local(self) -> Local:
        """Return the local means and variances of ``square``."""
        return local(self.square)

    @cached_property
    def stands_out(self) -> NDArray[np.bool_]:
        """Return where it is not background, (COLOURED, COLOURED)."""
        return stands_out(self.colours, resized(self.square, (COLOURED, COLOURED)))

    @cached_property
    def features(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return x and y of its ORB features in ``grey``, (k, 2), and their descriptors, (k, 32)."""
        points, _, descriptors = orb_features(self.grey, _FEATURES)
        return points, descriptors


def prepare(image: Image.Image, size: tuple[int, int]) -> PreparedPicture:
    """Prepare an upright RGB picture whose original is ``size`` large."""
    small = shrunk(image, SIDE)
    return PreparedPicture(np.asarray(small.convert("L")), chroma(np.asarray(small), COLOURED), size)


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """Shrink the picture to at most ``side`` pixels along its longest side; never enlarge it."""
    scale = min(1.0, side / max(image.size))
    small = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return (
        image
        if small == image.size
        else image.resize(small, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BILINEAR)
    )


def turned(seen: PreparedPicture, turn: str) -> PreparedPicture:
    """Return the picture turned or mirrored, by one of ``TURNS``."""
    grey, colours = (np.ascontiguousarray(_TURNED[turn](plane)) for plane in (seen.grey, seen.colours))
    return PreparedPicture(grey, colours, seen.size if grey.shape == seen.grey.shape else seen.size[::-1])


def best_turn(one: PreparedPicture, other: PreparedPicture) -> str:
    """Return the turn of ``other`` that correlates best with ``one``, both shrunk to 24 x 24 pixels."""
    target, small = (resized(seen.grey, (_TURNED_AT, _TURNED_AT)).astype(np.float32) for seen in (one, other))
    target = target - target.mean()
    return max(TURNS, key=lambda turn: float((target * _TURNED[turn](small)).mean()))


_TURNED: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "": lambda plane: plane,
    "flip": np.fliplr,
    "turn-180": lambda plane: np.rot90(plane, 2),
    "flip-180": np.flipud,
    "transpose": lambda plane: plane.swapaxes(0, 1),
    "turn-90": lambda plane: np.rot90(plane, 1),
    "turn-270": lambda plane: np.rot90(plane, 3),
    "transverse": lambda plane: np.rot90(plane.swapaxes(0, 1), 2),
}
TURNS = tuple(_TURNED)
"""The eight ways a picture can lie: as it is, mirrored left to right, upside down ... turned to the left by
90 degrees ..."""
