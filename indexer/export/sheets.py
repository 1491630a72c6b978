"""Search results as a contact sheet in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitrine.services.errors import NotFound
from vitrine.services.files import SHEETS, check_ending

if TYPE_CHECKING:
    from vitrine.services.domain import Hit
    from vitrine.services.images.contact_sheet import Tile
    from vitrine.services.runtime import Runtime

TILE_SIZE = 220


def hit_captions(hit: Hit, measure: float | None = None) -> tuple[str, ...]:
    """Return the lines below a hit: similarity (or another measure) and class, then the tags."""
    number = hit.similarity if measure is None else measure
    name = str(hit.payload.get("class") or hit.payload.get("filename") or "")
    return (name if number is None else f"{number:.3f}  {name}", ", ".join(hit.payload.get("tags", ())))


def save_sheet(
    runtime: Runtime,
    path: Path,
    queries: Sequence[Tile],
    hits: Sequence[Hit],
    *,
    title: str,
    captions: Callable[[Hit], tuple[str, ...]] = hit_captions,
) -> None:
    """Write the query pictures, highlighted, and then the hits. ``BadRequest`` for another file ending or too
    many hits."""
    from vitrine.services.images.contact_sheet import Tile, write_sheet

    check_ending(path, "a sheet", SHEETS)
    tiles = [*queries, *(Tile(picture_of(runtime, hit), captions(hit)) for hit in hits)]
    write_sheet(path, tiles, columns=5 if len(tiles) <= 30 else 10, tile_size=TILE_SIZE, title=title)


def query_tile(picture: bytes | None, name: str, role: str = "query") -> Tile:
    """Return the tile that shows what was searched with."""
    from vitrine.services.images.contact_sheet import Tile

    return Tile(picture, (role, name), highlighted=True)


def example_tiles(
    runtime: Runtime,
    category: str,
    examples: Sequence[str | bytes],
    names: Sequence[str] = (),
    role: str = "query",
) -> list[Tile]:
    """Return a tile for each example: an id of the category, or the bytes of an image file, called by its
    name."""
    tiles = []
    for number, example in enumerate(examples):
        if isinstance(example, bytes):
            tiles.append(query_tile(example, names[number] if names else "picture", role))
        else:
            hit = runtime.searcher.image(category, example)
            tiles.append(
                query_tile(picture_of(runtime, hit), str(hit.payload.get("filename", example)), role)
            )
    return tiles


def picture_of(runtime: Runtime, hit: Hit, width: int = 2 * TILE_SIZE) -> bytes | None:
    """Return a version of the hit's picture that is at most ``width`` pixels wide, as JPEG; None where its
    object is gone or does not decode."""
    from vitrine.services.errors import ImageRefused
    from vitrine.services.images.open import thumbnail

    try:
        data = runtime.objects.get(hit.payload["object_key"])
        return thumbnail(data, width, limits=runtime.limits, budget=runtime.budget)[0]
    except (NotFound, ImageRefused, KeyError):
        return None
