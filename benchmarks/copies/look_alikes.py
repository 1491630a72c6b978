"""Whether what ``vitrine duplicates delete`` removes by default is ever another picture: pairs made with
truth, in two halves.

Look-alikes are drawings that differ in one place (look_alike_drawings.py), and photos: hue-turned, grey,
of a burst, with a small thing added. Genuine copies are the same pictures saved again and resized. The
halves share no words, fonts or photos: thresholds were chosen on ``tune``, figures are of ``judge``. Each
pair is judged as a search judges a proposed one.

    VITRINE_PHOTOS=folder python -m benchmarks.copies.look_alikes --pairs 24000 --copies 6000 \
        --json look-alikes.json
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.copies.look_alike_drawings import DRAWINGS, Desk, words_of_half

VISIBLE = 24
"""Levels of 255 by which two pictures differ somewhere at the size of the smaller: less is held to be no
visible change."""
_LONGEST = 320
DELETED = ("identical", "resized")


@dataclass(frozen=True)
class Pair:
    """Two files. ``change``: how much they differ, in levels at the smaller size; 0 for a genuine copy."""

    kind: str
    family: str
    one: bytes
    other: bytes
    change: int


# Photos
# ------------------------------------------------------------------------------------------------------------


def photos_of(half: str, folder: Path | None) -> list[Path]:
    found = (
        sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        if folder
        else []
    )
    return [path for path in found if crc32(path.name.encode()) % 2 == (half == "judge")]


def _photo(chance: random.Random, photos: list[Path]) -> Image.Image:
    """A photo, or where there are none a scene of blurred blocks."""
    if photos:
        with Image.open(chance.choice(photos)) as opened:
            opened.draft("RGB", (_LONGEST, _LONGEST))
            image = opened.convert("RGB")
        image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
        return image
    drawn, size = (
        np.random.default_rng(chance.randrange(10**9)),
        (chance.randint(160, _LONGEST), chance.randint(160, _LONGEST)),
    )
    canvas = np.full((size[1], size[0], 3), 128, np.float32)
    for cells, weight in ((3, 0.7), (9, 0.4), (30, 0.25), (90, 0.15)):
        coarse = Image.fromarray(drawn.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        canvas += (np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.float32) - 128) * weight
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def _hue(image: Image.Image, chance: random.Random) -> Image.Image:
    planes = list(image.convert("HSV").split())
    turn = chance.choice((-1, 1)) * chance.randint(6, 60)
    planes[0] = planes[0].point([(level + turn) % 256 for level in range(256)])
    return Image.merge("HSV", planes).convert("RGB")


def _grey(image: Image.Image, chance: random.Random) -> Image.Image:
    return image.convert("L").convert("RGB")


def _burst(image: Image.Image, chance: random.Random) -> Image.Image:
    """The camera and a part of the scene have moved a little, under new noise."""
    angle, shift = chance.uniform(-0.8, 0.8), (chance.uniform(-3, 3), chance.uniform(-3, 3))
    moved = image.rotate(angle, Image.Resampling.BICUBIC, translate=shift, fillcolor=None)  # type: ignore[arg-type]
    wide, high = image.size
    x, y = chance.randrange(wide // 2), chance.randrange(high // 2)
    part = moved.crop((x, y, x + wide // 4, y + high // 4))
    moved.paste(part, (x + chance.randint(1, 4), y + chance.randint(-2, 2)))
    return moved


def _exposed(image: Image.Image, chance: random.Random) -> Image.Image:
    """A still scene, with the noise of one exposure."""
    drawn = np.random.default_rng(chance.randrange(10**9))
    noise = drawn.normal(0, chance.uniform(4, 9), (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def _thing_added(image: Image.Image, chance: random.Random) -> Image.Image:
    marked, size = image.copy(), chance.randint(4, 24)
    x, y = chance.randrange(image.width - size), chance.randrange(image.height - size)
    colour = tuple(chance.randint(0, 255) for _ in range(3))
    draw = ImageDraw.Draw(marked)
    chance.choice((draw.ellipse, draw.rectangle))((x, y, x + size, y + size), colour)
    return marked


def _thing_gone(image: Image.Image, chance: random.Random) -> Image.Image:
    """A place is covered by what is beside it."""
    marked, size = image.copy(), chance.randint(6, 40)
    x, y = chance.randrange(image.width - 2 * size), chance.randrange(image.height - size)
    marked.paste(image.crop((x + size, y, x + 2 * size, y + size)), (x, y))
    return marked


def _patch_lit(image: Image.Image, chance: random.Random) -> Image.Image:
    """A soft spot is lighter or darker."""
    mask, size = Image.new("L", image.size, 0), chance.randint(20, 120)
    x, y = chance.randrange(image.width), chance.randrange(image.height)
    ImageDraw.Draw(mask).ellipse((x - size, y - size, x + size, y + size), 255)
    factor = chance.choice((0.6, 0.7, 1.35, 1.6))
    lit = image.point([min(255, int(level * factor)) for level in range(256)] * 3)
    return Image.composite(lit, image, mask.filter(ImageFilter.GaussianBlur(size / 4)))


def _stamped(image: Image.Image, chance: random.Random) -> Image.Image:
    """A line of small words or a date in the corner."""
    marked = image.copy()
    text = f"{chance.randint(1990, 2026)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    ImageDraw.Draw(marked).text((8, image.height - 18), text, chance.choice(("white", "orange", "black")))
    return marked


PHOTO_CHANGES: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    "hue turned": _hue,
    "grey and colour": _grey,
    "bursts": _burst,
    "another exposure": _exposed,
    "thing added": _thing_added,
    "thing gone": _thing_gone,
    "spot lit": _patch_lit,
    "date stamped": _stamped,
}


# Files
# ------------------------------------------------------------------------------------------------------------


def _saved(image: Image.Image, format: str, quality: int = 90, **more: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, quality=quality, compress_level=1, **more)
    return buffer.getvalue()


def _scaled(image: Image.Image, factor: float, how: Image.Resampling) -> Image.Image:
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))), how)


def _twice(image: Image.Image) -> bytes:
    return _saved(Image.open(io.BytesIO(_saved(image, "JPEG", 80))).convert("RGB"), "JPEG", 70)


_HOW = Image.Resampling
COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": lambda image: _saved(image, "PNG"),
    "JPEG 95": lambda image: _saved(image, "JPEG", 95, subsampling=0),
    "JPEG 85": lambda image: _saved(image, "JPEG", 85),
    "JPEG 70": lambda image: _saved(image, "JPEG", 70, progressive=True),
    "JPEG 50": lambda image: _saved(image, "JPEG", 50),
    "JPEG twice": _twice,
    "WebP 80": lambda image: _saved(image, "WEBP", 80),
    "AVIF 70": lambda image: _saved(image, "AVIF", 70, speed=9),
    "0.8 Lanczos": lambda image: _saved(_scaled(image, 0.8, _HOW.LANCZOS), "PNG"),
    "0.7 bicubic, JPEG 85": lambda image: _saved(_scaled(image, 0.7, _HOW.BICUBIC), "JPEG", 85),
    "half, bicubic": lambda image: _saved(_scaled(image, 0.5, _HOW.BICUBIC), "PNG"),
    "half, bilinear, JPEG 90": lambda image: _saved(_scaled(image, 0.5, _HOW.BILINEAR), "JPEG", 90),
    "half, box, WebP 85": lambda image: _saved(_scaled(image, 0.5, _HOW.BOX), "WEBP", 85),
    "a third, Lanczos, JPEG 90": lambda image: _saved(_scaled(image, 1 / 3, _HOW.LANCZOS), "JPEG", 90),
    "1.5, bicubic": lambda image: _saved(_scaled(image, 1.5, _HOW.BICUBIC), "PNG"),
    "sharpened a little": lambda image: _saved(image.filter(ImageFilter.UnsharpMask(1, 40, 0)), "JPEG", 90),
}
_BELOW_HALF = "a third, Lanczos, JPEG 90"
_AS_OTHER = (
    "PNG",
    "PNG",
    "JPEG 95",
    "JPEG 85",
    "JPEG 70",
    "JPEG 50",
    "WebP 80",
    "half, bicubic",
    "0.7 bicubic, JPEG 85",
    "0.8 Lanczos",
)
"""How the other of two look-alikes is saved."""


def look_alikes(half: str, numbers: range, photos: list[Path], fonts: list[Path]) -> Iterator[Pair]:
    kinds = [*DRAWINGS, *PHOTO_CHANGES]
    for number in numbers:
        kind, seed = kinds[number % len(kinds)], f"{half} {number}"
        chance = random.Random(seed)
        if kind in DRAWINGS:
            one, other = (_drawn(kind, seed, half, fonts, other=which) for which in (False, True))
        else:
            one = _photo(chance, photos)
            other = PHOTO_CHANGES[kind](one, chance)
            one = _exposed(one, chance) if kind == "another exposure" else one
        files = _saved(one, "PNG"), COPIES[chance.choice(_AS_OTHER)](other)
        files = files if chance.random() < 0.7 else (COPIES[chance.choice(_AS_OTHER)](one), files[1])
        yield Pair(
            kind, "photos" if kind in PHOTO_CHANGES else "drawings", *files, change=_change(one, other, files)
        )


def copies(half: str, count: int, photos: list[Path], fonts: list[Path]) -> Iterator[Pair]:
    drawings = [kind for kind in DRAWINGS if kind not in ("blank scans",)]
    for number in range(count):
        seed = f"{half} copy {number}"
        chance, how = random.Random(seed), list(COPIES)[number // 2 % len(COPIES)]
        family = "photos" if number % 2 else "documents"
        image = (
            _photo(chance, photos)
            if number % 2
            else _drawn(chance.choice(drawings), seed, half, fonts, other=False)
        )
        first = _saved(image, "PNG" if chance.random() < 0.5 else "JPEG", 92)
        yield Pair(how, family, first, COPIES[how](Image.open(io.BytesIO(first)).convert("RGB")), 0)


def _drawn(kind: str, seed: str, half: str, fonts: list[Path], *, other: bool) -> Image.Image:
    return DRAWINGS[kind](Desk(random.Random(seed), other, tuple(fonts), words_of_half(half)))


def _change(one: Image.Image, other: Image.Image, files: tuple[bytes, bytes]) -> int:
    """The largest difference of the two before they were saved, at the smaller of the sizes they were saved
    at."""
    sizes = [Image.open(io.BytesIO(file)).size for file in files]
    size = min(sizes, key=lambda size: size[0] * size[1])
    first, second = (np.asarray(image.resize(size, Image.Resampling.BOX), np.int16) for image in (one, other))
    return int(np.abs(first - second).max())


# Judging
# ------------------------------------------------------------------------------------------------------------


def verdict(pair: Pair, *, glance: bool) -> str:
    """As a search for duplicates says of a pair that was proposed; ``glance``: only if it is worth more than
    a glance."""
    from vitrine.indexer.enrich.duplicates.candidates import Images
    from vitrine.indexer.enrich.duplicates.compare.comparison import Thresholds
    from vitrine.indexer.enrich.duplicates.compare.orb_prefilter import likely_turn
    from vitrine.indexer.enrich.duplicates.pair_cache import PairCache
    from vitrine.indexer.enrich.duplicates.pictures import Pictures
    from vitrine.services.images.budget import ImageLimits

    runtime: Any = SimpleNamespace(limits=ImageLimits(), budget=None, objects=None)
    pictures = Pictures(runtime, [], given={0: pair.one, 1: pair.other})
    if glance:
        first, second = (pictures.sketch(place, flips=False) for place in (0, 1))
        if first is None or second is None or likely_turn(first, second) is None:
            return "not found"
    judge = PairCache(
        Images((), np.empty(0, np.uint64), np.empty((0, 0), np.float32)), pictures, Thresholds()
    )
    if copy := judge.copy(0, 1):
        return copy.kind
    return judge.compare(0, 1).kind if glance else "kept"


def wilson(part: int, whole: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927).

    >>> [round(end, 3) for end in wilson(0, 100)]
    [0.0, 0.037]
    """
    if not whole:
        return 0.0, 1.0
    z, share = 1.96, part / whole
    middle, spread = (
        share + z * z / (2 * whole),
        z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole)),
    )
    return max(0.0, (middle - spread) / (1 + z * z / whole)), min(
        1.0, (middle + spread) / (1 + z * z / whole)
    )


