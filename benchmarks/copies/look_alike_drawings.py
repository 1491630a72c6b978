"""Pairs of drawings that differ in one place: the same form with another number, a dialog, an icon, a map,
for benchmarks/copies/look_alikes.py.

Each drawing takes a ``Desk`` with its own chance, and draws the same with ``other`` but for one thing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_WORDS = (
    *(
        "parcel",
        "total",
        "date",
        "order",
        "ship",
        "customer",
        "number",
        "amount",
        "due",
        "paid",
        "street",
        "item",
        "count",
    ),
    *(
        "price",
        "each",
        "sum",
        "tax",
        "net",
        "gross",
        "note",
        "page",
        "copy",
        "wire",
        "lamp",
        "brush",
        "copper",
        "valve",
    ),
    *(
        "winter",
        "harbour",
        "signal",
        "ledger",
        "basket",
        "garden",
        "window",
        "silver",
        "paper",
        "anchor",
        "ticket",
        "engine",
    ),
    *(
        "barrel",
        "north",
        "chapter",
        "figure",
        "result",
        "method",
        "sample",
        "series",
        "mean",
        "error",
        "table",
        "value",
    ),
)
_SYMBOLS = ("!=", "==", "<=", ">=", "+=", "-=", "&&", "||")
_INKS = ("black", (30, 30, 60), (60, 20, 20), (0, 60, 30))
_GROUNDS = ("white", "white", (252, 250, 244), (240, 244, 250))


@dataclass(frozen=True)
class Desk:
    """What is drawn with. ``other``: the second of the pair. Fonts and words are those of one half."""

    chance: random.Random
    other: bool
    fonts: tuple[Path, ...]
    words: tuple[str, ...]

    def font(self, low: int = 11, high: int = 24) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        size = self.chance.randint(low, high)
        return _font(self.chance.choice(self.fonts) if self.fonts else None, size)

    def words_of(self, count: int) -> str:
        return " ".join(self.chance.choice(self.words) for _ in range(count))

    def number(self, digits: int = 5) -> tuple[str, str]:
        """Two numbers that differ in one digit."""
        text = "".join(self.chance.choice("0123456789") for _ in range(digits))
        place = self.chance.randrange(digits)
        digit = self.chance.choice([each for each in "0123456789" if each != text[place]])
        return text, text[:place] + digit + text[place + 1 :]

    def one_of(self, both: tuple[str, str]) -> str:
        return both[self.other]

    def sheet(
        self, low: int = 220, high: int = 440, tall: float = 1.3
    ) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        width = self.chance.randint(low, high)
        image = Image.new("RGB", (width, int(width * tall)), self.chance.choice(_GROUNDS))
        return image, ImageDraw.Draw(image)

    def ink(self) -> str | tuple[int, int, int]:
        return self.chance.choice(_INKS)

    def colour(self) -> tuple[int, int, int]:
        return tuple(self.chance.randint(20, 235) for _ in range(3))  # type: ignore[return-value]


@cache
def _font(path: Path | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size) if path is None else ImageFont.truetype(str(path), size)


def words_of_half(half: str) -> tuple[str, ...]:
    return tuple(_WORDS[half == "judge" :: 2])


# Pages
# ------------------------------------------------------------------------------------------------------------


def _lines(
    desk: Desk, pen: ImageDraw.ImageDraw, size: tuple[int, int], top: int
) -> list[tuple[int, int, str]]:
    """Lines of words down a sheet; where each begins, and what it says."""
    font, ink, step = desk.font(9, 16), desk.ink(), desk.chance.randint(18, 26)
    lines = [(20, y, desk.words_of(max(2, size[0] // 70))) for y in range(top, size[1] - 30, step)]
    for x, y, text in lines:
        pen.text((x, y), text, ink, font)
    return lines


def form(desk: Desk) -> Image.Image:
    image, pen = desk.sheet()
    pen.text((20, 16), desk.words_of(2).upper(), desk.ink(), desk.font(18, 30))
    pen.line((20, 60, image.width - 20, 60), "black", 2)
    pen.text((image.width // 2, 66), "No " + desk.one_of(desk.number()), desk.ink(), desk.font(11, 24))
    _lines(desk, pen, image.size, 100)
    return image


def filled_field(desk: Desk) -> Image.Image:
    image, pen = desk.sheet()
    font, ink = desk.font(10, 16), desk.ink()
    rows = desk.chance.randint(6, 12)
    changed, values = (
        desk.chance.randrange(rows),
        (desk.words_of(1), desk.words_of(1) + " " + desk.chance.choice("abcdefgh")),
    )
    for row in range(rows):
        y = 40 + row * (image.height - 60) // rows
        pen.text((16, y), desk.words_of(1) + ":", ink, font)
        pen.rectangle((image.width // 3, y - 2, image.width - 16, y + 20), outline="grey")
        text = desk.words_of(2)
        pen.text((image.width // 3 + 6, y), desk.one_of(values) if row == changed else text, ink, font)
    return image


def ticked(desk: Desk) -> Image.Image:
    image, pen = desk.sheet(220, 420, 1.0)
    font, ink, rows = desk.font(10, 15), desk.ink(), desk.chance.randint(5, 9)
    changed = desk.chance.randrange(rows)
    for row in range(rows):
        y, tick = 16 + row * (image.height - 30) // rows, desk.chance.random() < 0.4
        pen.rectangle((14, y, 26, y + 12), outline=ink)
        if tick != (row == changed and desk.other):
            pen.line((16, y + 6, 19, y + 10, 25, y + 2), ink, 2)
        pen.text((36, y - 2), desk.words_of(3), ink, font)
    return image


def page(desk: Desk) -> Image.Image:
    """A word is another one."""
    image, pen = desk.sheet()
    font, ink, step = desk.font(9, 16), desk.ink(), desk.chance.randint(18, 26)
    rows = range(20, image.height - 30, step)
    changed, words = desk.chance.choice(rows), desk.chance.sample(desk.words, 2)
    for y in rows:
        x = 20.0
        for place in range(max(2, image.width // 80)):
            word = words[desk.other] if y == changed and place == 1 else desk.words_of(1)
            pen.text((x, y), word, ink, font)
            x += 60 if y == changed and place == 1 else pen.textlength(word + " ", font)
    return image


def character(desk: Desk) -> Image.Image:
    """One character of a page is another one of the same width, or a full stop a comma."""
    image, pen = desk.sheet()
    lines, font, ink = _lines(desk, pen, image.size, 20), desk.font(9, 18), desk.ink()
    x, y, _ = desk.chance.choice(lines)
    pairs = [
        ("e", "c"),
        ("o", "c"),
        ("3", "8"),
        ("1", "7"),
        ("I", "l"),
        (".", ","),
        ("n", "u"),
        ("6", "0"),
        ("-", "+"),
        ("a", "s"),
    ]
    pen.rectangle((x, y, x + 60, y + 16), image.getpixel((2, 2)))
    pen.text((x, y - 2), desk.words_of(1)[:4] + desk.one_of(desk.chance.choice(pairs)), ink, font)
    return image


def receipt(desk: Desk) -> Image.Image:
    image, pen = desk.sheet(180, 280, 2.0)
    font, rows = desk.font(10, 14), desk.chance.randint(8, 16)
    changed = desk.chance.randrange(rows)
    for row in range(rows):
        y, both = 20 + row * (image.height - 40) // rows, desk.number(3)
        price = desk.one_of(both) if row == changed else both[0]
        pen.text((12, y), desk.words_of(1), "black", font)
        pen.text((image.width - 60, y), f"{price[0]}.{price[1:]}", "black", font)
    return image


def table(desk: Desk) -> Image.Image:
    image, pen = desk.sheet(260, 480, 0.7)
    columns, rows, font = desk.chance.randint(3, 6), desk.chance.randint(5, 12), desk.font(9, 13)
    changed = desk.chance.randrange(rows), desk.chance.randrange(columns)
    across, down = (image.width - 20) // columns, (image.height - 20) // rows
    shaded = desk.chance.random() < 0.5
    for row in range(rows):
        if shaded and row % 2:
            pen.rectangle(
                (10, 10 + row * down, 10 + columns * across, 10 + (row + 1) * down), (235, 240, 248)
            )
        for column in range(columns):
            x, y, both = 10 + column * across, 10 + row * down, desk.number(desk.chance.randint(1, 5))
            pen.rectangle((x, y, x + across, y + down), outline="lightgrey")
            pen.text(
                (x + 4, y + 2), desk.one_of(both) if (row, column) == changed else both[0], "black", font
            )
    return image


def code(desk: Desk) -> Image.Image:
    dark = desk.chance.random() < 0.5
    image = Image.new(
        "RGB",
        (desk.chance.randint(300, 480), desk.chance.randint(160, 320)),
        (30, 32, 40) if dark else "white",
    )
    pen, font, rows = ImageDraw.Draw(image), desk.font(10, 14), range(10, image.height - 20, 19)
    changed, symbols = desk.chance.choice(rows), desk.chance.sample(_SYMBOLS, 2)
    for y in rows:
        x, inks = 12 + 16 * desk.chance.randint(0, 3), [desk.colour() for _ in range(3)]
        inks = [
            tuple(min(255, c + 90) for c in ink) if dark else tuple(c * 2 // 3 for c in ink) for ink in inks
        ]
        pen.text((x, y), f"if {desk.words_of(1)}", inks[0], font)
        pen.text((x + 120, y), symbols[desk.other and y == changed], inks[1], font)
        pen.text((x + 150, y), f"{desk.words_of(1)}({desk.chance.randint(0, 99)}):", inks[2], font)
    return image


def dialog(desk: Desk) -> Image.Image:
    """A window on a coloured desktop; a word, a button or a bar of it is another."""
    image = Image.new("RGB", (desk.chance.randint(300, 460), desk.chance.randint(200, 300)), desk.colour())
    pen, font = ImageDraw.Draw(image), desk.font(10, 15)
    left, top, right, bottom = 40, 30, image.width - 40, image.height - 30
    pen.rectangle((left, top, right, bottom), (244, 244, 246), outline="grey")
    pen.rectangle((left, top, right, top + 24), desk.colour())
    what, both = desk.chance.randrange(4), (desk.words_of(1), desk.words_of(2))
    pen.text((left + 8, top + 4), desk.words_of(2), "white", font)
    pen.text((left + 20, top + 50), desk.one_of(both) if what == 0 else both[0], "black", font)
    pen.text(
        (left + 20, top + 76),
        f"{desk.words_of(2)} {desk.one_of(desk.number(3)) if what == 1 else 214}",
        "black",
        font,
    )
    for place, word in enumerate(("OK", "Cancel")):
        x, pressed = right - 170 + 82 * place, what == 2 and desk.other == bool(place)
        pen.rectangle(
            (x, bottom - 40, x + 72, bottom - 14),
            (205, 215, 240) if pressed else (226, 226, 230),
            outline="grey",
        )
        pen.text((x + 12, bottom - 36), word, "black", font)
    done = desk.chance.uniform(0.2, 0.6) + (0.2 if what == 3 and desk.other else 0)
    pen.rectangle(
        (left + 20, bottom - 60, left + 20 + done * (right - left - 40), bottom - 50), (40, 120, 220)
    )
    return image


def blank(desk: Desk) -> Image.Image:
    """Scanned pages with nothing but their number."""
    image, pen = desk.sheet(260, 520, 1.3)
    noise = np.random.default_rng(desk.chance.randrange(10**6) + desk.other).normal(
        0, 2.5, (image.height, image.width, 1)
    )
    pen.text(
        (image.width // 2, image.height - 40),
        desk.one_of(desk.number(desk.chance.randint(1, 3))),
        "black",
        desk.font(10, 16),
    )
    return Image.fromarray(np.clip(np.asarray(image) - 6 + noise, 0, 255).astype(np.uint8))


def music(desk: Desk) -> Image.Image:
    image, pen = desk.sheet(320, 560, 0.8)
    staves = range(40, image.height - 60, 70)
    changed = desk.chance.choice(staves)
    for top in staves:
        for line in range(5):
            pen.line((16, top + 7 * line, image.width - 16, top + 7 * line), "black")
        for x in range(40, image.width - 30, 28):
            step = desk.chance.randint(-1, 8) + (
                desk.other and top == changed and x == 40
            ) * desk.chance.choice((-2, 2))
            y = top + 3.5 * step
            pen.ellipse((x, y - 3, x + 9, y + 4), "black")
            pen.line((x + 9, y, x + 9, y - 22), "black")
    return image


# Marks, charts, icons
# --------------------------------------------------------------------------------------------------------


def squares(desk: Desk) -> Image.Image:
    """A square code; a few of its modules are others."""
    count, module = desk.chance.randint(21, 33), desk.chance.randint(4, 9)
    random_modules = np.random.default_rng(desk.chance.randrange(10**6))
    modules = random_modules.random((count, count)) < 0.5
    if desk.other:
        places = random_modules.integers(8, count, (desk.chance.randint(1, 40), 2))
        modules[places[:, 0], places[:, 1]] ^= True
    grey = np.pad(
        np.where(modules, 0, 255).astype(np.uint8).repeat(module, 0).repeat(module, 1),
        3 * module,
        constant_values=255,
    )
    return Image.fromarray(grey).convert("RGB")


def bars(desk: Desk) -> Image.Image:
    """A bar code with another digit."""
    image = Image.new("RGB", (desk.chance.randint(240, 420), 140), "white")
    pen, both, font = ImageDraw.Draw(image), desk.number(10), desk.font(11, 15)
    patterns = {digit: random.Random(f"bars {digit}").sample((1, 2, 3, 4, 1, 2), 6) for digit in "0123456789"}
    unit, x = image.width / 175, 10.0
    for digit in desk.one_of(both):
        for place, width in enumerate(patterns[digit]):
            if place % 2 == 0:
                pen.rectangle((x, 14, x + width * unit - 1, 100), "black")
            x += width * unit
    pen.text((20, 108), " ".join(desk.one_of(both)), "black", font)
    return image


def chart(desk: Desk) -> Image.Image:
    """One of its bars or points has another value."""
    image = Image.new("RGB", (desk.chance.randint(260, 420), desk.chance.randint(180, 280)), "white")
    pen, count, font = ImageDraw.Draw(image), desk.chance.randint(6, 14), desk.font(9, 12)
    base, step, ink = image.height - 30, (image.width - 60) / count, desk.colour()
    values = [desk.chance.uniform(0.1, 0.9) for _ in range(count)]
    place = desk.chance.randrange(count)
    values[place] += desk.other * (0.08 if values[place] < 0.5 else -0.08)
    pen.line((40, 10, 40, base, image.width - 10, base), "black", 2)
    points = [(50 + place * step, base - value * (base - 20)) for place, value in enumerate(values)]
    for number, (x, _) in enumerate(points):
        pen.text((x, base + 6), str(number), "black", font)
    if desk.chance.random() < 0.5:
        for x, y in points:
            pen.rectangle((x, y, x + step * 0.7, base), ink)
    else:
        pen.line(points, ink, 2)
    return image


def map_of(desk: Desk) -> Image.Image:
    """A road, a name or a mark on it is another."""
    image = Image.new("RGB", (desk.chance.randint(260, 420), desk.chance.randint(240, 360)), (240, 238, 228))
    pen, font = ImageDraw.Draw(image), desk.font(9, 13)

    def anywhere() -> tuple[int, int]:
        return desk.chance.randrange(20, image.width - 40), desk.chance.randrange(20, image.height - 30)

    for colour in ((196, 222, 180), (170, 208, 236)):
        pen.polygon([anywhere() for _ in range(5)], colour)
    for _ in range(12):
        pen.line([anywhere() for _ in range(3)], "white", desk.chance.randint(3, 7))
    for _ in range(8):
        pen.text(anywhere(), desk.words_of(1), "black", font)
    what, places, both = (
        desk.chance.randrange(3),
        (anywhere(), anywhere(), anywhere()),
        (desk.words_of(1), desk.words_of(2)),
    )
    if what == 0:
        pen.text(places[0], desk.one_of(both), (90, 20, 20), font)
    elif what == 1:
        pen.line((places[0], places[1 + desk.other]), (230, 150, 60), 3)
    elif desk.other:
        pen.ellipse((*places[0], places[0][0] + 9, places[0][1] + 9), (200, 30, 40))
    return image


def icon(desk: Desk) -> Image.Image:
    """A small thing on plain ground; a part of it is another."""
    side = desk.chance.choice((16, 24, 32, 48, 64, 96, 128))
    big = Image.new("RGB", (256, 256), desk.chance.choice(("white", "white", (245, 245, 245), (30, 30, 34))))
    pen, ink = ImageDraw.Draw(big), desk.colour()
    for _ in range(desk.chance.randint(1, 3)):
        _shape(desk, pen, ink)
    changed = random.Random(f"{desk.chance.random()} {desk.other}")
    x, y, size = desk.chance.randrange(60, 150), desk.chance.randrange(60, 150), desk.chance.randrange(36, 70)
    shape = changed.choice((pen.rectangle, pen.ellipse)) if desk.other else pen.ellipse
    shape((x, y, x + size + 24 * desk.other, y + size), desk.colour())
    return big.resize((side, side), Image.Resampling.LANCZOS)


def _shape(desk: Desk, pen: ImageDraw.ImageDraw, ink: tuple[int, int, int]) -> None:
    x, y, wide, high = (desk.chance.randrange(*span) for span in ((20, 110), (20, 110), (50, 120), (50, 120)))
    kind = desk.chance.randrange(4)
    if kind == 0:
        pen.rectangle((x, y, x + wide, y + high), ink)
    elif kind == 1:
        pen.ellipse((x, y, x + wide, y + high), ink)
    elif kind == 2:
        pen.polygon([(x, y), (x + wide, y), (x + wide // 2, y + high)], ink)
    else:
        pen.arc((x, y, x + wide, y + high), 20, 300, ink, 14)


def glyph(desk: Desk) -> Image.Image:
    """One letter on white, another one of the same font."""
    side = desk.chance.choice((24, 32, 48, 64, 96))
    image, both = (
        Image.new("RGB", (side, side), "white"),
        desk.chance.sample("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 2),
    )
    ImageDraw.Draw(image).text(
        (side // 5, 0), both[desk.other], desk.ink(), desk.font(side * 3 // 4, side * 3 // 4)
    )
    return image


def scribble(desk: Desk) -> Image.Image:
    """A signature with another last stroke."""
    image, pen = desk.sheet(200, 400, 0.5)
    ink, width = desk.ink(), desk.chance.randint(1, 3)
    points = [
        (desk.chance.randrange(10, image.width - 10), desk.chance.randrange(10, image.height - 10))
        for _ in range(14)
    ]
    last = [
        (desk.chance.randrange(10, image.width - 10), desk.chance.randrange(10, image.height - 10))
        for _ in range(2)
    ]
    pen.line(points, ink, width, joint="curve")
    pen.line((points[-1], last[desk.other]), ink, width)
    return image


def board(desk: Desk) -> Image.Image:
    """A chess board with one piece elsewhere."""
    cell = desk.chance.randint(22, 48)
    image = Image.new("RGB", (8 * cell, 8 * cell), (238, 220, 180))
    pen, places = ImageDraw.Draw(image), desk.chance.sample(range(64), 15)
    for place in range(64):
        if (place % 8 + place // 8) % 2:
            pen.rectangle(
                (*_at(place, cell), *(each + cell - 1 for each in _at(place, cell))), (170, 120, 80)
            )
    for number, place in enumerate([places[14 if desk.other else 0], *places[1:14]]):
        x, y = _at(place, cell)
        pen.ellipse(
            (x + cell // 4, y + cell // 4, x + 3 * cell // 4, y + 3 * cell // 4),
            "black" if number % 2 else "white",
        )
    return image


def _at(place: int, cell: int) -> tuple[int, int]:
    return place % 8 * cell, place // 8 * cell


def clock(desk: Desk) -> Image.Image:
    side = desk.chance.randint(80, 240)
    image = Image.new("RGB", (side, side), desk.colour())
    pen, middle, radius = ImageDraw.Draw(image), side / 2, side * 0.42
    pen.ellipse((side * 0.06, side * 0.06, side * 0.94, side * 0.94), "white", "black", 3)
    for minute in (
        desk.chance.randrange(60),
        desk.chance.randrange(60) + desk.other * desk.chance.randint(3, 20),
    ):
        angle = minute / 60 * 2 * np.pi
        pen.line(
            (middle, middle, middle + radius * np.sin(angle), middle - radius * np.cos(angle)), "black", 3
        )
        radius *= 0.7
    return image


def garment(desk: Desk) -> Image.Image:
    """A product in another colour."""
    side = desk.chance.randint(160, 400)
    image = Image.new("RGB", (side, side), "white")
    first, second = desk.colour(), desk.colour()
    if max(abs(a - b) for a, b in zip(first, second, strict=True)) < 30:
        second = (255 - first[0], first[1], 255 - first[2])
    outline = ((30, 0), (90, 0), (120, 30), (90, 45), (90, 120), (30, 120), (30, 45), (0, 30))
    points = [(side * (0.05 + x / 135), side * (0.05 + y / 135)) for x, y in outline]
    ImageDraw.Draw(image).polygon(points, second if desk.other else first, (40, 40, 40))
    shade = np.linspace(0.85, 1.1, side)[None, :, None]
    return Image.fromarray(np.clip(np.asarray(image) * shade, 0, 255).astype(np.uint8))


DRAWINGS: dict[str, Callable[[Desk], Image.Image]] = {
    "forms": form,
    "filled fields": filled_field,
    "ticked boxes": ticked,
    "pages, a word": page,
    "pages, a character": character,
    "receipts": receipt,
    "tables": table,
    "code": code,
    "dialogs": dialog,
    "blank scans": blank,
    "music": music,
    "square codes": squares,
    "bar codes": bars,
    "charts": chart,
    "maps": map_of,
    "icons": icon,
    "glyphs": glyph,
    "signatures": scribble,
    "chess boards": board,
    "clocks": clock,
    "colourways": garment,
}
