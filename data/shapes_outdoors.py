"""How vehicles, buildings, animals and plants are drawn; see `vitrine.data.geometry` for the coordinates."""

import numpy as np

from vitrine.data.geometry import (
    Part,
    Variation,
    both_sides,
    box,
    ellipse,
    mirrored,
    poly,
    rotated,
    smooth,
    star,
)


def car(v: Variation) -> list[Part]:
    """A car from the side: roof and hub caps in the accent colour."""
    roof, tail = -v.between(0.48, 0.62), v.between_b(-0.75, -0.55)
    parts = [
        Part(
            "accent", smooth((tail, 0.02), (tail + 0.2, roof), (0.15, roof - 0.02), (0.58, 0.02), (0.0, 0.1))
        ),
        Part(
            "glass",
            poly((tail + 0.14, -0.04), (tail + 0.28, roof + 0.12), (-0.14, roof + 0.1), (-0.14, -0.04)),
        ),
        Part("glass", poly((-0.04, -0.04), (-0.04, roof + 0.1), (0.13, roof + 0.12), (0.4, -0.04))),
        Part(
            "main",
            smooth(
                (-1.0, 0.05),
                (-0.7, -0.06),
                (0.0, -0.05),
                (0.5, -0.04),
                (0.92, 0.08),
                (1.0, 0.3),
                (0.85, 0.42),
                (0.0, 0.42),
                (-0.85, 0.42),
                (-1.0, 0.32),
            ),
        ),
        Part("light", ellipse(0.9, 0.17, 0.08, 0.07)),
    ]
    for x in (-0.55, 0.55):
        parts += [Part("dark", ellipse(x, 0.4, 0.25, 0.25)), Part("accent", ellipse(x, 0.4, 0.13, 0.13))]
    return parts


def boat(v: Variation) -> list[Part]:
    """A sailing boat: hull and large sail in the main colour, foresail and pennant in the accent colour."""
    top = -v.between(0.85, 1.05)
    return [
        Part("dark", poly((0, top - 0.1), (0, 0.4)), width=0.07, outlined=False),
        Part("accent", poly((0.02, top - 0.12), (0.3, top - 0.02), (0.02, top + 0.1))),
        Part("main", poly((-0.05, top + 0.12), (-0.05, 0.25), (-0.75, 0.25))),
        Part("accent", poly((0.06, top + 0.22), (0.06, 0.25), (v.between_b(0.5, 0.72), 0.25))),
        Part(
            "main",
            smooth(
                (-1.0, 0.38), (-0.5, 0.42), (0.5, 0.42), (1.0, 0.34), (0.62, 0.82), (0.0, 0.86), (-0.65, 0.82)
            ),
        ),
    ]


def rocket(v: Variation) -> list[Part]:
    """A rocket: nose, fins and nozzle in the accent colour, a round window."""
    half, fin = v.between(0.3, 0.42), v.between_b(0.3, 0.45)
    body = both_sides((half * 0.8, -0.5), (half, 0.1), (half * 0.7, 0.78))
    wing = poly((half - 0.08, 0.15), (half + fin, 0.62), (half + fin - 0.05, 0.95), (half - 0.12, 0.7))
    return [
        Part("accent", poly((-0.2, 0.7), (0.2, 0.7), (0.28, 0.98), (-0.28, 0.98))),
        Part("accent", wing),
        Part("accent", mirrored(wing)),
        Part("main", smooth((0, -1.05), *body)),
        Part(
            "accent",
            smooth(
                (0, -1.05),
                (half * 0.45, -0.78),
                (half * 0.78, -0.52),
                (0, -0.46),
                (-half * 0.78, -0.52),
                (-half * 0.45, -0.78),
            ),
        ),
        Part("light", ellipse(0, -0.1, 0.2, 0.2)),
        Part("glass", ellipse(0, -0.1, 0.13, 0.13)),
    ]


def house(v: Variation) -> list[Part]:
    """A house: roof, chimney and door in the accent colour."""
    eaves, ridge = v.between(-0.2, -0.05), v.between_b(-1.0, -0.8)
    door = -0.28 if v.c < 0.5 else 0.28
    return [
        Part("accent_dark", box(0.34, ridge + 0.08, 0.56, eaves)),
        Part("main", box(-0.75, eaves, 0.75, 0.9)),
        Part("accent", poly((0, ridge), (0.98, eaves + 0.04), (-0.98, eaves + 0.04))),
        Part("accent", box(door - 0.17, 0.3, door + 0.17, 0.9)),
        Part("glass", box(-door - 0.22, 0.16, -door + 0.22, 0.56)),
        Part("light", poly((-door, 0.16), (-door, 0.56)), width=0.05, outlined=False),
        Part("light", ellipse(0, (ridge + 2 * eaves) / 3, 0.12, 0.12)),
    ]


