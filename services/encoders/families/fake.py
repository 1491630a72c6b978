"""An encoder without weights: where which colours are. For tests, trials and searches by colour."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from vitrine.services.domain import Embeddings, EncoderSpec, Preprocessing
from vitrine.services.encoders.preprocess import Pixels, fit
from vitrine.services.encoders.reference import COLOUR_MODEL

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "gray": (128, 128, 128),
    "red": (220, 30, 30),
    "orange": (245, 140, 20),
    "yellow": (245, 220, 40),
    "green": (40, 160, 60),
    "teal": (20, 150, 150),
    "cyan": (40, 210, 220),
    "blue": (40, 80, 210),
    "purple": (130, 50, 170),
    "pink": (245, 140, 180),
    "brown": (120, 75, 40),
    "beige": (225, 210, 175),
}
"""The colour words that texts may use, as 8-bit RGB."""

_EDGE = 16
_GRID = 4
_LEVELS = 3
_GRID_WEIGHT = 0.5
_BASE_DIM = _GRID * _GRID * 3 + _LEVELS**3
_REVISION = "colour-1"
_DIM = 64


def colour_revision(wanted: str | None = None) -> str:
    """Return the revision of the encoder; one that is wanted counts if it only names another dimension."""
    known = wanted is not None and re.fullmatch(rf"{_REVISION}-[1-9][0-9]{{0,3}}", wanted)
    return wanted if wanted and known else f"{_REVISION}-{_DIM}"


class ColourEncoder:
    """A TextEncoder of colours: a 4 x 4 grid of mean colours and a soft histogram of 27 bins, projected to
    ``dim``.

    Deterministic, and safe to call from any thread. A text stands for the mean of its colour words as flat
    pictures; one without any gets a direction of its own, the same every time.
    """

    def __init__(self, name: str = "colour", dim: int = _DIM) -> None:
        preprocessing = Preprocessing((_EDGE, _EDGE), None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "box")
        self._spec = EncoderSpec(
            name, COLOUR_MODEL, f"{_REVISION}-{dim}", dim, ("image", "text"), preprocessing
        )
        # a random projection keeps angles, roughly, at any dimension
        self._projection = np.random.default_rng(20).standard_normal((_BASE_DIM, dim)).astype(np.float32)

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def prepare(self, image: Image.Image) -> Pixels:
        """Return the image resized to (16, 16, 3) uint8."""
        return fit(image, self._spec.preprocessing)

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        """Return (n, dim) float32, L2-normalised, row i for image i."""
        return self.encode_pixels([self.prepare(image) for image in images])

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Embeddings:
        """As ``encode_images``, from what ``prepare`` gave."""
        if not len(pixels):
            return np.empty((0, self._spec.dim), np.float32)
        values = np.stack(pixels).astype(np.float32) / 127.5 - 1.0
        return _unit(
            np.concatenate([_GRID_WEIGHT * _grid(values), _histogram(values)], axis=1) @ self._projection
        )

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return (n, dim) float32, L2-normalised, row i for text i."""
        if not len(texts):
            return np.empty((0, self._spec.dim), np.float32)
        return np.concatenate([self._encode_text(text) for text in texts])

    def _encode_text(self, text: str) -> Embeddings:
        colours = [COLOURS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in COLOURS]
        if colours:
            flat = [np.full((_EDGE, _EDGE, 3), colour, np.uint8) for colour in colours]
            return _unit(self.encode_pixels(flat).mean(axis=0, keepdims=True))
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        return _unit(np.random.default_rng(seed).standard_normal((1, self._spec.dim)).astype(np.float32))


def _grid(values: Embeddings) -> Embeddings:
    """Return (n, 48) mean colours of 16 cells, from (n, 16, 16, 3) in -1..1; of norm about 1 for saturated
    colours."""
    cell = _EDGE // _GRID
    means = values.reshape(-1, _GRID, cell, _GRID, cell, 3).mean(axis=(2, 4))
    grid: Embeddings = means.reshape(len(values), -1) / _GRID
    return grid


def _histogram(values: Embeddings) -> Embeddings:
    """Return (n, 27) shares of pixels near each of 3 x 3 x 3 points of the colour cube; a pixel counts for
    the points around it."""
    levels = np.linspace(-1.0, 1.0, _LEVELS, dtype=np.float32)
    closeness = np.maximum(0.0, 1.0 - np.abs(values[..., None] - levels))  # (n, 16, 16, 3, levels)
    red, green, blue = (closeness[..., channel, :] for channel in range(3))
    bins = np.einsum("nyxr,nyxg,nyxb->nrgb", red, green, blue) / (_EDGE * _EDGE)
    return np.asarray(bins.reshape(len(values), -1), np.float32)


def _unit(rows: Embeddings) -> Embeddings:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)
