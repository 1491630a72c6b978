"""Thumbnails that are kept."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vitrine.services.category.thumbnails import FRESH_SECONDS, WIDTHS, Thumbnails, thumbnail_key
from vitrine.services.errors import ImageRefused, NotFound, StorageFull, Unavailable
from vitrine.services.images.budget import DecodeBudget, ImageLimits
from vitrine.services.images.open import point_id
from vitrine.services.object_store.base import ObjectStat
from vitrine.services.object_store.local import LocalObjectStore

FILE = "shop/images/a.png"
A, B = point_id("a" * 64), point_id("b" * 64)


def png(width: int = 900, height: int = 600, colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


class Objects(LocalObjectStore):
    """A folder that counts what is read, and that can be away or full."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, min_free_mb=0)
        self.reads: list[str] = []
        self.away = self.full = False
        self.before_read: Callable[[], object] = lambda: None

    def get(self, key: str, *, start: int = 0, first: int | None = None) -> bytes:
        self.reads.append(key)
        self.before_read()
        return super().get(key, start=start, first=first)

    def put(
        self, key: str, data: bytes, *, media_type: str = "application/octet-stream", durable: bool = True
    ) -> None:
        if self.full:
            raise StorageFull("The disk is full.")
        super().put(key, data, media_type=media_type, durable=durable)

    def stat(self, key: str) -> ObjectStat | None:
        if self.away:
            raise Unavailable("The store does not answer.")
        return super().stat(key)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    store = Objects(tmp_path)
    store.put(FILE, png())
    return store


def over(objects: LocalObjectStore, max_bytes: int = 1 << 20) -> Thumbnails:
    return Thumbnails(
        objects, ImageLimits, lambda: DecodeBudget(1 << 30), max_bytes=max_bytes, clock=lambda: 0.0
    )


def get(thumbnails: Thumbnails, width: int = 320, id: str = A) -> Image.Image:
    return Image.open(io.BytesIO(thumbnails.get("shop", id, width, lambda: FILE)))


def test_it_is_made_once_and_kept_in_memory_and_in_the_store(objects: Objects) -> None:
    first = over(objects)
    shown = get(first)
    assert (shown.format, shown.size) == ("WEBP", (320, 213))
    assert get(first).size == (320, 213) and objects.reads == [thumbnail_key("shop", A, 320), FILE]
    again = over(objects)
    assert again.get("shop", A, 320, _not_asked) == first.get("shop", A, 320, _not_asked)
    assert objects.reads[2:] == [thumbnail_key("shop", A, 320)]


def _not_asked() -> str:
    raise AssertionError("the image is looked up")


def test_many_who_ask_for_the_same_one_wait_for_one_that_makes_it(objects: Objects) -> None:
    begun, go = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go.wait(30)

    objects.before_read = wait
    thumbnails = over(objects)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(thumbnails.get("shop", A, 320, lambda: FILE)))
        for _ in range(8)
    ]
    threads[0].start()
    assert begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8 and len(set(found)) == 1
    assert objects.reads.count(FILE) == 1


def test_an_error_reaches_all_and_is_not_kept(objects: Objects) -> None:
    thumbnails = over(objects)
    objects.put(FILE, b"no picture")
    with pytest.raises(ImageRefused):
        get(thumbnails)
    objects.delete(FILE)
    with pytest.raises(NotFound, match="index it again") as raised:
        get(thumbnails)
    assert FILE not in str(raised.value.details)
    objects.put(FILE, png())
    assert get(thumbnails).size == (320, 213)


@pytest.mark.parametrize("left", [b"", b"\0" * 500, b"RIFF\x00\x01\x00\x00WEBP"])
def test_what_a_power_failure_cut_short_is_made_again(objects: Objects, left: bytes) -> None:
    objects.put(thumbnail_key("shop", A, 160), left)
    assert get(over(objects), 160).size == (160, 107)
    kept = Image.open(io.BytesIO(objects.get(thumbnail_key("shop", A, 160))))
    assert kept.size == (160, 107)


def test_those_unused_longest_make_room(objects: Objects) -> None:
    size = len(over(objects).get("shop", A, 160, lambda: FILE))
    thumbnails = over(objects, max_bytes=2 * size)
    for id in (A, B):
        get(thumbnails, 160, id)
    assert thumbnails.in_memory("shop", A, 160) and thumbnails.bytes_kept == 2 * size
    third = point_id("c" * 64)
    get(thumbnails, 160, third)
    assert thumbnails.in_memory("shop", B, 160) is None and thumbnails.bytes_kept == 2 * size
    assert thumbnails.in_memory("shop", A, 160) and thumbnails.in_memory("shop", third, 160)
    get(thumbnails, 1280)  # larger than all that may be kept, so it is not
    assert thumbnails.bytes_kept <= 2 * size


def test_a_deleted_image_has_none_any_more(objects: Objects) -> None:
    thumbnails = over(objects)
    for width in WIDTHS:
        get(thumbnails, width)
        get(thumbnails, width, B)
    thumbnails.remove("shop", [A])
    left = [stat.key for stat in objects.list("_thumbnails/")]
    assert sorted(left) == sorted(thumbnail_key("shop", B, width) for width in WIDTHS)
    assert thumbnails.in_memory("shop", A, 320) is None and thumbnails.in_memory("shop", B, 320)
    thumbnails.forget("shop")
    assert thumbnails.in_memory("shop", B, 320) is None and thumbnails.bytes_kept == 0


def test_an_image_that_is_deleted_meanwhile_leaves_none(objects: Objects) -> None:
    thumbnails = over(objects)
    put = objects.put

    def put_after_deletion(key: str, data: bytes, **options: object) -> None:
        objects.delete(FILE)
        thumbnails.remove("shop", [A])
        put(key, data)

    objects.put = put_after_deletion  # type: ignore[assignment,method-assign]
    get(thumbnails)
    assert list(objects.list("_thumbnails/")) == [] and thumbnails.bytes_kept == 0


def test_the_deletion_of_another_process_is_noticed_after_a_minute(objects: Objects) -> None:
    now = 0.0
    thumbnails = Thumbnails(objects, ImageLimits, lambda: DecodeBudget(1 << 30), clock=lambda: now)
    get(thumbnails)
    over(objects).remove("shop", [A])
    objects.delete(FILE)
    assert get(thumbnails).size == (320, 213)
    now = FRESH_SECONDS + 1
    with pytest.raises(NotFound):
        get(thumbnails)


def test_memory_answers_while_the_store_is_away(objects: Objects) -> None:
    now = 0.0
    thumbnails = Thumbnails(objects, ImageLimits, lambda: DecodeBudget(1 << 30), clock=lambda: now)
    get(thumbnails)
    now, objects.away = FRESH_SECONDS + 1, True
    assert get(thumbnails).size == (320, 213)


def test_a_full_disk_keeps_nobody_from_looking(objects: Objects) -> None:
    objects.full = True
    assert get(over(objects)).size == (320, 213)
    assert list(objects.list("_thumbnails/")) == []


@pytest.mark.parametrize("id", ["", "..", "../../x", A.upper(), A + "/../b", "a" * 36])
def test_an_id_that_is_none_reaches_no_store(objects: Objects, id: str) -> None:
    with pytest.raises(NotFound):
        over(objects).get("shop", id, 320, _not_asked)
    assert objects.reads == []
