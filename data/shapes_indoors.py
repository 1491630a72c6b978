"""How the things of a household are drawn; see `vitrine.data.geometry` for the coordinates."""

from vitrine.data.geometry import Part, Points, Variation, both_sides, box, ellipse, mirrored, poly, smooth


def mug(v: Variation) -> list[Part]:
    """A mug with a handle, its rim and handle in the accent colour."""
    top, low = -v.between(0.5, 0.85), 0.75
    slim = v.between_b(0.5, 0.62)
    return [
        Part("accent", ellipse(slim - 0.08, (top + low) / 2, 0.42, 0.36, -95, 95), width=0.19),
        Part("main", box(-slim, top, slim, low, 0.2)),
        Part("accent", ellipse(0, top, slim, 0.15)),
        Part("dark", ellipse(0, top + 0.02, slim - 0.11, 0.085), outlined=False),
    ]


def bottle(v: Variation) -> list[Part]:
    """A bottle with a cap and a label in the accent colour."""
    neck, shoulder = v.between(0.12, 0.2), v.between_b(-0.45, -0.15)
    right = [(neck, -0.8), (neck, shoulder - 0.25), (0.4, shoulder + 0.12), (0.42, 0.9), (0.36, 1.0)]
    return [
        Part("main", poly(*both_sides(*right))),
        Part("accent", box(-neck - 0.05, -1.0, neck + 0.05, -0.76, 0.05)),
        Part("accent", box(-0.41, 0.3, 0.41, 0.68)),
    ]


def lamp(v: Variation) -> list[Part]:
    """A table lamp: the shade in the main colour, stem and foot in the accent colour."""
    top, low = v.between(0.25, 0.45), v.between_b(0.65, 0.8)
    return [
        Part("accent", poly((0, -0.1), (0, 0.85)), width=0.14),
        Part("accent", ellipse(0, 0.88, 0.45, 0.14)),
        Part("accent", ellipse(0, 0.45, 0.2, 0.22)),
        Part("main", poly((-top, -1.0), (top, -1.0), (low, 0.12), (-low, 0.12))),
        Part("light", poly((-low + 0.03, 0.12), (low - 0.03, 0.12)), width=0.05, outlined=False),
    ]


def chair(v: Variation) -> list[Part]:
    """A chair seen from a corner: back and seat in the main colour, legs in the accent colour."""
    top = -v.between(0.75, 1.0)
    back = v.between_b(0.0, 0.12)
    return [
        Part("accent_dark", poly((-0.32, 0.1), (-0.28, 0.8)), width=0.11),
        Part("accent_dark", poly((0.72, 0.1), (0.7, 0.78)), width=0.11),
        Part("accent", poly((-0.42, 0.1), (-0.42 - back, top)), width=0.12),
        Part("main", poly((-0.48 - back, top), (0.28 - back, top - 0.08), (0.34, 0.0), (-0.42, 0.08))),
        Part("main", poly((-0.45, 0.04), (0.4, -0.02), (0.8, 0.22), (-0.3, 0.36))),
        Part("main_dark", poly((-0.3, 0.35), (0.8, 0.21), (0.8, 0.33), (-0.3, 0.48))),
        Part("accent", poly((-0.24, 0.42), (-0.26, 1.0)), width=0.13),
        Part("accent", poly((0.73, 0.32), (0.75, 0.96)), width=0.13),
    ]


def clock(v: Variation) -> list[Part]:
    """An alarm clock: bells and feet in the accent colour, a pale face."""
    hour, minute = v.a * 360, v.b * 360
    face = 0.5
    return [
        Part("accent", poly((-0.45, 0.6), (-0.62, 0.98)), width=0.16),
        Part("accent", poly((0.45, 0.6), (0.62, 0.98)), width=0.16),
        Part("accent", ellipse(-0.5, -0.66, 0.33, 0.3)),
        Part("accent", ellipse(0.5, -0.66, 0.33, 0.3)),
        Part("main", ellipse(0, 0.08, 0.85, 0.85)),
        Part("light", ellipse(0, 0.08, face, face)),
        Part("dark", hand(hour, 0.26), width=0.09, outlined=False),
        Part("dark", hand(minute, 0.4), width=0.06, outlined=False),
    ]


def hand(degrees: float, length: float) -> Points:
    """A clock hand from the middle of the face."""
    end = ellipse(0, 0.08, length, length, degrees, degrees, 1)[0]
    return poly((0, 0.08), (float(end[0]), float(end[1])))