def fish(v: Variation) -> list[Part]:
    """A fish: tail and fins in the accent colour."""
    belly, tail = v.between(0.36, 0.55), v.between_b(0.38, 0.55)
    return [
        Part("accent", smooth((0.5, 0.0), (0.98, -tail), (0.84, 0.0), (0.98, tail))),
        Part(
            "accent",
            smooth(
                (-0.3, -belly + 0.12), (0.05, -belly - 0.25), (0.38, -belly - 0.12), (0.35, -belly + 0.25)
            ),
        ),
        Part("accent", smooth((-0.1, belly - 0.14), (0.12, belly + 0.2), (0.3, belly - 0.2))),
        Part(
            "main",
            smooth(
                (-0.98, 0.02),
                (-0.65, -belly * 0.75),
                (-0.1, -belly),
                (0.4, -belly * 0.5),
                (0.66, 0.0),
                (0.4, belly * 0.5),
                (-0.1, belly),
                (-0.65, belly * 0.75),
            ),
        ),
        Part("light", ellipse(-0.64, -0.1, 0.11, 0.11)),
        Part("dark", ellipse(-0.66, -0.1, 0.055, 0.055), outlined=False),
        Part("main_dark", ellipse(-0.62, 0.02, 0.3, 0.34, -50, 50), width=0.045, outlined=False),
        Part("accent", smooth((-0.16, 0.06), (0.18, 0.0), (0.14, 0.24))),
    ]


def butterfly(v: Variation) -> list[Part]:
    """A butterfly: hind wings and wing spots in the accent colour."""
    reach, low = v.between(0.8, 1.0), v.between_b(0.55, 0.8)
    upper = smooth((0.05, -0.1), (0.3, -0.7), (reach - 0.1, -0.8), (reach, -0.35), (0.6, 0.08))
    lower = smooth((0.05, 0.0), (0.55, 0.02), (0.72, 0.38), (0.45, low), (0.14, 0.5))
    spot = ellipse(reach * 0.66, -0.44, 0.14, 0.14)
    feeler = smooth((0.03, -0.42), (0.1, -0.72), (0.28, -0.9), closed=False)
    parts = [Part("accent", w) for w in (lower, mirrored(lower))]
    parts += [Part("main", w) for w in (upper, mirrored(upper))]
    parts += [Part("accent", w) for w in (spot, mirrored(spot))]
    parts += [Part("dark", f, width=0.045, outlined=False) for f in (feeler, mirrored(feeler))]
    return [*parts, Part("dark", ellipse(0, 0.02, 0.085, 0.5), outlined=False)]


def leaf(v: Variation) -> list[Part]:
    """A leaf: stalk and veins in the accent colour."""
    half, belly = v.between(0.42, 0.62), v.between_b(0.0, 0.3)
    veins = v.count(3, 4)
    blade = smooth(
        (0, -1.0),
        (half * 0.6, -0.55),
        (half, belly),
        (half * 0.6, 0.5),
        (0, 0.7),
        (-half * 0.6, 0.5),
        (-half, belly),
        (-half * 0.6, -0.55),
    )
    parts = [Part("main", blade), Part("accent", poly((0, -0.72), (0, 1.05)), width=0.1)]
    for y in np.linspace(-0.2, 0.5, veins):
        for side in (-1, 1):
            parts.append(
                Part("accent", poly((0, y), (side * half * 0.58, y - 0.26)), width=0.075, outlined=False)
            )
    return parts


def flower(v: Variation) -> list[Part]:
    """A flower: heart and leaves in the accent colour."""
    petals = v.count(5, 8)
    long, wide = v.between(0.3, 0.36), 0.62 / petals + v.between_b(0.08, 0.14)
    petal = ellipse(0, -0.35 - 0.36, wide, long, steps=24)
    leaf_right = smooth((0.0, 0.85), (0.25, 0.5), (0.6, 0.45), (0.4, 0.8))
    parts = [
        Part("accent", poly((0, -0.3), (0, 1.05)), width=0.1),
        Part("accent", leaf_right),
        Part("accent", mirrored(leaf_right)),
    ]
    parts += [Part("main", rotated(petal, 360.0 * i / petals, 0, -0.35)) for i in range(petals)]
    return [*parts, Part("accent", ellipse(0, -0.35, 0.21, 0.21))]


def star_shape(v: Variation) -> list[Part]:
    """A star with a smaller one in the accent colour inside it."""
    spikes = v.count(5, 7)
    inner = v.between(0.42, 0.55)
    return [
        Part("main", star(0, 0, 1.0, inner, spikes)),
        Part("accent", star(0, 0, 0.42, 0.42 * inner, spikes)),
    ]


def kite(v: Variation) -> list[Part]:
    """A kite: spars, tail and bows in the accent colour."""
    half, wing = v.between(0.5, 0.65), v.between_b(-0.5, -0.3)
    tail = smooth((0, 0.45), (0.18, 0.62), (-0.05, 0.8), (0.14, 1.0), closed=False)
    parts = [
        Part("accent", tail, width=0.06, outlined=False),
        Part("main", poly((0, -1.0), (half, wing), (0, 0.45), (-half, wing))),
        Part("accent", poly((0, -1.0), (0, 0.45)), width=0.08, outlined=False),
        Part("accent", poly((-half, wing), (half, wing)), width=0.08, outlined=False),
    ]
    for x, y in ((0.14, 0.64), (0.0, 0.84)):
        left, right = x - 0.17, x + 0.17
        bow = poly((left, y - 0.1), (x, y), (right, y - 0.1), (right, y + 0.1), (x, y), (left, y + 0.1))
        parts.append(Part("accent", bow))
    return parts
