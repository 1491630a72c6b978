"""Animations and documents of several pages: the first frame, or each as an image of its own."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.indexer.pictures import CATEGORY, payloads, picture, write
from tests.indexer.sources.test_sources import names, reasons, records, zipped
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.indexer.sources.options import SourceOptions
from vitrine.services.images.budget import ImageLimits
from vitrine.services.runtime import Runtime

COLOURS = ((220, 30, 30), (40, 160, 60), (40, 80, 210))


def frames(format: str, count: int = 3, size: tuple[int, int] = (40, 30)) -> bytes:
    first, *rest = (Image.new("RGB", size, colour) for colour in COLOURS[:count])
    buffer = io.BytesIO()
    first.save(buffer, format, save_all=True, append_images=rest)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_every_frame_is_an_image_of_its_own_where_that_is_asked_for(tmp_path: Path, format: str) -> None:
    folder = write(tmp_path / "set", {"a/x.gif": frames(format), "b.png": picture(1), "c.jpg": b"no picture"})
    assert names(records(folder)) == ["a/x.gif", "b.png", "c.jpg"]
    found = records(folder, frames="all", tags_from_folders=2)
    assert names(found) == ["a/x.gif/0001.png", "a/x.gif/0002.png", "a/x.gif/0003.png", "b.png", "c.jpg"]
    assert [record.tags for record in found] == [("a",)] * 3 + [(), ()]
    for record, colour in zip(found, COLOURS, strict=False):
        image = Image.open(io.BytesIO(record.read()))
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (40, 30))
        assert np.abs(np.asarray(image, np.int16)[15, 20] - colour).max() < 16
    assert found[3].read() == picture(1)  # as it is
    assert [record.read() for record in records(folder, frames="all")][:3] == [
        record.read() for record in found[:3]
    ]


def test_the_report_says_of_how_many_files_only_the_first_frame_is_there(
    runtime: Runtime, tmp_path: Path
) -> None:
    folder = write(
        tmp_path / "set", {"x.gif": frames("GIF"), "y.tiff": frames("TIFF", 2), "z.png": picture(1)}
    )
    report = index_images(open_source(folder), runtime, CATEGORY)
    assert (report.added, report.first_frames) == (3, 2) and report.to_json()["first_frames"] == 2
    assert "2 have several frames or pages" in report.summary() and "--frames all" in report.summary()
    again = index_images(open_source(folder, options=SourceOptions(frames="all")), runtime, CATEGORY)
    assert (again.added, again.known, again.first_frames) == (3, 3, 0)  # equal frames are one image
    assert {"x.gif", "x.gif/0003.png", "z.png"} <= payloads(runtime).keys()


def test_frames_in_archives_and_damaged_ones(tmp_path: Path) -> None:
    files = {"in.zip": zipped({"x.gif": frames("GIF", 2)}), "y.tiff": frames("TIFF")}
    folder = write(tmp_path / "set", files)
    found = records(folder, frames="all")
    assert names(found)[:2] == ["in.zip/x.gif/0001.png", "in.zip/x.gif/0002.png"] and not reasons(found)
    small = open_source(
        folder / "y.tiff", options=SourceOptions(frames="all"), limits=ImageLimits(max_pixels=9)
    )
    assert names(list(small)) == ["y.tiff"]  # refused by the loop, like any picture
    cut = write(tmp_path, {"cut.gif": frames("GIF")[:-40]}) / "cut.gif"
    assert {name.partition("/")[0] for name in names(records(cut, frames="all"))} == {"cut.gif"}


def test_a_file_of_very_many_frames_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrine.indexer.sources.frames.MAX_FRAMES", 2)
    path = write(tmp_path, {"x.gif": frames("GIF")}) / "x.gif"
    source = open_source(path, options=SourceOptions(frames="all"))
    assert names(list(source)) == ["x.gif/0001.png", "x.gif/0002.png"]
    assert source.notes() == ["x.gif has more than 2 frames: the others are left out."]
