"""HEIC and camera RAW, which need an extra. The RAW files are written here by hand."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image, ImageCms

pytest.importorskip("pillow_heif")
pytest.importorskip("rawpy")

from tests.services.images.test_open import (
    BLUE,
    GREEN,
    RED,
    colour_at,
    encoded,
    opened,
    photo,
    refusal,
    two_colours,
)
from vitrine.services.errors import ImageRefused
from vitrine.services.images.budget import DecodeBudget
from vitrine.services.images.formats import sniff
from vitrine.services.images.open import ImageLimits, open_image, whole_picture
from vitrine.services.images.raw import raw_kind

SHORT, LONG, BYTE, RATIONAL, SIGNED, TEXT = 3, 4, 1, 5, 10, 2
Tags = Mapping[int, tuple[int, list[int] | bytes]]


def heic(image: Image.Image, **options: object) -> bytes:
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=90, **options)
    return buffer.getvalue()


def tiff(tags: Tags, strip: bytes) -> bytes:
    """A TIFF of one directory by hand; its strip lies behind it."""
    sizes = {SHORT: "H", LONG: "I", BYTE: "B", RATIONAL: "I", SIGNED: "i"}
    packed = {
        tag: (kind, value if isinstance(value, bytes) else struct.pack(f"<{len(value)}{sizes[kind]}", *value))
        for tag, (kind, value) in {**tags, 273: (LONG, [0]), 279: (LONG, [len(strip)])}.items()
    }
    width = {SHORT: 2, LONG: 4, BYTE: 1, RATIONAL: 8, SIGNED: 8, TEXT: 1}
    start = 8 + 2 + 12 * len(packed) + 4
    rest = sum(len(data) for _, data in packed.values() if len(data) > 4)
    packed[273] = (LONG, struct.pack("<I", start + rest))
    entries, behind = b"", b""
    for tag, (kind, data) in sorted(packed.items()):
        count = len(data) // width[kind]
        if len(data) > 4:
            value = struct.pack("<I", start + len(behind))
            behind += data
        else:
            value = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + value
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(packed)) + entries + bytes(4)
    return head + behind + strip


def sensor_file(width: int = 64, height: int = 48, orientation: int = 1) -> bytes:
    """A DNG without a preview: red on the left, blue on the right, as a sensor with a filter of red, green,
    green and blue sees it."""
    values = np.zeros((height, width), np.uint16)
    values[0::2, 0 : width // 2 : 2] = 60_000
    values[1::2, width // 2 + 1 :: 2] = 60_000
    one = [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    tags: Tags = {
        254: (LONG, [0]), 256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [16]), 259: (SHORT, [1]),
        262: (SHORT, [32803]), 271: (TEXT, b"Vitrine\0"), 272: (TEXT, b"Test\0"), 274: (SHORT, [orientation]),
        277: (SHORT, [1]), 278: (LONG, [height]), 284: (SHORT, [1]), 33421: (SHORT, [2, 2]),
        33422: (BYTE, [0, 1, 1, 2]), 50706: (BYTE, [1, 4, 0, 0]), 50708: (TEXT, b"Vitrine Test\0"),
        50717: (LONG, [65535]), 50721: (SIGNED, one), 50728: (RATIONAL, [1, 1, 1, 1, 1, 1]),
        50778: (SHORT, [21]),
    }  # fmt: skip
    return tiff(tags, values.tobytes())


def test_heic_is_read_and_known_by_its_content() -> None:
    data = heic(two_colours())
    result = opened(data)
    assert (result.format, result.media_type, result.extension) == ("HEIF", "image/heic", "heic")
    assert (result.width, result.height, result.image.size) == (96, 64, (96, 64))
    assert np.abs(colour_at(result.image, 0.25, 0.5) - RED).max() < 8
    assert np.abs(colour_at(result.image, 0.75, 0.5) - BLUE).max() < 8


def test_heic_comes_out_upright_on_white_and_in_srgb() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = opened(heic(two_colours().transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes()))
    assert turned.image.size == (96, 64)
    assert np.abs(colour_at(turned.image, 0.25, 0.5) - RED).max() < 8
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    assert np.abs(colour_at(opened(heic(clear)).image, 0.5, 0.5) - (255, 255, 255)).max() < 4
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    picture = two_colours()
    picture.info["icc_profile"] = profile  # of another layout: ignored
    assert np.abs(colour_at(opened(heic(picture)).image, 0.25, 0.5) - RED).max() < 8


def test_heic_that_is_cut_short_or_damaged_is_refused() -> None:
    data = heic(photo(96, 64))
    assert refusal(data[: len(data) // 2]).reason == "damaged_image"
    assert refusal(heic(photo(96, 64)), ImageLimits(max_pixels=1_000)).reason == "too_many_pixels"
    random = np.random.default_rng(7)
    for _ in range(25):
        damaged = bytearray(data)
        for place in random.integers(12, len(data), 6):
            damaged[place] = random.integers(0, 256)
        try:
            opened(bytes(damaged), limits=ImageLimits(max_pixels=1_000_000))
        except ImageRefused as error:
            assert error.reason in ("damaged_image", "too_many_pixels", "unsupported_format")


def test_a_raw_file_without_a_preview_is_developed() -> None:
    data = sensor_file()
    result = opened(data)
    assert (result.format, result.media_type, result.extension) == ("RAW", "image/x-adobe-dng", "dng")
    assert result.width >= 56 and result.height >= 40
    left, right = colour_at(result.image, 0.2, 0.5), colour_at(result.image, 0.8, 0.5)
    assert left[0] > left[2] + 60 and right[2] > right[0] + 60
    turned = opened(sensor_file(orientation=6))
    assert turned.height > turned.width
    assert whole_picture(data, limits=ImageLimits()).image.size == result.image.size


def test_a_raw_file_is_seen_by_its_preview() -> None:
    """A DNG whose first directory is the preview, and its sensor's values behind it."""
    preview = encoded(photo(1200, 800), "JPEG", quality=95)
    sensor = sensor_file(1200, 800)
    tags: Tags = {
        254: (LONG, [1]), 256: (LONG, [1200]), 257: (LONG, [800]), 258: (SHORT, [8, 8, 8]), 259: (SHORT, [7]),
        262: (SHORT, [6]), 271: (TEXT, b"Vitrine\0"), 272: (TEXT, b"Test\0"), 274: (SHORT, [6]),
        277: (SHORT, [3]), 278: (LONG, [800]), 50706: (BYTE, [1, 4, 0, 0]), 330: (LONG, [0]),
    }  # fmt: skip
    data = bytearray(tiff(tags, preview))
    place = data.index(struct.pack("<HHI", 330, LONG, 1)) + 8
    data[place : place + 4] = struct.pack("<I", len(data) + 8)
    base = len(data)
    behind = bytearray(sensor)
    count = struct.unpack_from("<H", behind, 8)[0]
    for at in range(10, 10 + 12 * count, 12):  # its offsets count from the beginning of the whole file
        tag, kind, values = struct.unpack_from("<HHI", behind, at)
        size = {SHORT: 2, LONG: 4, BYTE: 1, RATIONAL: 8, SIGNED: 8, TEXT: 1}[kind] * values
        if size > 4 or tag == 273:
            struct.pack_into("<I", behind, at + 8, struct.unpack_from("<I", behind, at + 8)[0] + base)
    result = opened(bytes(data) + bytes(behind))
    assert result.extension == "dng"
    assert (result.width, result.height) == (800, 1200)  # turned as the file says: the preview does not
    whole = np.asarray(photo(1200, 800).rotate(-90, expand=True).resize((8, 12)), np.int16)
    assert np.abs(np.asarray(result.image.resize((8, 12)), np.int16) - whole).mean() < 12


