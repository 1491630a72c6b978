"""Draw designs and scenes at random, and compute the truth that follows from them."""

from typing import Final

import numpy as np
from PIL import Image

from vitrine.data.backgrounds import TEXTURES
from vitrine.data.facts import LOOKS, SIZES
from vitrine.data.geometry import Variation
from vitrine.data.painting import Design, Scene
from vitrine.data.palette import BACKGROUND_COLOURS, OBJECT_COLOURS, jittered
from vitrine.data.patterns import PATTERNS
from vitrine.data.shapes import KINDS

EXTENTS: Final[dict[str, tuple[float, float]]] = {
    "small": (0.42, 0.48),
    "medium": (0.60, 0.67),
    "large": (0.80, 0.90),
}
"""Longer side of the object as a share of the frame; the gaps keep the size words apart."""

_LOOK_SHARES = (0.85, 0.05, 0.05, 0.05)
_TOO_CLOSE = {("white", "grey"), ("grey", "white"), ("brown", "black"), ("black", "brown"), ("teal", "grey")}
_HIDDEN_BY = {
    "beige": {"white", "yellow"},
    "white": {"white"},
    "grey": {"grey", "white"},
    "black": {"black", "brown"},
}


def choice(options: tuple[str, ...], rng: np.random.Generator) -> str:
    """Return one of `options`, all equally likely."""
    return options[int(rng.integers(len(options)))]


def random_design(name: str, rng: np.random.Generator) -> Design:
    """Return a design with two colours that are easy to tell apart."""
    colours = tuple(OBJECT_COLOURS)
    main = choice(colours, rng)
    accent = choice(tuple(c for c in colours if c != main and (main, c) not in _TOO_CLOSE), rng)
    return Design(
        name=name,
        kind=choice(tuple(KINDS), rng),
        main=main,
        accent=accent,
        pattern=choice(PATTERNS, rng),
        main_rgb=jittered(OBJECT_COLOURS[main], rng),
        accent_rgb=jittered(OBJECT_COLOURS[accent], rng),
        period=float(rng.uniform(0.36, 0.5)),
        pattern_angle=float(rng.choice([0.0, 45.0, 90.0, -45.0])),
        variation=Variation(*(float(v) for v in rng.random(3))),
    )


def random_scene(design: Design, rng: np.random.Generator, *, cut_out: bool = False) -> Scene:
    """Return a pose, a background the object stands out from, and a look; a cut-out gets a sharp, white,
    plain one."""
    size = choice(SIZES, rng)
    extent = float(rng.uniform(*EXTENTS[size]))
    room = min((1.0 - extent) / 2, 0.06)
    tilt = KINDS[design.kind].tilt
    hidden = {design.main} | {b for b, mains in _HIDDEN_BY.items() if design.main in mains}
    background = choice(tuple(b for b in BACKGROUND_COLOURS if b not in hidden), rng)
    texture = choice(TEXTURES, rng)
    look = LOOKS[int(rng.choice(len(LOOKS), p=_LOOK_SHARES))]
    rgb = jittered(BACKGROUND_COLOURS[background], rng, 5.0)
    if cut_out:
        background, texture, look, rgb = "white", "plain", "sharp", (255, 255, 255)
    return Scene(
        size=size,
        extent=extent,
        rotation=float(rng.uniform(-tilt, tilt)),
        flipped=bool(rng.random() < 0.5),
        centre=(0.5 + float(rng.uniform(-room, room)), 0.5 + float(rng.uniform(-room, room))),
        background=background,
        background_rgb=rgb,
        texture=texture,
        light=float(rng.uniform(0, 360)),
        look=look,
        noise=0.0 if cut_out else float(rng.uniform(24, 38) if look == "grainy" else rng.uniform(0, 5)),
        blur=0.0
        if cut_out
        else float(rng.uniform(0.012, 0.022) if look == "blurry" else rng.uniform(0, 0.002)),
        contrast=1.0
        if cut_out
        else float(rng.uniform(0.42, 0.55) if look == "faded" else rng.uniform(0.92, 1.0)),
        cut_out=cut_out,
    )


def quality_of(scene: Scene) -> float:
    """Return 0..1: what grain, blur and lost contrast leave of a picture."""
    kept = (1 - scene.noise / 60) * (1 - scene.blur / 0.03) * scene.contrast
    return float(np.clip(kept, 0.0, 1.0))


def filled_share(mask: Image.Image) -> float:
    """Return the share of the frame, 0..1, where `mask` (L) is set."""
    return float(np.asarray(mask, dtype=np.float32).mean() / 255.0)


def colourfulness(image: Image.Image) -> float:
    """Return the colourfulness of Hasler and Suesstrunk (2003) over 110, 0..1, on a quarter of the pixels."""
    pixels = np.asarray(image.convert("RGB").reduce(2), dtype=np.float32)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    rg, yb = red - green, (red + green) / 2 - blue
    spread = np.hypot(rg.std(), yb.std())
    offset = np.hypot(rg.mean(), yb.mean())
    return float(np.clip((spread + 0.3 * offset) / 110.0, 0.0, 1.0))
