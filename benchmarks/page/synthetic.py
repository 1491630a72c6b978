"""A category of so many images that are not there: their payloads are those of indexed pictures, with a
place on a map; a hundred painted pictures stand for all of their files and thumbnails."""

from __future__ import annotations

import io
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import vitrine
from benchmarks.photos import photo
from vitrine.services.artifacts.maps import CategoryMap
from vitrine.services.category.catalog import Category
from vitrine.services.category.thumbnails import thumbnail_key
from vitrine.services.domain import IndexKind
from vitrine.services.images.open import object_key
from vitrine.services.images.previews import preview_of
from vitrine.services.images.thumbnails import thumbnail_of
from vitrine.services.runtime import Runtime
from vitrine.services.vector_store.edge.files import CollectionFiles
from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.edge.shard import add_indexes, load_shard

NAME, MAP, ENCODER = "many", "plane", "colour=vitrine/colour@colour-1-8"
PAINTED, BLOCK = 100, 5_000
SIZES = ((480, 320), (320, 480), (400, 400), (480, 270), (360, 450))
CLASSES, TAGS, SHOPS, YEARS = 30, 40, 12, 20
SEASONS = ("spring", "summer", "autumn", "winter")
COLUMNS: dict[str, IndexKind] = {
    "metadata.shop": "keyword",
    "metadata.season": "keyword",
    "metadata.year": "integer",
    "metadata.sold": "bool",
    "metadata.price": "float",
    "metadata.weight": "float",
}


def make_category(folder: Path, count: int, *, thumbnails: int = 0) -> None:
    """Make a data folder with the category ``many`` of ``count`` images. ``thumbnails``: how many have theirs
    kept, as indexing leaves them; links to the files of the painted ones."""
    painted = [photo(number, SIZES[number % len(SIZES)]) for number in range(PAINTED)]
    with vitrine.open(folder, offline=True, progress=False) as library:
        library.create(NAME, ENCODER)
        runtime = library.runtime
        keys = _put_files(runtime, painted)
        made = CategoryMap(MAP, "pca", runtime.catalog.get(NAME).encoder(None).name, "", count)
        made = runtime.maps.save(NAME, made)
        runtime.maps.put_in_service(NAME, made.key)
        places: dict[str, IndexKind] = dict.fromkeys(made.fields, "float")
        runtime.catalog.ensure_indexes(NAME, COLUMNS | places)
        runtime.catalog.set_images(NAME, count)
        category = runtime.catalog.get(NAME)
    _write_points(folder / "vectors", category, painted, keys, made.key, count)
    _link_thumbnails(folder / "objects", painted, thumbnails)


def point_id(number: int) -> str:
    """Return the id of an image; ids are spread as those of pictures are."""
    return str(uuid.UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128), version=5))


def _put_files(runtime: Runtime, painted: list[Image.Image]) -> list[str]:
    """Store the painted pictures; return their keys."""
    keys = []
    for number, image in enumerate(painted):
        keys.append(object_key(NAME, f"{number:064x}", "png"))
        file = io.BytesIO()
        image.save(file, "PNG")
        runtime.objects.put(keys[-1], file.getvalue(), media_type="image/png")
    return keys


def _write_points(
    vectors: Path, category: Category, painted: list[Image.Image], keys: list[str], key: str, count: int
) -> None:
    """Fill the collection's shard, which nobody has open: all points, then an index after the other. The
    engine, which keeps each point safe and each index up to date, takes twenty times as long."""
    files = CollectionFiles(vectors, NAME)
    shard = load_shard(files.shard, category.schema, points=0)
    rng = np.random.default_rng(5)
    spec = category.encoder(None)
    files_of = [_about_file(number, image, keys) for number, image in enumerate(painted)]
    centres = rng.random((CLASSES, 2)) * 0.8 + 0.1
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        kinds = rng.integers(0, CLASSES, size)
        places = np.clip(centres[kinds] + rng.normal(0, 0.04, (size, 2)), 0, 1)
        rows = rng.normal(size=(size, spec.dim)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        points = []
        tags = rng.integers(0, TAGS, (size, 2)).tolist()
        qualities, weights = rng.random((2, size)).tolist()
        prices = rng.gamma(2.0, 20.0, size).tolist()
        for row, (kind, (x, y)) in enumerate(zip(kinds.tolist(), places.tolist(), strict=True)):
            number = start + row
            which = number % PAINTED
            payload: dict[str, Any] = {
                **files_of[which],
                "filename": f"shots/{number // 1000:05d}/IMG_{number:07d}.png",
                "bytes": 10_000 + number,
                "indexed_at": f"2026-11-{1 + number % 28:02d}T{number % 24:02d}:{number % 60:02d}:00Z",
                "class": f"class-{kind:02d}",
                "tags": sorted({f"tag-{tag:02d}" for tag in tags[row]}),
                "quality": qualities[row],
                "metadata": {
                    "shop": f"shop-{number % SHOPS}",
                    "season": SEASONS[number % 4],
                    "year": 2000 + number % YEARS,
                    "sold": number % 3 > 0,
                    "price": prices[row],
                    "weight": weights[row],
                },
                "maps": {key: {"x": x, "y": y}},
            }
            points.append(edge.Point(point_id(number), {spec.name: memoryview(rows[row])}, payload))
        shard.update(edge.UpdateOperation.upsert_points(points))
    add_indexes(shard, category.schema, points=count)
    shard.flush()
    shard.close()
    files.write_points(count, durable=True)


def _about_file(number: int, image: Image.Image, keys: list[str]) -> dict[str, Any]:
    """Return what the payloads of all images with this picture say."""
    preview = preview_of(image)
    return {
        "sha256": f"{number:064x}",
        "phash": f"{number:016x}",
        "object_key": keys[number],
        "source": "shots",
        "media_type": "image/png",
        "width": image.width,
        "height": image.height,
        "colour": preview.colour,
        "blur": preview.blur,
    }


def _link_thumbnails(objects: Path, painted: list[Image.Image], count: int) -> None:
    first: dict[int, Path] = {}
    for number in range(count):
        which = number % PAINTED
        path = objects / thumbnail_key(NAME, point_id(number), 320)
        path.parent.mkdir(parents=True, exist_ok=True)
        if which not in first:
            path.write_bytes(thumbnail_of(painted[which], 320))
            first[which] = path
        else:
            os.link(first[which], path)
