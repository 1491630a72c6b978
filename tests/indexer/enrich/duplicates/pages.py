"""Small drawn pages, as forms and screenshots are: words on white, and one place that says which page it
is."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw, ImageFont

WORDS = "parcel total date order ship customer number amount due paid street item count price each".split()  # noqa: SIM905
WORDS += "sum tax net gross note".split()  # noqa: SIM905


def page(seed: int, said: str, *, ink: str = "black", size: tuple[int, int] = (300, 390)) -> Image.Image:
    """RGB; the same ``seed``, the same form; ``said`` is filled in."""
    chance, image = random.Random(seed), Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    pen.text((14, 12), "DELIVERY NOTE", "black", ImageFont.load_default(22))
    pen.text((170, 44), said, ink, ImageFont.load_default(16))
    for top in range(70, size[1] - 20, 20):
        pen.text(
            (14, top),
            " ".join(f"{chance.choice(WORDS)} {chance.randrange(999)}" for _ in range(3)),
            "black",
            font,
        )
    return image
