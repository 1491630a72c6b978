"""Paint one object into one scene."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vitrine.data.backgrounds import draw_background
from vitrine.data.geometry import Points, Variation
from vitrine.data.palette import Rgb, outline_of, shaded
from vitrine.data.patterns import pattern_polygons
from vitrine.data.shapes import KINDS

SUPERSAMPLING = 3
"""Objects are painted this many times larger and averaged down, which smooths their edges."""


@dataclass(frozen=True)
class Design:
    """What stays the same in every picture of one design."""

    name: str
    kind: str
    main: str
    accent: str
    pattern: str
    main_rgb: Rgb
    accent_rgb: Rgb
    period: float
    pattern_angle: float
    variation: Variation


@dataclass(frozen=True)
class Scene:
    """How one picture shows its object. Lengths are shares of the frame, angles are degrees."""

    size: str
    extent: float
    rotation: float
    flipped: bool
    centre: tuple[float, float]
    background: str
    background_rgb: Rgb
    texture: str
    light: float
    look: str
    """The word for what noise, blur and contrast do to the picture."""
    noise: float
    """Standard deviation of the grain, of 255."""
    blur: float
    """Radius of the Gaussian blur as a share of the frame."""
    contrast: float
    """1 leaves the picture as it is, less pulls it towards grey."""
    cut_out: bool
    """Without background: the picture has an alpha channel."""


def paint(
    design: Design, scene: Scene, size: int, rng: np.random.Generator
) -> tuple[Image.Image, Image.Image]:
    """Return the picture (size x size, RGB, or RGBA if cut out) and the mask of its object (size x size,
    L)."""
    layer = _object_layer(design, scene, size)
    pixels = np.asarray(layer, dtype=np.float32)
    alpha = pixels[..., 3:] / 255.0
    lit = pixels[..., :3] * _light(scene.light, size)
    behind = draw_background(scene.texture, scene.background_rgb, size, rng)
    if not scene.cut_out:
        behind *= 1.0 - 0.38 * _shadow(layer.getchannel("A"), size)
    mixed = behind + alpha * (lit - behind)
    mixed = 128.0 + (mixed - 128.0) * scene.contrast
    image = Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
    if scene.blur > 0:
        image = image.filter(ImageFilter.GaussianBlur(scene.blur * size))
    if scene.noise > 0:
        grain = rng.standard_normal((size, size, 1), dtype=np.float32)
        grain = grain + 0.4 * rng.standard_normal((size, size, 3), dtype=np.float32)
        image = Image.fromarray(np.clip(np.asarray(image) + grain * scene.noise, 0, 255).astype(np.uint8))
    mask = layer.getchannel("A")
    if scene.cut_out:
        image.putalpha(mask)
    return image, mask


def _object_layer(design: Design, scene: Scene, size: int) -> Image.Image:
    """Paint the object alone, (size, size) RGBA."""
    side = size * SUPERSAMPLING
    line = outline_of(design.main_rgb)
    layer = Image.new("RGBA", (side, side), (*line, 0))
    colours = _colours(design)
    pattern = _pattern_sheet(design, scene, side)
    draw = ImageDraw.Draw(layer)
    for part in KINDS[design.kind].parts(design.variation):
        points = _placed(part.points, scene, side)
        colour = colours[part.role]
        edge = outline_of(colour)
        if part.width:
            width = part.width * scene.extent * side / 2
            if part.outlined:
                _stroke(draw, points, width + 2.4 * SUPERSAMPLING, edge)
            _stroke(draw, points, width, colour)
            continue
        if part.role == "main" and pattern is not None:
            _paste_polygon(layer, pattern, points)
        else:
            draw.polygon(_flat(points), fill=(*colour, 255))
        if part.outlined:
            closed = np.concatenate([points, points[:2]])
            draw.line(_flat(closed), fill=(*edge, 255), width=round(1.3 * SUPERSAMPLING), joint=None)
    return layer.reduce(SUPERSAMPLING)


def _colours(design: Design) -> dict[str, Rgb]:
    return {
        "main": design.main_rgb,
        "accent": design.accent_rgb,
        "main_dark": shaded(design.main_rgb, -0.25),
        "accent_dark": shaded(design.accent_rgb, -0.25),
        "dark": (48, 46, 52),
        "light": (250, 248, 240),
        "glass": (190, 220, 235),
    }


def _pattern_sheet(design: Design, scene: Scene, side: int) -> Image.Image | None:
    """Return the main colour with its pattern over the whole frame, or None for a plain object."""
    areas = pattern_polygons(design.pattern, design.period, design.pattern_angle)
    if not areas:
        return None
    sheet = Image.new("RGBA", (side, side), (*design.main_rgb, 255))
    draw = ImageDraw.Draw(sheet)
    for area in areas:
        draw.polygon(_flat(_placed(area, scene, side)), fill=(*design.accent_rgb, 255))
    return sheet


def _paste_polygon(layer: Image.Image, sheet: Image.Image, points: Points) -> None:
    """Copy the part of `sheet` inside the polygon; only its bounding box is touched."""
    left, top = np.floor(points.min(axis=0)).astype(int)
    right, bottom = np.ceil(points.max(axis=0)).astype(int) + 1
    frame = (
        max(int(left), 0),
        max(int(top), 0),
        min(int(right), layer.width),
        min(int(bottom), layer.height),
    )
    if frame[0] >= frame[2] or frame[1] >= frame[3]:
        return
    mask = Image.new("L", (frame[2] - frame[0], frame[3] - frame[1]), 0)
    ImageDraw.Draw(mask).polygon(_flat(points - frame[:2]), fill=255)
    layer.paste(sheet.crop(frame), frame, mask)


def _placed(points: Points, scene: Scene, side: int) -> Points:
    """Convert object coordinates to pixels of a canvas of `side`."""
    t = np.radians(scene.rotation)
    flip = -1.0 if scene.flipped else 1.0
    turn = np.array([[flip * np.cos(t), flip * np.sin(t)], [-np.sin(t), np.cos(t)]])
    placed: Points = points @ turn * (scene.extent * side / 2) + np.array(scene.centre) * side
    return placed


def _stroke(draw: ImageDraw.ImageDraw, points: Points, width: float, colour: Rgb) -> None:
    """Draw a line with round ends."""
    fill = (*colour, 255)
    draw.line(
        _flat(points), fill=fill, width=max(round(width), 1), joint="curve" if len(points) > 2 else None
    )
    r = width / 2
    for x, y in (points[0], points[-1]):
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _flat(points: Points) -> list[float]:
    return [float(value) for value in points.ravel()]


def _light(degrees: float, size: int) -> NDArray[np.float32]:
    """Return (size, size, 1) factors around 1: light falls in from one side."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    t = np.radians(degrees)
    fall = np.float32(np.cos(t)) * line[None, :, None] + np.float32(np.sin(t)) * line[:, None, None]
    return (1.02 + np.float32(0.16) * fall).astype(np.float32)


def _shadow(alpha: Image.Image, size: int) -> NDArray[np.float32]:
    """Return (size, size, 1) in 0..1: a soft shadow below and to the right of the object."""
    small = alpha.reduce(4).filter(ImageFilter.GaussianBlur(size / 4 * 0.025))
    moved = Image.new("L", small.size, 0)
    offset = max(round(small.width * 0.03), 1)
    moved.paste(small, (offset, round(offset * 1.5)))
    wide = moved.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(wide, dtype=np.float32)[..., None] / 255.0
