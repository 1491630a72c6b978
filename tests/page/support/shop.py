"""The data behind the page's tests: a small shop with all that the pages show, and a few cards."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image

import vitrine
from vitrine.data.catalogue import draw_catalogue

PICTURES = 48
TAGGERS = ("brown", "green", "large")
SHAPES = ((192, 192), (192, 128), (128, 192), (192, 108))
"""Sizes that pictures without a copy are cut to, in turn."""


def make_shop(folder: Path) -> Path:
    """Make a data folder with the categories ``shop`` and ``cards``; returns the folder.

    ``shop`` has 48 drawn pictures in four shapes with class, tags, captions, quality, scores and the columns
    ``price``, ``year`` and ``design``; the cluster run ``look``, the map ``plane``, taggers for ``TAGGERS``
    with their scores, and the groups of copies. Its encoder reads texts. ``cards`` has three plain pictures.
    """
    manifest = _shop_manifest(folder / "pictures")
    with vitrine.open(folder / "data", encoder="demo", offline=True, progress=False) as library:
        shop = library.create("shop", description="Drawn things")
        shop.add(manifest)
        shop.cluster("look", vitrine.ClusterOptions(branching=4, leaf_size=6))
        shop.make_map("plane", vitrine.MapOptions(method="pca"))
        shop.train_taggers(TAGGERS)
        shop.score()
        shop.find_duplicates()
        cards = library.create("cards", encoder="colour", description="Coloured cards")
        cards.add([Image.new("RGB", (64, 48), colour) for colour in ("red", "gold", "navy")])
    return folder / "data"


def _shop_manifest(folder: Path) -> Path:
    """Draw the catalogue, cut the pictures that have no copies, and add two columns of numbers."""
    drawn = draw_catalogue(folder, count=PICTURES)
    with drawn.manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    originals = {row["duplicate_of"] for row in rows}
    for number, row in enumerate(rows):
        row["price"] = f"{5 + number * 7 % 95:.2f}"
        row["year"] = str(2015 + number % 9)
        if not row["duplicate_of"] and row["path"] not in originals:
            _cut(folder / row["path"], SHAPES[number % len(SHAPES)])
    manifest = folder / "shop.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest


def _cut(path: Path, size: tuple[int, int]) -> None:
    with Image.open(path) as picture:
        left, top = (picture.width - size[0]) // 2, (picture.height - size[1]) // 2
        picture.crop((left, top, left + size[0], top + size[1])).save(path)