def test_raw_files_are_told_from_other_tiffs() -> None:
    assert raw_kind(encoded(two_colours(), "TIFF")) is None
    camera: Tags = {254: (LONG, [1]), 271: (TEXT, b"NIKON CORPORATION\0"), 330: (LONG, [8])}
    assert raw_kind(tiff(camera, b"")) == "nef"
    scan: Tags = {254: (LONG, [0]), 271: (TEXT, b"NIKON CORPORATION\0")}
    assert raw_kind(tiff(scan, b"")) is None
    for head, kind in (
        (b"II*\0\x10\0\0\0CR\x02\0", "cr2"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "cr3"),
        (b"FUJIFILMCCD-RAW 0201", "raf"),
        (b"IIRO\x08\0\0\0", "orf"),
        (b"IIU\0\x18\0\0\0", "rw2"),
    ):
        found = sniff(head)
        assert found is not None and (found.name, found.extension) == ("RAW", kind)
        assert refusal(head + bytes(600)).reason == "damaged_image"
    assert refusal(sensor_file()[:900]).reason == "damaged_image"


def test_a_budget_is_kept() -> None:
    budget = DecodeBudget(1 << 20)
    for data in (heic(two_colours()), sensor_file()):
        open_image(data, target=32, limits=ImageLimits(), budget=budget)
        assert budget.used == 0


@pytest.mark.parametrize(
    ("library", "extra", "name"), [("pillow_heif", "heif", "HEIC"), ("rawpy", "raw", "camera RAW")]
)
def test_what_needs_an_extra_says_so(
    monkeypatch: pytest.MonkeyPatch, library: str, extra: str, name: str
) -> None:
    data = heic(two_colours(GREEN, GREEN)) if extra == "heif" else sensor_file()
    monkeypatch.setattr("vitrine.services.images.formats.has_library", lambda asked: asked != library)
    error = refusal(data)
    assert error.reason == "unsupported_format" and name in error.message
    assert f"pip install 'vitrine[{extra}]'" in error.message
