"""Pairs for a person to judge: drawn into a file of answers and shown on a contact sheet; commands that take
the threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from vitrine.indexer.enrich.clusters.options import PairOptions
from vitrine.indexer.enrich.clusters.threshold.answers import Answers
from vitrine.indexer.enrich.clusters.threshold.pair_sample import object_keys, sample_pairs
from vitrine.indexer.job.job import Advance
from vitrine.services.errors import BadRequest, ImageRefused, NotFound
from vitrine.services.images.contact_sheet import Tile, write_sheet
from vitrine.services.images.open import ImageLimits, thumbnail
from vitrine.services.runtime import Runtime

TILE_SIZE = 300
_GAP = 6


def pairs_to_judge(
    runtime: Runtime,
    category: str,
    path: Path,
    options: PairOptions,
    *,
    note: Callable[[str], None] = lambda text: None,
    advance: Advance = lambda done, of: None,
) -> Answers:
    """Return the pairs of the file ``path``, with new ones where ``options`` ask for more or others.

    The file is made or brought up to date; answers stay. ``NotFound``, ``UnknownVector``, ``BadRequest``."""
    found = runtime.catalog.get(category)
    kept = Answers.read(path) if path.exists() else None
    if kept is not None:
        kept.check(category, options.measure, options.using and found.encoder(options.using).name)
        if options.pairs is not None and options.pairs < len(kept.pairs):
            note(
                f"{path} holds {len(kept.pairs)} pairs, more than --pairs {options.pairs}: all of them stay."
            )
        if len(kept.pairs) >= (options.pairs or 0) and options.low in (None, kept.low):
            return kept
        low = kept.low if options.low is None else options.low
        options = replace(options, pairs=options.pairs or len(kept.pairs), low=low, seed=kept.seed)
    sample = sample_pairs(runtime, category, options, advance)
    if not sample.pairs:
        raise BadRequest(
            f"No pair of {category!r} is as alike as that: give a lower --low, or more --images."
        )
    ids = list(dict.fromkeys(id for pair in sample.pairs for id in (pair.one, pair.other)))
    names = dict(zip(ids, object_keys(runtime, category, ids, "filename"), strict=True))
    if kept is None:
        kept = Answers(path, category, options.measure, sample.using, "", 0.0, options.seed, [])
    kept.take(sample, names)
    kept.write()
    return kept


def write_pair_sheet(runtime: Runtime, kept: Answers, path: Path) -> None:
    """Write a contact sheet with a tile for each pair, the most similar first. ``BadRequest`` as
    `write_sheet`."""
    pairs = kept.by_similarity()
    ids = list(dict.fromkeys(id for pair in pairs for id in (pair.one, pair.other)))
    keys = dict(zip(ids, object_keys(runtime, kept.category, ids), strict=True))

    def data_of(id: str) -> bytes | None:
        try:
            return runtime.objects.get(keys[id]) if keys[id] else None
        except NotFound:
            return None

    words = {True: "accepted", False: "rejected", None: ""}
    tiles = [
        Tile(
            side_by_side(data_of(pair.one), data_of(pair.other), TILE_SIZE),
            (f"{pair.number}:  {pair.similarity:.4f}  {words[pair.accepted]}".rstrip(), *pair.names),
            highlighted=bool(pair.accepted),
        )
        for pair in pairs
    ]
    columns = 5 if len(tiles) <= 60 else 10
    write_sheet(
        path, tiles, columns=columns, tile_size=TILE_SIZE, title=f"{kept.category}: pairs by {kept.by}"
    )


def uses(kept: Answers, value: float) -> list[str]:
    """Return commands that take the threshold ``value``."""
    category, using = kept.category, kept.using
    if kept.measure == "embedding":
        return [
            f"vitrine duplicates find -c {category} --using {using} --similarity {value:.4f}",
            f"vitrine cluster run RUN -c {category} --using {using} --method dbscan --eps {1 - value:.4f}",
            f"vitrine search -c {category} --using {using} --min-similarity {value:.4f} ...",
        ]
    return [f"vitrine cluster pixels RUN -c {category} --measure {kept.measure} --threshold {value:.4f}"]


def side_by_side(one: bytes | None, other: bytes | None, size: int) -> Image.Image | None:
    """Put two pictures into a square of ``size`` pixels, next to or above each other, whichever shows more of
    them.

    One that does not decode is left empty. None if neither does.
    """
    pictures = [_open(data, size) for data in (one, other)]
    if pictures == [None, None]:
        return None
    half = (size - _GAP) // 2
    boxes = max(
        ((half, size), (size, half)), key=lambda box: sum(_area(picture, box) for picture in pictures)
    )
    sheet = Image.new("RGB", (size, size), (247, 247, 248))
    for at, picture in enumerate(pictures):
        if picture is None:
            continue
        fitted = ImageOps.contain(picture, boxes, Image.Resampling.LANCZOS)
        left, top = (at * (half + _GAP), 0) if boxes[0] == half else (0, at * (half + _GAP))
        sheet.paste(fitted, (left + (boxes[0] - fitted.width) // 2, top + (boxes[1] - fitted.height) // 2))
    return sheet


def _area(picture: Image.Image | None, box: tuple[int, int]) -> float:
    if picture is None:
        return 0.0
    scale = min(box[0] / picture.width, box[1] / picture.height)
    return picture.width * picture.height * scale * scale


def _open(data: bytes | None, size: int) -> Image.Image | None:
    if not data:
        return None
    try:
        return Image.open(BytesIO(thumbnail(data, size, limits=ImageLimits())[0])).convert("RGB")
    except ImageRefused:
        return None
