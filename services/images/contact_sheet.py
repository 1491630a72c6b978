"""A contact sheet: many pictures with their captions on one page, to judge a search at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from vitrine.services.errors import BadRequest, ImageRefused
from vitrine.services.files import SHEETS, check_ending, writing
from vitrine.services.images.open import ImageLimits, thumbnail

MAX_SIDE = 32_000
"""Pixels of the page. Larger ones can be written, but few viewers open them."""
_MARGIN = 28
_GAP = 20
_PAPER = (255, 255, 255)
_MOUNT = (247, 247, 248)
_FRAME = (222, 222, 226)
_ACCENT = (37, 99, 235)
_INK = (24, 24, 27)
_FAINT = (113, 113, 122)
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet: a Pillow image, the bytes of an image file, or None where it is missing.

    The first caption line is set darker than the others. A highlighted tile has a coloured frame: the query
    picture.
    """

    image: bytes | Image.Image | None
    captions: tuple[str, ...] = ()
    highlighted: bool = False


def contact_sheet(
    tiles: Sequence[Tile], *, columns: int = 5, tile_size: int = 220, title: str = ""
) -> Image.Image:
    """Draw tiles in reading order on white, each picture whole within ``tile_size`` pixels square; captions
    are cut with an ellipsis.

    A picture that is missing or does not decode is drawn as an empty mount that says so. ``ValueError`` if
    ``columns`` or ``tile_size`` is below 1, or the page would be over 32,000 pixels wide or high.
    """
    if columns < 1 or tile_size < 1:
        raise ValueError(f"A sheet needs at least one column and one pixel, not {columns} and {tile_size}.")
    page = _Page(columns, tile_size, max((len(tile.captions) for tile in tiles), default=0), title)
    width, height = page.size(len(tiles))
    if max(width, height) > MAX_SIDE:
        raise ValueError(
            f"The sheet would be {width} x {height} pixels: show fewer or smaller tiles, or other columns."
        )
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text(
            (_MARGIN, _MARGIN), fit_text(title, page.title_font, width - 2 * _MARGIN), _INK, page.title_font
        )
    for number, tile in enumerate(tiles):
        _draw_tile(sheet, draw, tile, page, page.corner(number))
    return sheet


def write_sheet(
    path: Path, tiles: Sequence[Tile], *, columns: int = 5, tile_size: int = 220, title: str = ""
) -> None:
    """Write a contact sheet to a file, whose folder is made. ``BadRequest`` for an ending that is not one of
    SHEETS, a page that would be too large, or a file that cannot be written."""
    check_ending(path, "a sheet", SHEETS)
    try:
        sheet = contact_sheet(tiles, columns=columns, tile_size=tile_size, title=title)
    except ValueError as error:
        raise BadRequest(str(error)) from error
    with writing(path):
        sheet.save(path)


def png_bytes(sheet: Image.Image) -> bytes:
    """Return the sheet as a PNG file."""
    buffer = BytesIO()
    sheet.save(buffer, "PNG", optimize=False)
    return buffer.getvalue()


def one_line(text: str) -> str:
    """Return ``text`` with spaces for line breaks and whatever else cannot be drawn.

    >>> one_line("red\\nmug")
    'red mug'
    """
    return "".join(character if character.isprintable() else " " for character in text)


def fit_text(text: str, font: _Font, width: float) -> str:
    """Return ``text`` on one line, cut with an ellipsis so that it is at most ``width`` pixels wide."""
    text = one_line(text)
    if font.getlength(text) <= width:
        return text
    shortest, longest = 0, len(text)
    while shortest < longest:  # the most characters that fit, by halving
        middle = (shortest + longest + 1) // 2
        fits = font.getlength(text[:middle].rstrip() + "…") <= width
        shortest, longest = (middle, longest) if fits else (shortest, middle - 1)
    return text[:shortest].rstrip() + "…"


class _Page:
    """Where everything goes."""

    def __init__(self, columns: int, tile_size: int, lines: int, title: str) -> None:
        letters = min(18, max(11, tile_size // 15))
        self.columns = columns
        self.tile_size = tile_size
        self.font = ImageFont.load_default(letters)
        self.title_font = ImageFont.load_default(letters + 7)
        self.line_height = round(letters * 1.4)
        self.caption_height = lines * self.line_height + (8 if lines else 0)
        self.top = _MARGIN + (letters + 7 + 20 if title else 0)

    def size(self, tiles: int) -> tuple[int, int]:
        across, down = max(1, min(self.columns, tiles)), ceil(tiles / self.columns)
        width = 2 * _MARGIN + across * (self.tile_size + _GAP) - _GAP
        height = (
            self.top + down * (self.tile_size + self.caption_height + _GAP) - (_GAP if down else 0) + _MARGIN
        )
        return width, height

    def corner(self, number: int) -> tuple[int, int]:
        row, column = divmod(number, self.columns)
        return (
            _MARGIN + column * (self.tile_size + _GAP),
            self.top + row * (self.tile_size + self.caption_height + _GAP),
        )


def _draw_tile(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, page: _Page, corner: tuple[int, int]
) -> None:
    left, top = corner
    side = page.tile_size
    draw.rectangle((left, top, left + side - 1, top + side - 1), fill=_MOUNT)
    picture = _picture(tile.image, side)
    if picture is None:
        words = fit_text("no picture", page.font, side - 8)
        draw.text(
            (left + (side - page.font.getlength(words)) / 2, top + side / 2 - page.line_height / 2),
            words,
            _FAINT,
            page.font,
        )
    else:
        sheet.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
    if tile.highlighted:  # outside the picture, so that nothing of it is covered
        draw.rectangle((left - 4, top - 4, left + side + 3, top + side + 3), outline=_ACCENT, width=4)
    else:
        draw.rectangle((left, top, left + side - 1, top + side - 1), outline=_FRAME)
    for number, line in enumerate(tile.captions):
        ink = _ACCENT if tile.highlighted and number == 0 else _INK if number == 0 else _FAINT
        draw.text(
            (left, top + side + 8 + number * page.line_height),
            fit_text(line, page.font, side),
            ink,
            page.font,
        )


def _picture(source: bytes | Image.Image | None, side: int) -> Image.Image | None:
    """Return the picture as RGB, upright, scaled to fit the square; None if it is missing or refused."""
    try:
        image = (
            Image.open(BytesIO(thumbnail(source, side, limits=ImageLimits())[0]))
            if isinstance(source, bytes)
            else source
        )
    except ImageRefused:
        return None
    return (
        None
        if image is None
        else ImageOps.contain(image.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
    )