def shirt(v: Variation) -> list[Part]:
    """A T-shirt with collar and cuffs in the accent colour."""
    waist, sleeve = v.between(0.44, 0.56), v.between_b(-0.15, 0.1)
    hem, elbow = (1.0, sleeve - 0.1), (0.72, sleeve + 0.14)
    cuff = poly(hem, elbow, (0.63, sleeve), (0.91, sleeve - 0.26))
    return [
        Part("main", poly(*both_sides((0.28, -0.85), (0.55, -0.74), hem, elbow, (0.5, -0.2), (waist, 0.9)))),
        Part("accent", cuff),
        Part("accent", mirrored(cuff)),
        Part("accent", ellipse(0, -0.85, 0.3, 0.26, 0, 180)),
        Part("dark", ellipse(0, -0.85, 0.18, 0.15, 0, 180), outlined=False),
        Part("accent", box(-waist, 0.78, waist, 0.92)),
    ]


def shoe(v: Variation) -> list[Part]:
    """A trainer seen from the side: sole and tongue in the accent colour."""
    ankle = -v.between(0.42, 0.7)
    return [
        Part("accent", smooth((-0.35, ankle - 0.1), (-0.1, ankle - 0.12), (0.1, -0.1), (-0.2, 0.0))),
        Part(
            "main",
            smooth(
                (-0.95, ankle),
                (-0.75, ankle + 0.02),
                (-0.5, ankle + 0.14),
                (-0.28, ankle - 0.02),
                (0.0, -0.18),
                (0.4, 0.02),
                (0.85, 0.14),
                (0.98, 0.4),
                (0.6, 0.46),
                (-0.3, 0.46),
                (-0.92, 0.44),
                (-0.98, 0.1),
            ),
        ),
        Part("accent", box(-1.0, 0.4, 1.02, 0.6, 0.1)),
        Part("light", poly((-0.12, ankle + 0.16), (-0.32, ankle + 0.4)), width=0.07),
        Part("light", poly((0.06, ankle * 0.45 + 0.08), (-0.16, ankle * 0.45 + 0.32)), width=0.07),
        Part("light", poly((0.28, 0.02), (0.06, 0.24)), width=0.07),
    ]


def hat(v: Variation) -> list[Part]:
    """A brimmed hat with a band in the accent colour."""
    crown, slim = -v.between(0.45, 0.75), v.between_b(0.4, 0.52)
    top = both_sides((0.2, crown - 0.02), (slim, crown + 0.12), (0.56, 0.3), (0.3, 0.4))
    band = both_sides((0.3, 0.17), (0.55, 0.08), (0.58, 0.32), (0.3, 0.42))
    return [
        Part("main", ellipse(0, 0.32, 1.0, 0.3)),
        Part("main", smooth((0, crown + 0.08), *top)),
        Part("accent", poly(*band)),
    ]


def umbrella(v: Variation) -> list[Part]:
    """An open umbrella: stick and tip in the accent colour."""
    height = v.between(0.7, 0.95)
    arcs = v.count(3, 5)
    edge = 2.0 / arcs
    canopy = [(float(x), float(y)) for x, y in ellipse(0, 0, 1.0, height, 180, 360, 24)]
    for i in range(arcs):
        scallop = ellipse(1.0 - edge * (i + 0.5), 0, edge / 2, 0.13, 0, -180, 9)
        canopy += [(float(x), float(y)) for x, y in scallop]
    ribs = [
        Part(
            "main_dark",
            smooth((0, -height), (x * 0.7, -height * 0.55), (x, 0.0), closed=False),
            width=0.03,
            outlined=False,
        )
        for x in (1.0 - edge * (i + 1) for i in range(arcs - 1))
    ]
    return [
        Part("accent", poly((0, -height - 0.14), (0, 0.75)), width=0.1),
        Part("accent", ellipse(0.16, 0.75, 0.16, 0.2, 180, 0), width=0.1),
        Part("main", poly(*canopy)),
        *ribs,
        Part("accent", poly((0, -height - 0.16), (0, -height + 0.02)), width=0.1),
    ]


def guitar(v: Variation) -> list[Part]:
    """A guitar: neck, head and bridge in the accent colour."""
    waist, hip = v.between(0.2, 0.28), v.between_b(0.42, 0.5)
    right = [(0.1, -0.2), (0.34, -0.12), (waist + 0.06, 0.18), (hip, 0.55), (0.25, 0.95)]
    return [
        Part("main", smooth(*right, (0, 1.0), *[(-x, y) for x, y in reversed(right)])),
        Part("dark", ellipse(0, 0.22, 0.15, 0.15)),
        Part("accent", box(-0.075, -0.8, 0.075, 0.12)),
        Part("accent", poly((-0.14, -1.08), (0.14, -1.08), (0.1, -0.78), (-0.1, -0.78))),
        Part("accent", box(-0.22, 0.62, 0.22, 0.73, 0.03)),
        Part("light", poly((0, -0.8), (0, 0.66)), width=0.025, outlined=False),
    ]
