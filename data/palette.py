"""The named colours of the demo catalogue."""

from typing import Final

import numpy as np

Rgb = tuple[int, int, int]

OBJECT_COLOURS: Final[dict[str, Rgb]] = {
    "red": (205, 32, 38),
    "orange": (243, 128, 24),
    "yellow": (248, 212, 40),
    "green": (48, 150, 62),
    "teal": (22, 158, 160),
    "blue": (36, 84, 200),
    "purple": (122, 56, 170),
    "pink": (246, 130, 178),
    "brown": (118, 72, 40),
    "black": (34, 34, 38),
    "white": (246, 245, 242),
    "grey": (138, 140, 144),
}

BACKGROUND_COLOURS: Final[dict[str, Rgb]] = {
    "white": (250, 250, 250),
    "grey": (176, 178, 182),
    "beige": (226, 206, 174),
    "blue": (148, 188, 236),
    "green": (160, 212, 156),
    "yellow": (250, 234, 146),
    "pink": (246, 196, 214),
    "black": (42, 44, 50),
}
"""Paler than the objects' colours of the same name, so that an object stands out."""


def jittered(colour: Rgb, rng: np.random.Generator, spread: float = 9.0) -> Rgb:
    """Move `colour` a little (standard deviation `spread` of 255 in each channel); it keeps its name."""
    moved = np.clip(np.asarray(colour) + rng.normal(0.0, spread, 3), 0, 255)
    return (int(moved[0]), int(moved[1]), int(moved[2]))


def shaded(colour: Rgb, amount: float) -> Rgb:
    """Move `colour` towards white (`amount` in 0..1) or towards black (`amount` in -1..0)."""
    target = 255 if amount > 0 else 0
    mixed = [round(c + (target - c) * abs(amount)) for c in colour]
    return (mixed[0], mixed[1], mixed[2])


def luminance(colour: Rgb) -> float:
    """Return the perceived lightness in 0..1 (Rec. 601 weights)."""
    red, green, blue = colour
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255.0


def outline_of(colour: Rgb) -> Rgb:
    """Return a line colour that is visible on `colour`: darker, or lighter where `colour` is nearly black."""
    return shaded(colour, 0.28) if luminance(colour) < 0.18 else shaded(colour, -0.42)
