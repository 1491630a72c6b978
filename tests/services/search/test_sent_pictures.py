"""Pictures that are sent once and searched by again and again."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import ImageRefused, NotFound, TooLarge
from vitrine.services.images.budget import DecodeBudget, ImageLimits
from vitrine.services.images.open import content_hash
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.search.sent_pictures import KEPT_FOR, SentPictures

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def picture(colour: str, size: tuple[int, int] = (60, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


class Shelf:
    """Kept pictures, and a clock that objects are written by."""

    def __init__(self, folder: Path, max_bytes: int = 1 << 20) -> None:
        self.now, self.folder = NOON, folder
        self.objects = LocalObjectStore(folder, min_free_mb=0)
        self.pictures = SentPictures(
            self.objects,
            ImageLimits,
            lambda: DecodeBudget(1 << 30),
            max_bytes=max_bytes,
            clock=lambda: self.now,
        )
        put = self.objects.put

        def put_now(key: str, data: bytes, **how: object) -> None:
            put(key, data)
            os.utime(folder / key, (self.now.timestamp(),) * 2)

        self.objects.put = put_now  # type: ignore[assignment,method-assign]

    def send(self, data: bytes) -> str:
        return self.pictures.keep(data).sha256

    @property
    def kept(self) -> set[str]:
        return {stat.key.removeprefix("_pictures/") for stat in self.objects.list()}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_a_picture_is_kept_for_a_day(shelf: Shelf) -> None:
    red = picture("red")
    found = shelf.pictures.keep(red)
    assert (found.sha256, found.width, found.height) == (content_hash(red), 60, 40)
    assert found.expires_at == NOON + KEPT_FOR
    shelf.now += KEPT_FOR - timedelta(seconds=1)
    assert shelf.pictures.read(found.sha256) == red
    shelf.now += timedelta(seconds=1)
    for ask in (shelf.pictures.read, shelf.pictures.check):
        with pytest.raises(NotFound, match="send it again"):
            ask(found.sha256)
    blue = shelf.send(picture("blue"))
    assert shelf.kept == {blue}


def test_one_that_is_sent_again_begins_its_day_anew(shelf: Shelf) -> None:
    red = shelf.send(picture("red"))
    shelf.now += timedelta(hours=23)
    assert shelf.pictures.keep(picture("red")).expires_at == NOON + timedelta(hours=47)
    shelf.now += timedelta(hours=23)
    assert shelf.pictures.read(red)


def test_those_sent_longest_ago_make_room(tmp_path: Path) -> None:
    size = len(picture("red"))
    shelf = Shelf(tmp_path, max_bytes=2 * size + size // 2)
    sent = []
    for colour in ("red", "blue", "lime"):
        sent.append(shelf.send(picture(colour)))
        shelf.now += timedelta(minutes=1)
    assert shelf.kept == set(sent[1:])
    with pytest.raises(TooLarge):
        Shelf(tmp_path, max_bytes=size - 1).send(picture("red"))


@pytest.mark.parametrize("sha256", ["", "..", "../../shop/images/x", "A" * 64, "a" * 63, "a" * 64])
def test_what_is_no_hash_is_not_found(shelf: Shelf, sha256: str) -> None:
    with pytest.raises(NotFound):
        shelf.pictures.read(sha256)


def test_only_pictures_are_kept(shelf: Shelf) -> None:
    with pytest.raises(ImageRefused):
        shelf.send(b"no picture")
    assert shelf.kept == set()


def test_thumbnails_are_made_of_them(shelf: Shelf) -> None:
    sent = shelf.send(picture("red", (800, 600)))
    assert Image.open(io.BytesIO(shelf.pictures.thumbnail(sent, 320))).size == (320, 240)


def test_a_vector_is_known_as_long_as_the_picture_is_there(shelf: Shelf) -> None:
    spec, sent = ColourEncoder().spec, shelf.send(picture("red"))
    assert shelf.pictures.known_vector(spec, sent) is None
    shelf.pictures.remember_vector(spec, sent, np.ones(3, np.float32))
    assert shelf.pictures.known_vector(spec, sent) is not None
    assert shelf.pictures.known_vector(ColourEncoder(dim=32).spec, sent) is None
    shelf.now += KEPT_FOR
    with pytest.raises(NotFound):
        shelf.pictures.known_vector(spec, sent)
