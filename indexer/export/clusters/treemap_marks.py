"""The marks of a treemap, the same for every kind of file: areas, texts and pictures in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from PIL import ImageFont

from vitrine.indexer.export.clusters.treemap import Box, Rect
from vitrine.services.artifacts.clusters import NOISE
from vitrine.services.images.contact_sheet import fit_text, one_line
from vitrine.services.values.words import counted

Colour = tuple[int, int, int]
INK: Colour = (24, 24, 27)
PAPER: Colour = (255, 255, 255)
TITLE_HEIGHT = 40.0
_GREY: Colour = (136, 136, 136)
_PALETTE: tuple[Colour, ...] = (
    (51, 34, 136), (136, 204, 238), (68, 170, 153), (17, 119, 51), (153, 153, 51),
    (221, 204, 119), (204, 102, 119), (136, 34, 85), (170, 68, 153),
)  # fmt: skip
"""Paul Tol's "muted" scheme (SRON/EPS/TN/09-002), which people with any colour vision tell apart."""
_LEAST_TEXT, _LEAST_TILE, _MOST_TILE, _MOST_TILES = 10, 20, 96, 60
_PAD = 4.0
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Area:
    """A filled rectangle; ``note`` is shown when the pointer is over it."""

    rect: Rect
    fill: Colour
    note: str = ""


@dataclass(frozen=True)
class Text:
    """One line, its left end at ``x``, vertically centred at ``middle``; never wider than ``width``."""

    text: str
    x: float
    middle: float
    size: int
    fill: Colour
    width: float


@dataclass(frozen=True)
class Picture:
    """An image in whole pixels, which fills its rectangle."""

    image: str
    rect: Rect


@dataclass(frozen=True)
class Drawing:
    """All marks, in the order in which they are painted."""

    width: int
    height: int
    marks: list[Area | Text | Picture] = field(default_factory=list)

    @property
    def pictures(self) -> list[Picture]:
        return [mark for mark in self.marks if isinstance(mark, Picture)]


def draw(
    boxes: Sequence[Box], width: int, height: int, title: str, members: Callable[[Box, int], Sequence[str]]
) -> Drawing:
    """Return the marks of a layout. ``members(box, most)`` gives the ids of at most so many images to show in
    a box."""
    drawing = Drawing(width, height)
    drawing.marks.append(Area(Rect(0, 0, width, height), PAPER))
    heading = fit(title, 18, width - 2 * _PAD - 4)
    drawing.marks.append(Text(heading, _PAD + 2, TITLE_HEIGHT / 2, 18, INK, width - 2 * _PAD))
    for box in boxes:
        if box.header is None:
            _draw_whole(drawing, box, members)
        elif box.node.parent is not None:
            _draw_branch(drawing, box)
    return drawing


