"""Recognise the format of a file by its first bytes. The content decides, never the extension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitrine.services.extras import PACKAGES, Extra, has_library, load_extra
from vitrine.services.images.raw import RAW_TYPES, open_raw, raw_kind

if TYPE_CHECKING:
    from PIL import ImageFile

_HEAD = 4096


@dataclass(frozen=True)
class ImageFormat:
    """A format that is read: Pillow's name for it, its media type, and the extension that stored objects get.
    ``library``: what reads it, where that comes with an ``extra``."""

    name: str
    media_type: str
    extension: str
    library: str = ""
    extra: Extra | None = None


JPEG = ImageFormat("JPEG", "image/jpeg", "jpg")
PNG = ImageFormat("PNG", "image/png", "png")
WEBP = ImageFormat("WEBP", "image/webp", "webp")
GIF = ImageFormat("GIF", "image/gif", "gif")
BMP = ImageFormat("BMP", "image/bmp", "bmp")
TIFF = ImageFormat("TIFF", "image/tiff", "tiff")
AVIF = ImageFormat("AVIF", "image/avif", "avif")
PNM = ImageFormat("PPM", "image/x-portable-anymap", "pnm")
HEIC = ImageFormat("HEIF", "image/heic", "heic", "pillow_heif", "heif")
RAW = {kind: ImageFormat("RAW", media, kind, "rawpy", "raw") for kind, media in RAW_TYPES.items()}
"""Camera RAW, by extension."""
READ = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC, camera RAW and PNM"

_PREFIXES = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
)
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_FOREIGN = (
    (b"8BPS", "PSD"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\x01\0", "ICO"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"7z\xbc\xaf", "7-Zip"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (b"v/1\x01", "OpenEXR"),
    (b"DDS ", "DDS"),
)


def sniff(data: bytes) -> ImageFormat | None:
    """Return the format that the first bytes announce, or None if it is not one of those read."""
    if (kind := raw_kind(data)) is not None:  # before TIFF, which most cameras' files are as well
        return RAW[kind]
    for prefix, image_format in _PREFIXES:
        if data.startswith(prefix):
            return image_format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    if data[4:8] == b"ftyp" and _brands(data) & {b"avif", b"avis"}:
        return AVIF
    if data[4:8] == b"ftyp" and _brands(data) & _HEIC_BRANDS:
        return HEIC
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return BMP
    if len(data) > 2 and data[0:1] == b"P" and data[1:2] in b"123456f" and data[2:3].isspace():
        return PNM
    return None


def looks_like(data: bytes) -> str:
    """Return what content that is not read looks like, for a sentence: "SVG", "PDF", "text", or "unknown
    data"."""
    for prefix, name in _FOREIGN:
        if data.startswith(prefix):
            return name
    if data[4:8] == b"ftyp":
        return "MP4 video"
    head = data[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in head:
        return "SVG"
    if head.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    if head.startswith(b"<?xml"):
        return "XML"
    return "text" if _is_text(data[:_HEAD]) else "unknown data"


def open_as(image_format: ImageFormat, data: bytes) -> ImageFile.ImageFile:
    """Read the header of ``data`` with the plug-in of ``image_format``; no pixel is decoded.

    The plug-in is called directly rather than through ``Image.open``, whose own pixel cap is a process-wide
    variable: the caps here are the caller's. Raises whatever the plug-in raises on a damaged header.
    """
    import io

    if image_format.name == "RAW":
        return open_raw(data)
    if image_format is HEIC:
        return _open_heic(data)
    from PIL import (
        AvifImagePlugin,
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    plugins: dict[str, type[ImageFile.ImageFile]] = {
        "JPEG": JpegImagePlugin.JpegImageFile,  # of multi-picture files it gives the first picture
        "PNG": PngImagePlugin.PngImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "AVIF": AvifImagePlugin.AvifImageFile,
        "PPM": PpmImagePlugin.PpmImageFile,
    }
    return plugins[image_format.name](io.BytesIO(data))


def needs_extra(image_format: ImageFormat) -> str:
    """Return how to install what reads a format, a sentence without its beginning; "" where it is there."""
    if image_format.extra is None or has_library(image_format.library):
        return ""
    package = PACKAGES[image_format.library]
    return (
        f"needs {package}, which is not installed: install the extra {image_format.extra} (pip install "
        f"'vitrine[{image_format.extra}]')."
    )


def _open_heic(data: bytes) -> ImageFile.ImageFile:
    """Read the header of HEIC; its own turns are made by the decoder."""
    import io

    plugin = load_extra("pillow_heif.as_plugin", "heif")
    file: ImageFile.ImageFile = plugin.HeifImageFile(io.BytesIO(data))
    return file


def _brands(data: bytes) -> set[bytes]:
    """Return the brands of an ISO media file: the major one and the compatible ones."""
    end = min(int.from_bytes(data[:4], "big"), 256, len(data))
    return {data[8:12]} | {data[at : at + 4] for at in range(16, end - 3, 4)}


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a character cut at the end of the head is no sign of anything
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character.isspace() for character in text)
