"""Every format and pixel layout shows what the picture shows; what cannot be read is refused with its
reason."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from vitrine.services.errors import REFUSALS, ImageRefused
from vitrine.services.images.open import (
    DecodeBudget,
    ImageLimits,
    OpenedImage,
    content_hash,
    object_key,
    open_image,
    pixel_hash,
    point_id,
    thumbnail,
)

LIMITS = ImageLimits()
RED, GREEN, BLUE, WHITE = (220, 30, 40), (30, 200, 60), (30, 60, 210), (255, 255, 255)
NEAR_DUPLICATES = Path(os.environ.get("VITRINE_DATASETS", "datasets")) / "near-duplicates"
needs_photos = pytest.mark.skipif(
    not NEAR_DUPLICATES.is_dir(),
    reason=f"{NEAR_DUPLICATES} is not there: it is the folder tests/data of github.com/idealo/imagededup, "
    "to be put below the folder that VITRINE_DATASETS names (docs/operations.md)",
)


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def opened(data: bytes, target: int = 64, limits: ImageLimits = LIMITS) -> OpenedImage:
    return open_image(data, target=target, limits=limits, budget=DecodeBudget(1 << 30))


def colour_at(image: Image.Image, x: float, y: float) -> np.ndarray:
    """Mean colour of a patch around a relative place; patches keep clear of edges and of compression."""
    pixels = np.asarray(image, np.float64)
    row, column = int(y * image.height), int(x * image.width)
    return pixels[row - 3 : row + 4, column - 3 : column + 4].mean(axis=(0, 1))


def refusal(data: bytes, limits: ImageLimits = LIMITS) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        opened(data, limits=limits)
    assert caught.value.reason in REFUSALS
    assert caught.value.message.endswith(".")
    return caught.value


def two_colours(left: tuple[int, int, int] = RED, right: tuple[int, int, int] = BLUE) -> Image.Image:
    image = Image.new("RGB", (96, 64), left)
    image.paste(right, (48, 0, 96, 64))
    return image


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth random colours, like a photo's low frequencies."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


# Formats
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image_format", "options", "media_type", "extension"),
    [
        ("JPEG", {"quality": 95}, "image/jpeg", "jpg"),
        ("JPEG", {"quality": 95, "progressive": True}, "image/jpeg", "jpg"),
        ("PNG", {}, "image/png", "png"),
        ("WEBP", {"quality": 95}, "image/webp", "webp"),
        ("WEBP", {"lossless": True}, "image/webp", "webp"),
        ("GIF", {}, "image/gif", "gif"),
        ("BMP", {}, "image/bmp", "bmp"),
        ("TIFF", {}, "image/tiff", "tiff"),
        ("TIFF", {"compression": "tiff_lzw"}, "image/tiff", "tiff"),
        ("AVIF", {"quality": 95}, "image/avif", "avif"),
        ("PPM", {}, "image/x-portable-anymap", "pnm"),
    ],
)
def test_each_format_is_known_by_its_content(image_format, options, media_type, extension):
    data = encoded(two_colours(), image_format, **options)
    result = opened(data)
    assert (result.format, result.media_type, result.extension) == (image_format, media_type, extension)
    assert (result.width, result.height, result.image.size, result.size) == (96, 64, (96, 64), len(data))
    assert result.image.mode == "RGB"
    assert np.abs(colour_at(result.image, 0.25, 0.5) - RED).max() < 6
    assert np.abs(colour_at(result.image, 0.75, 0.5) - BLUE).max() < 6


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, GREEN, BLUE)]
    for image_format in ("GIF", "WEBP", "PNG", "AVIF", "TIFF"):
        data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
        assert np.abs(colour_at(opened(data).image, 0.5, 0.5) - RED).max() < 12, image_format


def test_a_multi_picture_jpeg_gives_its_first_picture():
    data = encoded(two_colours(), "MPO", save_all=True, append_images=[two_colours(GREEN, GREEN)])
    result = opened(data)
    assert (result.format, result.media_type) == ("JPEG", "image/jpeg")
    assert np.abs(colour_at(result.image, 0.25, 0.5) - RED).max() < 6


# Pixel layouts
# ------------------------------------------------------------------------------------------------------------


def sixteen_bit_png(values: np.ndarray, extra: bytes = b"") -> bytes:
    """A 16-bit PNG written by hand: grey (h, w) or RGB (h, w, 3); ``extra`` goes before the pixels."""
    colour_type = 0 if values.ndim == 2 else 2
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def halves(left: float, right: float, dtype: type = np.uint16) -> np.ndarray:
    values = np.full((32, 32), left, dtype)
    values[:, 16:] = right
    return values


def grey_levels(data: bytes) -> tuple[int, int]:
    """The grey of the left and the right half."""
    image = opened(data).image
    left, right = colour_at(image, 0.25, 0.5), colour_at(image, 0.75, 0.5)
    assert np.ptp(left) == np.ptp(right) == 0
    return int(left[0]), int(right[0])


def test_sixteen_bit_grey_png_has_65535_as_white():
    assert grey_levels(sixteen_bit_png(halves(20_000, 50_000))) == (78, 195)
    assert grey_levels(sixteen_bit_png(halves(500, 1000))) == (2, 4)


def test_sixteen_bit_rgb_png_is_scaled():
    values = np.zeros((32, 32, 3), np.uint16)
    values[:] = (60_000, 30_000, 5_000)
    seen = colour_at(opened(sixteen_bit_png(values)).image, 0.5, 0.5)
    assert np.abs(seen - np.array([60_000, 30_000, 5_000]) / 257).max() < 1.5


def test_sixteen_bit_png_colour_keys_are_white():
    grey = sixteen_bit_png(halves(20_000, 50_000), chunk(b"tRNS", struct.pack(">H", 20_000)))
    assert grey_levels(grey) == (255, 195)
    values = np.zeros((32, 32, 3), np.uint16)
    values[:], values[:, 16:] = (60_000, 30_000, 5_000), (100, 200, 65_000)
    image = opened(sixteen_bit_png(values, chunk(b"tRNS", struct.pack(">HHH", 60_000, 30_000, 5_000)))).image
    assert tuple(colour_at(image, 0.25, 0.5)) == WHITE
    assert colour_at(image, 0.75, 0.5)[2] > 240


@pytest.mark.parametrize(
    ("top", "white"), [(200, 255), (1000, 1023), (4000, 4095), (16_000, 16_383), (60_000, 65_535)]
)
def test_sixteen_bit_tiff_takes_the_depth_that_holds_its_brightest_pixel(top, white):
    low, high = grey_levels(encoded(Image.fromarray(halves(top // 2, top)), "TIFF"))
    assert abs(high - top * 255 / white) <= 1
    assert abs(low - (top // 2) * 255 / white) <= 1


def test_sixteen_bit_tiff_where_white_is_zero_is_inverted():
    data = encoded(Image.fromarray(halves(15_535, 55_535)), "TIFF", tiffinfo={262: 0})
    assert grey_levels(data) == (255 - 60, 255 - 216)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (0.25, 0.75, (64, 191)),
        (-10.0, 30.0, (0, 255)),
        (300.0, 300.0, (128, 128)),
        (0.5, float("nan"), (128, 128)),
    ],
)
def test_float_pictures_are_neither_black_nor_white(left, right, expected):
    assert grey_levels(encoded(Image.fromarray(halves(left, right, np.float32)), "TIFF")) == expected


def test_32_bit_integers_are_read_as_sixteen_or_stretched():
    assert grey_levels(encoded(Image.fromarray(halves(20_000, 50_000, np.int32)), "TIFF")) == (78, 195)
    assert grey_levels(encoded(Image.fromarray(halves(-5, 1_000_000, np.int32)), "TIFF")) == (0, 255)


def test_sixteen_bit_pgm_uses_its_own_maximum():
    body = halves(1000, 3000).astype(">u2").tobytes()
    assert grey_levels(b"P5\n32 32\n4095\n" + body) == (62, 187)


def test_bilevel_and_plain_text_pictures():
    data = b"P1\n16 16\n" + b" ".join(b"0" if i % 16 < 8 else b"1" for i in range(256)) + b"\n"
    assert grey_levels(data) == (255, 0)
    assert grey_levels(encoded(Image.fromarray(halves(0, 255, np.uint8)).convert("1"), "PNG")) == (0, 255)


def with_alpha(mode: str) -> Image.Image:
    """Left half red (grey in LA) and opaque; right half of hidden blue, fully transparent."""
    image = two_colours().convert("RGBA")
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (48, 0, 96, 64))
    image.putalpha(alpha)
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "image_format"),
    [("RGBA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF"), ("RGBA", "AVIF"), ("LA", "PNG"), ("LA", "TIFF")],
)
def test_transparency_is_on_white(mode, image_format):
    image = opened(encoded(with_alpha(mode), image_format)).image
    assert np.abs(colour_at(image, 0.75, 0.5) - WHITE).max() < 4
    assert colour_at(image, 0.25, 0.5).mean() < 150


def test_half_transparent_pixels_mix_with_white():
    data = encoded(Image.new("RGBA", (32, 32), (200, 0, 100, 128)), "PNG")
    assert np.abs(colour_at(opened(data).image, 0.5, 0.5) - (227, 127, 177)).max() <= 1


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(image_format):
    palette = two_colours().quantize(4)
    hidden = palette.getpixel((80, 32))
    image = opened(encoded(palette, image_format, transparency=hidden)).image
    assert np.abs(colour_at(image, 0.25, 0.5) - RED).max() < 8
    assert tuple(colour_at(image, 0.75, 0.5)) == WHITE


def test_a_palette_with_alpha_per_entry_is_on_white():
    palette = two_colours().quantize(2)
    alphas = bytearray(b"\xff" * 2)
    alphas[palette.getpixel((80, 32))] = 0
    image = opened(encoded(palette, "PNG", transparency=bytes(alphas))).image
    assert tuple(colour_at(image, 0.75, 0.5)) == WHITE


def test_a_png_colour_key_is_white():
    assert (
        tuple(colour_at(opened(encoded(two_colours(), "PNG", transparency=BLUE)).image, 0.75, 0.5)) == WHITE
    )
    grey = encoded(Image.fromarray(halves(40, 90, np.uint8)), "PNG", transparency=40)
    assert grey_levels(grey) == (255, 90)


@pytest.mark.parametrize(("image_format", "options"), [("JPEG", {"quality": 95}), ("TIFF", {})])
def test_cmyk_is_not_inverted(image_format, options):
    data = encoded(two_colours((240, 240, 240), RED).convert("CMYK"), image_format, **options)
    image = opened(data).image
    assert np.abs(colour_at(image, 0.25, 0.5) - 240).max() < 6
    assert np.abs(colour_at(image, 0.75, 0.5) - RED).max() < 12


def test_ycbcr_and_lab_tiffs_keep_their_colours():
    ycbcr = encoded(two_colours().convert("YCbCr"), "TIFF")
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = encoded(ImageCms.applyTransform(two_colours(), to_lab), "TIFF")
    for data in (ycbcr, lab):
        assert np.abs(colour_at(opened(data).image, 0.25, 0.5) - RED).max() < 8
        assert np.abs(colour_at(opened(data).image, 0.75, 0.5) - BLUE).max() < 8


# Orientation and size
# -----------------------------------------------------------------------------------------------------

UPRIGHT_TO_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", UPRIGHT_TO_STORED)
def test_exif_orientations_come_out_upright(orientation, image_format):
    upright = two_colours(RED, BLUE)
    upright.paste(GREEN, (0, 32, 48, 64))  # red over green on the left, blue on the right: no symmetry
    move = UPRIGHT_TO_STORED[orientation]
    stored = upright if move is None else upright.transpose(move)
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = opened(encoded(stored, image_format, exif=exif))
    assert (result.width, result.height, result.image.size) == (96, 64, (96, 64))
    for place, colour in (((0.25, 0.25), RED), ((0.25, 0.75), GREEN), ((0.75, 0.5), BLUE)):
        assert np.abs(colour_at(result.image, *place) - colour).max() < 16


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_counts_as_upright():
    data = encoded(two_colours(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f\x01\x00")
    assert opened(data).image.size == (96, 64)


@pytest.mark.parametrize(("image_format", "options"), [("JPEG", {"quality": 95}), ("PNG", {})])
def test_large_pictures_arrive_at_least_twice_the_target(image_format, options):
    large = photo(1600, 1200)
    data = encoded(large, image_format, **options)
    result = opened(data, target=64)
    assert (result.width, result.height) == (1600, 1200)
    assert 128 <= min(result.image.size) < 64 * 6
    assert opened(data, target=500).image.size == (1600, 1200)
    small, full = (
        np.asarray(image.resize((85, 64), Image.Resampling.BICUBIC), np.float64)
        for image in (result.image, large)
    )
    assert np.abs(small - full).mean() < 1.5


# Refusals
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b'<?xml version="1.0"?>\n<!-- drawn --><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"8BPS\0\x01" + bytes(40), "PSD"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "MP4 video"),
        (b"PK\x03\x04" + bytes(40), "ZIP"),
        ("Ein Brief über Bilder".encode(), "text"),
        (b"BM or not to be: a text that starts like a bitmap", "text"),
        (bytes(range(256)), "no known picture format"),
    ],
)
def test_other_content_is_refused_by_its_name(data, seen):
    error = refusal(data)
    assert error.reason == "unsupported_format"
    assert seen in error.message


def test_empty_and_overlong_files_are_refused():
    assert refusal(b"").reason == "empty_file"
    data = encoded(two_colours(), "PNG")
    assert refusal(data, ImageLimits(max_bytes=len(data) - 1)).reason == "file_too_large"
    assert opened(data, limits=ImageLimits(max_bytes=len(data))).size == len(data)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_truncated_files_are_refused_at_any_length(image_format):
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 96, 3), np.uint8))
    data = encoded(noise, image_format)
    for share in (0.1, 0.5, 0.9):
        assert refusal(data[: max(40, int(len(data) * share))]).reason == "damaged_image"


@pytest.mark.filterwarnings(
    "ignore:Tag data larger", "ignore:Metadata", "ignore:Corrupt EXIF", "ignore:Truncated File"
)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_damaged_bytes_give_a_picture_or_a_refusal_and_nothing_else(image_format):
    data = encoded(photo(96, 64), image_format)
    random = np.random.default_rng(7)
    for _ in range(40):
        damaged = bytearray(data)
        for place in random.integers(8, len(data), 6):
            damaged[place] = random.integers(0, 256)
        try:
            opened(bytes(damaged), limits=ImageLimits(max_pixels=1_000_000, max_jpeg_pixels=1_000_000))
        except ImageRefused as error:
            assert error.reason in ("damaged_image", "too_many_pixels", "unsupported_format")


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def jpeg_header(width: int, height: int) -> bytes:
    """A JPEG whose header claims another size than its pixels."""
    data = bytearray(encoded(two_colours(), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def test_the_pixel_cap_is_checked_on_the_header():
    error = refusal(png_header(100_000, 100_000))
    assert error.reason == "too_many_pixels"
    assert error.details["width"] == 100_000
    assert "VITRINE_MAX_MEGAPIXELS" in error.message
    assert refusal(jpeg_header(60_000, 60_000)).reason == "too_many_pixels"
    # over Pillow's own cap of 179 megapixels, but under ours: decoded
    assert opened(jpeg_header(15_000, 15_000)).width == 15_000
    assert refusal(png_header(15_000, 15_000), ImageLimits(max_pixels=300_000_000)).reason == "damaged_image"


def test_jpeg_has_its_own_pixel_cap():
    limits = ImageLimits(max_pixels=1000, max_jpeg_pixels=10_000)
    assert refusal(encoded(two_colours(), "PNG"), limits).reason == "too_many_pixels"
    assert opened(encoded(two_colours(), "JPEG"), limits=limits).image.size == (96, 64)


@needs_photos
def test_odd_and_corrupt_real_files():
    reasons, formats = {}, {}
    for file in sorted((NEAR_DUPLICATES / "formats_images").iterdir()) + sorted(
        (NEAR_DUPLICATES / "mixed_images").iterdir()
    ):
        try:
            formats[file.name] = opened(file.read_bytes()).format
        except ImageRefused as error:
            reasons[file.name] = error.reason
    assert reasons == {"ukbench09268_corrupt.jpg": "unsupported_format"}
    assert formats["ukbench09380.svg"] == formats["ukbench09380.bmp"] == "JPEG"  # wrong extensions
    assert {formats[name] for name in ("baboon.pgm", "Iggy.1024.ppm", "marbles.pbm")} == {"PPM"}
    assert (formats["copyleft.tiff"], formats["giphy.gif"], formats["ukbench09380.webp"]) == (
        "TIFF",
        "GIF",
        "WEBP",
    )


# Identities
# ------------------------------------------------------------------------------------------------------------


def test_identity_derives_from_the_bytes():
    data = encoded(two_colours(), "PNG")
    sha256 = content_hash(data)
    assert sha256 == hashlib.sha256(data).hexdigest() == opened(data).sha256
    assert point_id(sha256) == point_id(sha256.upper()) == str(uuid.UUID(point_id(sha256)))
    assert point_id(sha256) != point_id(content_hash(data + b" "))
    assert object_key("cats", sha256, "png") == f"cats/images/{sha256[:2]}/{sha256[2:4]}/{sha256}.png"


def test_point_ids_never_change():
    assert point_id("0" * 64) == "a1f31b5d-e9ed-51c9-9c0f-767dfc2d1e5b"


def test_the_perceptual_hash_survives_reencoding_and_tells_pictures_apart():
    image = photo(500, 375)
    original = opened(encoded(image, "PNG")).phash
    same = opened(encoded(image.resize((250, 187)), "JPEG", quality=60)).phash
    other = opened(encoded(photo(500, 375, seed=1), "PNG")).phash
    assert unlike(original, same) <= 4
    assert unlike(original, other) > 12


def unlike(one, other):
    return (int(one, 16) ^ int(other, 16)).bit_count()


def test_the_pixel_hash_is_blake2b_of_the_native_pixels():
    images = ((two_colours().convert("L"), "PNG"), (with_alpha("RGBA"), "PNG"), (photo(1600, 1200), "JPEG"))
    for data in (encoded(image, image_format) for image, image_format in images):
        with Image.open(io.BytesIO(data)) as image:
            assert pixel_hash(data) == hashlib.blake2b(image.tobytes()).hexdigest()
    with pytest.raises(ImageRefused, match="damaged"):
        pixel_hash(encoded(photo(96, 64), "PNG")[:200])


# Thumbnails
# ------------------------------------------------------------------------------------------------------------


def thumbnail_image(data: bytes, width: int) -> Image.Image:
    body, media_type = thumbnail(data, width, limits=LIMITS, budget=DecodeBudget(1 << 30))
    image = Image.open(io.BytesIO(body))
    assert Image.MIME[image.format] == media_type
    return image.convert("RGB")


def test_thumbnails_are_upright_on_white_and_never_enlarged():
    assert thumbnail_image(encoded(photo(1600, 1200), "JPEG"), 256).size == (256, 192)
    assert thumbnail_image(encoded(two_colours(), "PNG"), 256).size == (96, 64)
    transparent = thumbnail_image(encoded(with_alpha("RGBA"), "PNG"), 48)
    assert np.abs(colour_at(transparent, 0.75, 0.5) - WHITE).max() < 4
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = thumbnail_image(
        encoded(two_colours().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif), 48
    )
    assert turned.size == (48, 32)
    assert np.abs(colour_at(turned, 0.25, 0.5) - RED).max() < 16


@pytest.mark.parametrize(
    ("size", "expected"), [((1, 5000), (1, 1024)), ((5000, 1), (256, 1)), ((100, 8000), (13, 1024))]
)
def test_thumbnails_of_strips_stay_small(size, expected):
    assert thumbnail_image(encoded(Image.new("RGB", size, RED), "PNG"), 256).size == expected


# The decode budget
# --------------------------------------------------------------------------------------------------------


class Holder(threading.Thread):
    """Takes a share when started, gives it back when told."""

    def __init__(self, budget: DecodeBudget, wanted: int, order: list[int]) -> None:
        super().__init__(daemon=True)
        self.budget, self.wanted, self.order = budget, wanted, order
        self.holds, self.release = threading.Event(), threading.Event()

    def run(self) -> None:
        with self.budget.share(self.wanted):
            self.order.append(self.wanted)
            self.holds.set()
            assert self.release.wait(10)


def start(budget: DecodeBudget, wanted: int, order: list[int]) -> Holder:
    """Start a holder and wait until it either holds its share or queues for it."""
    before = budget.waiting
    holder = Holder(budget, wanted, order)
    holder.start()
    while not holder.holds.is_set() and budget.waiting == before:
        pass
    return holder


def test_decodes_wait_for_their_share_in_order():
    budget, order = DecodeBudget(100), []
    first = start(budget, 60, order)
    large = start(budget, 50, order)
    small = start(budget, 10, order)  # would fit, but came after the large one
    assert (first.holds.is_set(), large.holds.is_set(), small.holds.is_set()) == (True, False, False)
    assert (budget.used, budget.waiting) == (60, 2)
    first.release.set()
    assert large.holds.wait(10) and small.holds.wait(10)
    assert order == [60, 50, 10]
    for holder in (large, small):
        holder.release.set()
        holder.join(10)
    assert (budget.used, budget.waiting) == (0, 0)


def test_a_picture_larger_than_the_budget_runs_alone():
    budget, order = DecodeBudget(100), []
    small = start(budget, 1, order)
    giant = start(budget, 10_000, order)
    assert not giant.holds.is_set()
    small.release.set()
    assert giant.holds.wait(10)
    assert budget.used == 100
    giant.release.set()
    giant.join(10)
    data = encoded(photo(400, 300), "PNG")
    assert open_image(data, target=64, limits=LIMITS, budget=budget).width == 400


def test_threads_decode_within_the_budget_and_alike():
    layouts = [
        two_colours(),
        with_alpha("RGBA"),
        two_colours().quantize(4),
        Image.fromarray(halves(9, 60_000)),
    ]
    files = [encoded(image, "PNG") for image in layouts] + [
        encoded(photo(800, 600, seed), "JPEG") for seed in range(4)
    ]
    budget = DecodeBudget(4 << 20)
    with ThreadPoolExecutor(6) as pool:
        hashes = list(
            pool.map(lambda data: open_image(data, target=64, limits=LIMITS, budget=budget).phash, files * 4)
        )
    assert hashes == [opened(data).phash for data in files] * 4
    assert (budget.used, budget.waiting) == (0, 0)


def test_a_refused_picture_gives_its_share_back():
    budget = DecodeBudget(1 << 20)
    with pytest.raises(ImageRefused):
        open_image(encoded(photo(96, 64), "PNG")[:300], target=64, limits=LIMITS, budget=budget)
    assert (budget.used, budget.waiting) == (0, 0)
