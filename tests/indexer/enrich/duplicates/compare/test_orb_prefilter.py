"""A glance at two pictures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from tests.indexer.enrich.duplicates.scenes import scene
from vitrine.indexer.enrich.duplicates import prefilter as glance_module
from vitrine.indexer.enrich.duplicates.compare.orb_prefilter import Sketch, likely_turn, likely_turns, sketch
from vitrine.indexer.enrich.duplicates.compare.prepared_picture import _TURNED, TURNS, prepare, turned
from vitrine.indexer.enrich.duplicates.prefilter import comparing, prefilter

SIZE = (400, 300)


def of(image: Image.Image, *, flips: bool = False) -> Sketch:
    return sketch(image, flips=flips)


@pytest.mark.parametrize(
    "edit",
    [
        lambda image: image.resize((200, 150)),
        lambda image: image.crop((20, 15, 390, 290)),
        lambda image: ImageOps.expand(image, 15, (255, 255, 255)),
        lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    ],
)
def test_copies_are_worth_a_look_and_others_are_not(edit) -> None:  # type: ignore[no-untyped-def]
    pictures = [scene(seed, SIZE) for seed in range(8)]
    copies = [of(edit(picture)) for picture in pictures]
    originals = [of(picture) for picture in pictures]
    found = [[likely_turn(one, other) for other in copies] for one in originals]
    assert all(row[number] == "" for number, row in enumerate(found))
    assert sum(turn is not None for row in found for turn in row) <= len(pictures) + 4


@pytest.mark.parametrize("turn", TURNS)
def test_the_way_a_copy_lies_is_found(turn: str) -> None:
    image = scene(3, SIZE)
    how = _TURNED[turn]
    lying = Image.fromarray(np.ascontiguousarray(how(np.asarray(image))))
    found = likely_turn(of(image, flips=True), of(lying, flips=True))
    assert found is not None
    straight, laid = prepare(image, SIZE).grey, turned(prepare(lying, lying.size), found).grey
    assert straight.shape == laid.shape and np.abs(straight.astype(int) - laid).max() <= 2
    assert likely_turn(of(image), of(lying)) == ("" if turn == "" else None), "unless flips are asked for"


def test_many_are_looked_at_at_once_alike() -> None:
    pictures = [scene(seed % 5, SIZE) for seed in range(12)]
    pictures += [
        scene(1, SIZE).convert("L").convert("RGB"),
        Image.new("RGB", SIZE, (9, 200, 9)),
        ImageOps.mirror(scene(2, SIZE)),
    ]
    for flips in (False, True):
        sketches = [of(picture, flips=flips) for picture in pictures]
        for one in sketches:
            assert likely_turns(one, sketches) == [likely_turn(one, other) for other in sketches]
    assert likely_turn(sketches[1], sketches[12]) == "", "one without colours may be a copy"


def test_plain_pictures_cannot_be_told_at_a_glance() -> None:
    plain = of(Image.new("RGB", SIZE, (200, 200, 200)))
    assert len(plain.points) == 0 and likely_turn(plain, of(scene(1, SIZE))) == ""


class _Pictures:
    """Two copies of each scene; the third cannot be read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def sketch(self, place: int, *, flips: bool) -> Sketch | None:
        self.read.append(place)
        return None if place == 3 else of(scene(place // 2, SIZE), flips=flips)


@pytest.mark.parametrize("block", [100, 3, 2])
def test_pairs_are_looked_at_block_by_block(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance_module, "BLOCK", block)
    pairs = np.array([(one, other) for one in range(8) for other in range(one + 1, 8)])
    pictures, told = _Pictures(), []
    with comparing(2) as pool:
        assert isinstance(pool, ThreadPoolExecutor)
        found = prefilter(pool, pictures, pairs, done=told.append)  # type: ignore[arg-type]
        few: list[int] = []
        assert len(prefilter(pool, pictures, pairs, done=few.append, stopped=lambda: True)) == len(pairs)  # type: ignore[arg-type]
        assert sum(few) <= 8 + len(pairs)
    same = {tuple(pair) for pair, turn in zip(pairs.tolist(), found, strict=True) if turn is not None}
    assert same >= {(0, 1), (4, 5), (6, 7)} and not any(3 in pair for pair in same)
    assert sum(told) - len(pairs) >= 8 and (block < 8 or sum(told) - len(pairs) == 8)