def judge_look_alikes(pairs: Iterator[Pair]) -> dict[str, Any]:
    """By kind: how many, of which with a visible change, and which of both kinds would be deleted."""
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    errors: list[str] = []
    for pair in pairs:
        if pair.change == 0:
            continue
        said, visible = verdict(pair, glance=False), pair.change >= VISIBLE
        rows[pair.kind].update(["pairs", said, *(["visible"] if visible else [])])
        if said in DELETED:
            rows[pair.kind].update(["deleted, visible" if visible else "deleted, below"])
            errors.append(f"{pair.kind}, {pair.change} levels: {said}")
    return {"rows": {kind: dict(row) for kind, row in rows.items()}, "errors": errors}


def judge_copies(pairs: Iterator[Pair]) -> dict[str, Any]:
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        said = verdict(pair, glance=True)
        from_half = [f"{pair.family} from half size on"] if pair.kind != _BELOW_HALF else []
        found = ["found"] if said in (*DELETED, "edited") else []
        for row in (f"{pair.family}: {pair.kind}", pair.family, *from_half):
            rows[row].update(["pairs", *found, *(["deletable"] if said in DELETED else [])])
    return {kind: dict(row) for kind, row in rows.items()}


def show(result: dict[str, Any]) -> None:
    rows, columns = result["look-alikes"]["rows"], ("pairs", "visible", "deleted, visible", "deleted, below")
    for kind, row in rows.items():
        print(f"{kind:22}" + "  ".join(f"{name} {row.get(name, 0):<5}" for name in columns))
    visible, wrong = (sum(row.get(name, 0) for row in rows.values()) for name in columns[1:3])
    print(f"deleted of {visible} with a visible change: {wrong}, at most {wilson(wrong, visible)[1]:.5f}")
    print(*result["look-alikes"]["errors"], sep="\n")
    for kind, row in result["copies"].items():
        shares = []
        for name in ("found", "deletable"):
            low, high = wilson(row.get(name, 0), row["pairs"])
            shares.append(f"{name} {row.get(name, 0) / row['pairs']:.3f} [{low:.3f}, {high:.3f}]")
        print(f"{kind:45} pairs {row['pairs']:<6}" + "  ".join(shares))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", choices=("tune", "judge"), default="judge")
    parser.add_argument("--pairs", type=int, default=2_900)
    parser.add_argument(
        "--first", type=int, default=0, help="the number of the first pair, to judge them in parts"
    )
    parser.add_argument("--copies", type=int, default=1_600)
    parser.add_argument(
        "--photos", type=Path, default=os.environ.get("VITRINE_PHOTOS"), help="a folder of JPEG photos"
    )
    parser.add_argument("--fonts", type=Path, help="a folder of TrueType fonts; without it Pillow's own")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    photos = photos_of(given.half, given.photos)
    fonts = sorted(given.fonts.glob("*.ttf"))[given.half == "judge" :: 2] if given.fonts else []
    result = {
        "look-alikes": judge_look_alikes(
            look_alikes(given.half, range(given.first, given.first + given.pairs), photos, fonts)
        ),
        "copies": judge_copies(copies(given.half, given.copies, photos, fonts)),
    }
    show(result)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
