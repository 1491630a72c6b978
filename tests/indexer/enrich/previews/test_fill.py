"""Colours, blurs and thumbnails of images that are stored already."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from PIL import Image

from tests.indexer.pictures import CATEGORY, add_pictures, id_of, payloads
from vitrine.indexer.enrich.previews.fill import fill_previews
from vitrine.indexer.enrich.previews.options import PreviewOptions
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.category.thumbnails import thumbnail_key
from vitrine.services.domain import Payload
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import NotFound
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.settings import Settings


def previews(runtime: Runtime) -> dict[str, tuple[object, object]]:
    """Colour and blur by file name."""
    return {name: (payload.get("colour"), payload.get("blur")) for name, payload in payloads(runtime).items()}


def take_away(runtime: Runtime) -> None:
    """Make the category one of an earlier version."""
    ids = [hit.id for hit in runtime.vectors.scroll(CATEGORY, limit=1000).hits]
    runtime.vectors.delete_payload(CATEGORY, ids, ("colour", "blur"))


def check_filling(runtime: Runtime) -> None:
    add_pictures(runtime, range(40))
    indexed = payloads(runtime)
    assert fill_previews(runtime, CATEGORY).filled == 0
    take_away(runtime)
    report = fill_previews(runtime, CATEGORY)
    assert (report.images, report.filled, report.thumbnails, report.status) == (40, 40, 0, "complete")
    assert payloads(runtime) == indexed
    assert "40 of 40 images got a colour and a blur." in report.summary()
    assert fill_previews(runtime, CATEGORY, PreviewOptions(again=True)).filled == 40


def test_they_are_filled_on_the_oracle(runtime: Runtime) -> None:
    check_filling(runtime)


def test_they_are_filled_on_the_embedded_engine(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, min_free_mb=0, encoder="colour", _env_file=None)  # type: ignore[call-arg,unused-ignore]
    with open_runtime(settings) as runtime:
        runtime.catalog.create(CATEGORY, [ColourEncoder().spec])
        check_filling(runtime)


def test_thumbnails_are_made_ahead_once(runtime: Runtime) -> None:
    file = io.BytesIO()
    Image.new("RGB", (900, 600), "teal").save(file, "JPEG")
    index_images([ImageRecord("test", "big.jpg", file.getvalue)], runtime, CATEGORY)
    big = runtime.vectors.scroll(CATEGORY, limit=1).hits[0].id
    report = fill_previews(runtime, CATEGORY, PreviewOptions(widths=(100, 640)))  # rounded up to 160
    assert (report.filled, report.thumbnails) == (0, 2)
    kept = {stat.key: runtime.objects.get(stat.key) for stat in runtime.objects.list("_thumbnails/")}
    assert kept.keys() == {thumbnail_key(CATEGORY, big, width) for width in (160, 640)}
    shown = Image.open(io.BytesIO(kept[thumbnail_key(CATEGORY, big, 640)]))
    assert (shown.format, shown.size) == ("WEBP", (640, 427))

    def not_asked() -> str:
        raise AssertionError("the image is looked up")

    assert runtime.thumbnails.get(CATEGORY, big, 160, not_asked) == kept[thumbnail_key(CATEGORY, big, 160)]
    more = fill_previews(runtime, CATEGORY, PreviewOptions(widths=(160, 320, 640)))
    assert more.thumbnails == 1 and "1 thumbnail made" in more.summary()


def test_pictures_that_cannot_be_read_are_named_and_the_others_are_done(runtime: Runtime) -> None:
    add_pictures(runtime, range(5))
    take_away(runtime)
    runtime.objects.delete(str(payloads(runtime)["1.png"]["object_key"]))
    runtime.objects.put(str(payloads(runtime)["2.png"]["object_key"]), b"\x89PNG\r\n\x1a\nbroken")
    report = fill_previews(runtime, CATEGORY, PreviewOptions(widths=(160,)))
    assert (report.filled, report.thumbnails, report.status, report.exit_code) == (3, 3, "refused", 3)
    assert sorted(report.failed) == sorted([(id_of(1), "image_missing"), (id_of(2), "damaged_image")])
    assert {name for name, found in previews(runtime).items() if None in found} == {"1.png", "2.png"}
    assert report.to_json()["failed"][0].keys() == {"id", "reason"}


def test_an_image_that_is_deleted_meanwhile_leaves_nothing(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_pictures(runtime, range(3))
    take_away(runtime)
    get = runtime.objects.get

    def get_and_delete(key: str, **part: int) -> bytes:
        data = get(key, **part)
        if payload_of(runtime, 1).get("object_key") == key:
            runtime.editor.delete(CATEGORY, [id_of(1)])
            runtime.editor.bin.empty(CATEGORY)
        return data

    monkeypatch.setattr(runtime.objects, "get", get_and_delete)
    report = fill_previews(runtime, CATEGORY, PreviewOptions(widths=(160,)))
    assert (report.filled, report.thumbnails) == (2, 2) and payloads(runtime).keys() == {"0.png", "2.png"}
    assert len(list(runtime.objects.list("_thumbnails/"))) == 2


def payload_of(runtime: Runtime, seed: int) -> Payload:
    hit = runtime.vectors.retrieve(CATEGORY, [id_of(seed)])[0]
    return {} if hit is None else hit.payload


def test_it_stops_and_goes_on(runtime: Runtime) -> None:
    add_pictures(runtime, range(6))
    take_away(runtime)
    stop = threading.Event()
    stop.set()
    stopped = fill_previews(runtime, CATEGORY, stop=stop)
    assert (stopped.interrupted, stopped.filled, stopped.exit_code) == (True, 0, 130)
    assert fill_previews(runtime, CATEGORY).filled == 6
    with pytest.raises(NotFound):
        fill_previews(runtime, "none")
