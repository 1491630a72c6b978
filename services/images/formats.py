"""Recognise the format of a file by its first bytes. The content decides, never the extension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageFile

_HEAD = 4096


@dataclass(frozen=True)
class ImageFormat:
    """A format that is read: Pillow's name for it, its media type, and the extension that stored objects
    get."""

    name: str
    media_type: str
    extension: str


JPEG = ImageFormat("JPEG", "image/jpeg", "jpg")
PNG = ImageFormat("PNG", "image/png", "png")
WEBP = ImageFormat("WEBP", "image/webp", "webp")
GIF = ImageFormat("GIF", "image/gif", "gif")
BMP = ImageFormat("BMP", "image/bmp", "bmp")
TIFF = ImageFormat("TIFF", "image/tiff", "tiff")
AVIF = ImageFormat("AVIF", "image/avif", "avif")
PNM = ImageFormat("PPM", "image/x-portable-anymap", "pnm")

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
    (b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (b"v/1\x01", "OpenEXR"),
    (b"DDS ", "DDS"),
)


def sniff(data: bytes) -> ImageFormat | None:
    """Return the format that the first bytes announce, or None if it is not one of those read."""
    for prefix, image_format in _PREFIXES:
        if data.startswith(prefix):
            return image_format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    if data[4:8] == b"ftyp" and _brands(data) & {b"avif", b"avis"}:
        return AVIF
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
        return "HEIC" if _brands(data) & {b"heic", b"heix", b"mif1", b"hevc", b"heim"} else "MP4 video"
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
