"""Draw pictures with known truth in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from vitrine.data.captions import full_caption
from vitrine.data.facts import Facts
from vitrine.data.painting import Design, Scene, paint
from vitrine.data.scenes import quality_of, random_design, random_scene

GENERATOR_VERSION: Final = 2
"""Raised whenever the same seed draws something else."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One drawn picture and its truth."""

    image: Image.Image
    """size x size pixels: RGB, or RGBA for a cut-out (its transparent pixels are white)."""
    mask: Image.Image
    """size x size pixels, L: 255 where the object is."""
    design: Design
    facts: Facts
    caption: str
    quality: float
    """0..1: what grain, blur and lost contrast have left."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Kind, colours, pattern, size and background, as a person would tag them."""
        return self.facts.tags()


def draw_pictures(count: int, seed: int, size: int = 192, *, start: int = 0) -> Iterator[Picture]:
    """Yield `count` pictures of random designs, beginning with picture `start` of the sequence that `seed`
    names.

    Picture i depends on seed, i and size alone, so that parts of a sequence can be drawn by several
    processes.
    """
    for index in range(start, start + count):
        rng = np.random.default_rng([seed, index])
        design = random_design(f"design-{index:05d}", rng)
        yield draw_picture(design, random_scene(design, rng), rng, size)


def draw_picture(design: Design, scene: Scene, rng: np.random.Generator, size: int) -> Picture:
    """Draw the picture of one design in one scene; `rng` draws grain, speckles and the caption's wording."""
    image, mask = paint(design, scene, size, rng)
    facts = Facts(
        kind=design.kind,
        main=design.main,
        accent=design.accent,
        pattern=design.pattern,
        size=scene.size,
        background=scene.background,
        texture=scene.texture,
        look=scene.look,
    )
    return Picture(
        image=image,
        mask=mask,
        design=design,
        facts=facts,
        caption=full_caption(facts, rng),
        quality=quality_of(scene),
    )
