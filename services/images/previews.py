"""What stands for a picture until it is there: its dominant colour, and a blur of 20 bytes.

The blur holds the lowest frequencies of a discrete cosine transform, as BlurHash (D. Ågren, 2018) and
ThumbHash (E. Wallace, 2023) do, in the colours of H. Malvar and G. Sullivan (YCoCg, 2003), from which three
sums lead back to red, green and blue. docs/http-api.md says how to draw it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_EDGE = 32
"""Pixels of the square that both are worked out from, whatever the picture's shape."""
SIDE = 2 * _EDGE
"""A picture whose shortest side has so many pixels is large enough."""
_LUMA, _CHROMA = 5, 2
"""Frequencies (u, v) with u + v up to these are kept: 20 of the brightness, 5 of each colour channel."""
_STEPS = 7
"""A frequency is kept as one of the numbers -7 to 7, in units of a seventh of the largest one."""

_GREY_COUNTS = 30
"""How much a grey pixel counts for the dominant colour, where a pure one counts for 255 more: else nearly
every picture of a product would be white."""
_ALIKE = 40
"""Pixels that differ by less than this in each channel are of one colour."""

Channel = NDArray[np.float64]


@dataclass(frozen=True)
class Preview:
    """``colour`` is "#rrggbb"; ``blur`` 20 bytes in base64."""

    colour: str
    blur: str


def preview_of(image: Image.Image) -> Preview:
    """Return the dominant colour and the blur of an RGB picture."""
    factor = min(image.size) // SIDE
    small = image.reduce(factor) if factor > 1 else image
    pixels = np.asarray(small.resize((_EDGE, _EDGE), Image.Resampling.BOX))
    red, green, blue = _dominant(pixels)
    return Preview(f"#{red:02x}{green:02x}{blue:02x}", base64.b64encode(_blur(pixels / 255.0)).decode())


def _dominant(pixels: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return the mean of the pixels like the most frequent ones; those in the middle and in full colours
    count more. ``pixels``: (edge, edge, 3)."""
    channels = pixels.reshape(-1, 3).T.astype(np.int16, order="C")
    red, green, blue = channels
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    weights = (spread + _GREY_COUNTS) * _WINDOW
    groups = np.bincount((red >> 5 << 6) + (green >> 5 << 3) + (blue >> 5), weights, 512)
    group = int(groups.argmax())
    centre = [32 * (group >> shift & 7) + 16 for shift in (6, 3, 0)]
    for _ in range(2):  # the first mean leaves the borders of the group behind
        alike = weights * (
            (np.abs(red - centre[0]) < _ALIKE)
            & (np.abs(green - centre[1]) < _ALIKE)
            & (np.abs(blue - centre[2]) < _ALIKE)
        )
        total = alike.sum()
        if total == 0:  # they lie all round their mean
            break
        centre = [round(value) for value in (channels @ alike / total).tolist()]
    return centre[0], centre[1], centre[2]


def _blur(rgb: NDArray[np.float64]) -> bytes:
    """Return the 20 bytes of a square of pixels, (edge, edge, 3) in 0..1."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    luma, orange, greenish = (red + 2 * green + blue) / 4, red - blue, green - (red + blue) / 2
    luma_mean, luma_waves = _frequencies(luma, _LUMA)
    orange_mean, orange_waves = _frequencies(orange, _CHROMA)
    green_mean, green_waves = _frequencies(greenish, _CHROMA)
    luma_scale = _rounded_up(255 * _largest(luma_waves))
    orange_scale = _rounded_up(15 * _largest(orange_waves) ** 0.5)
    green_scale = _rounded_up(15 * _largest(green_waves) ** 0.5)
    head = (
        round(255 * luma_mean),
        128 + round(127 * orange_mean),
        128 + round(127 * green_mean),
        luma_scale,
        orange_scale << 4 | green_scale,
    )
    steps = np.concatenate(
        [
            _in_steps(luma_waves, luma_scale / 255),
            _in_steps(orange_waves, (orange_scale / 15) ** 2),
            _in_steps(green_waves, (green_scale / 15) ** 2),
        ]
    )
    pairs: NDArray[np.uint8] = steps[0::2] << 4 | steps[1::2]
    return bytes(head) + pairs.tobytes()


def _frequencies(channel: Channel, highest: int) -> tuple[float, Channel]:
    """Return the mean of a channel and its frequencies, in the order in which they are kept."""
    found = _TRANSFORM @ channel @ _TRANSFORM.T  # by v, then u
    order = [(total - u, u) for total in range(1, highest + 1) for u in range(total + 1)]
    return float(found[0, 0]), np.array([found[place] for place in order])


def _largest(waves: Channel) -> float:
    """Return the largest size of a frequency, 1 at most; rounding errors are 0."""
    largest = min(1.0, float(np.abs(waves).max()))
    return largest if largest > 1e-9 else 0.0


def _rounded_up(scale: float) -> int:
    return int(np.ceil(scale - 1e-9))


def _in_steps(waves: Channel, scale: float) -> NDArray[np.uint8]:
    """Return each frequency as 0 to 14; 7 is none of it."""
    if scale == 0:
        return np.full(len(waves), _STEPS, np.uint8)
    steps = np.rint(np.clip(waves / scale, -1.0, 1.0) * _STEPS)
    return (steps + _STEPS).astype(np.uint8)


def _transform() -> Channel:
    """Return the rows of a discrete cosine transform (DCT-II) whose inverse is a plain sum of cosines."""
    places = np.arange(_EDGE) + 0.5
    rows = np.cos(np.pi / _EDGE * np.outer(np.arange(_LUMA + 1), places)) * 2 / _EDGE
    rows[0] /= 2
    return rows


def _window() -> NDArray[np.float64]:
    """Return how much each pixel of the square counts: 1 in the middle, a quarter in the corners."""
    places = (np.arange(_EDGE) + 0.5) / _EDGE
    ramp = 0.5 + 0.5 * np.sin(np.pi * places)
    return np.outer(ramp, ramp).ravel()


_TRANSFORM = _transform()
_WINDOW = _window()