def colour_of(box: Box) -> Colour:
    """Return the colour of the first-level node that it belongs to; from the tenth on the colours begin
    again, lighter."""
    if box.node.id == NOISE:
        return _GREY
    base = _PALETTE[box.branch % len(_PALETTE)]
    return _tint(base, (1.0, 0.62, 0.4)[box.branch // len(_PALETTE) % 3])


def fit(text: str, size: int, width: float) -> str:
    """Cut ``text`` with an ellipsis to ``width`` pixels, measured with the font of PNG files."""
    return fit_text(text, font(size), width) if width > 0 else ""


def label(id: str, name: str, count: int, size: int, width: float) -> str:
    """Return id, name and count in one line; where it is narrow the name is cut first, then the id goes, then
    everything."""
    face, number = font(size), f"{count:,}"
    name = one_line(name)
    whole = f"{id}  {name}  {number}" if name else f"{id}  {number}"
    if face.getlength(whole) <= width:
        return whole
    around = face.getlength(f"{id}    {number}")
    cut = fit_text(name, face, width - around) if name else ""
    if len(cut) > 3 and around < width:
        return f"{id}  {cut}  {number}"
    short = f"{id}  {number}"
    return short if face.getlength(short) <= width else number if face.getlength(number) <= width else ""


def mosaic(rect: Rect, most: int) -> list[Rect]:
    """Return up to ``most`` tiles of one size in whole pixels that cover most of ``rect``, none longer than
    1.4 times its width."""
    best: tuple[float, int, int, int, int] | None = None
    for across in range(1, most + 1):
        for down in range(1, most // across + 1):
            wide, high = int(min(rect.width / across, _MOST_TILE)), int(min(rect.height / down, _MOST_TILE))
            wide, high = min(wide, int(1.4 * high)), min(high, int(1.4 * wide))
            if min(wide, high) < _LEAST_TILE:
                continue
            # a little is given for larger pictures: four times as many of half the size show hardly more
            worth = across * down * wide * high * min(wide, high) ** 0.25
            if best is None or worth > best[0]:
                best = worth, across, down, wide, high
    if best is None:
        return []
    _, across, down, wide, high = best
    left, top = int(rect.x + (rect.width - across * wide) / 2), int(rect.y + (rect.height - down * high) / 2)
    return [
        Rect(left + column * wide, top + row * high, wide - 1, high - 1)
        for row in range(down)
        for column in range(across)
    ]


def _draw_branch(drawing: Drawing, box: Box) -> None:
    colour = colour_of(box)
    fill = colour if box.node.depth == 1 else _tint(colour, 0.55)
    drawing.marks.append(Area(box.rect, fill, _note(box)))
    if box.header:
        size = 14 if box.node.depth == 1 else 11
        strip = Rect(box.rect.x, box.rect.y, box.rect.width, box.header)
        words = label(box.node.id, box.node.name, box.count, size, strip.width - 2 * _PAD)
        if words:
            _write(drawing, words, strip, size, fill)


def _draw_whole(drawing: Drawing, box: Box, members: Callable[[Box, int], Sequence[str]]) -> None:
    rect = box.rect
    fill = colour_of(box) if box.node.depth == 1 else _tint(colour_of(box), 0.3)
    drawing.marks.append(Area(rect, fill, _note(box)))
    size = max(_LEAST_TEXT, min(13, int(rect.width / 11), int(rect.height / 4)))
    strip = Rect(rect.x, rect.y, rect.width, min(rect.height, size + 7.0))
    words = (
        label(box.node.id, box.node.name, box.count, size, rect.width - 2 * _PAD)
        if rect.height >= size + 2
        else ""
    )
    body = rect.inset(1.0, strip.height if words else 0.0)
    if words and body.height < _LEAST_TILE <= rect.height - 2:  # low: the pictures go next to the name
        taken = font(size).getlength(words) + 3 * _PAD
        strip = Rect(rect.x, rect.y, rect.width, rect.height)
        body = Rect(rect.x + taken, rect.y, max(0.0, rect.width - taken), rect.height).inset(1.0)
    if words:
        _write(drawing, words, strip, size, fill)
    tiles = mosaic(body, _MOST_TILES)
    shown = members(box, len(tiles)) if tiles else ()
    if len(shown) < len(tiles):
        tiles = mosaic(body, max(1, len(shown)))
    drawing.marks.extend(Picture(image, tile) for image, tile in zip(shown, tiles, strict=False))


def _write(drawing: Drawing, words: str, strip: Rect, size: int, background: Colour) -> None:
    room = strip.width - 2 * _PAD
    drawing.marks.append(
        Text(words, strip.x + _PAD, strip.y + strip.height / 2, size, ink_on(background), room)
    )


def ink_on(background: Colour) -> Colour:
    """Return black or white, whichever has more contrast by WCAG's relative luminance."""
    red, green, blue = (
        (c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in background
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return INK if (luminance + 0.05) / 0.06 > 1.05 / (luminance + 0.05) else PAPER


def _note(box: Box) -> str:
    images = counted(box.count, "image")
    return f"{box.node.id}  {box.node.name}: {images}" if box.node.name else f"{box.node.id}: {images}"


def _tint(colour: Colour, share: float) -> Colour:
    """Mix the colour with white."""
    red, green, blue = (round(255 - (255 - c) * share) for c in colour)
    return red, green, blue


@cache
def font(size: int) -> _Font:
    """Return the font that everything is measured with, and that PNG files are drawn with."""
    return ImageFont.load_default(size)
