"""What all sources share: options, which files count as pictures, safe names, and reading within a limit."""

from __future__ import annotations

import os
import re
import stat
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import IO

from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.errors import ImageRefused
from vitrine.services.images.formats import looks_like, sniff
from vitrine.services.values.words import composed

READABLE = (
    "jpg jpeg jpe jfif mpo png apng gif webp avif bmp dib tif tiff ppm pgm pbm pnm heic heif hif "
    "cr2 cr3 nef arw dng orf rw2 raf pef srw"
)
"""Extensions of formats that Vitrine reads, some of them with an extra."""
REFUSED = "svg svgz psd psb pdf ico icns jp2 j2k jxl eps ai exr hdr tga xcf pcx raw"
"""Extensions of pictures that it does not: offered all the same, so that the report names them."""
EXTENSIONS = frozenset(f".{name}" for name in f"{READABLE} {REFUSED}".split())
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
ARCHIVES = (".zip", *_TARS, ".7z", ".rar")
HEAD = 512
"""Bytes that ``looks_like_image`` looks at."""
_PICTURES = ("PSD", "JPEG 2000", "JPEG XL", "OpenEXR")
"""What vitrine.services.images.formats calls pictures that it does not read."""
_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that stand for no byte of a name."""


def has_image_extension(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def looks_like_image(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a picture, whatever its name says."""
    return sniff(head) is not None or looks_like(head) in _PICTURES


def shown_name(name: str) -> str:
    """Return a relative POSIX path that is fit to be stored and shown: no ``..``, no drive or leading slash,
    composed Unicode."""
    text = _NO_BYTES.sub("\ufffd", name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = composed(text).replace("\\", "/")
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or "unnamed"


def shown_path(path: str) -> str:
    """Return ``shown_name`` of a path of the file system, whose names are UTF-8 whatever the locale says."""
    return shown_name(os.fsencode(path).decode("utf-8", "surrogateescape"))


def relative(path: str, folder: str) -> str:
    """Return the path of a file that a walk of the folder has found, from there on."""
    return path[len(folder) + 1 :] if path.startswith(f"{folder}/") else os.path.relpath(path, folder)


def read_stream(stream: IO[bytes], max_bytes: int, name: str) -> bytes:
    """Read all bytes of a stream. Raises ``ImageRefused`` past ``max_bytes``, whatever size was declared."""
    data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise too_large(name, max_bytes)
    return data


def read_file(path: str, max_bytes: int) -> bytes:
    """Read all bytes of a regular file. Raises ``OSError``, and ``ImageRefused`` if it is no regular file or
    has more than ``max_bytes``."""
    name = path.rpartition("/")[2]
    with open(path, "rb", buffering=0, opener=_open_without_waiting) as file:
        status = file_status(file)
        if not stat.S_ISREG(status):
            raise ImageRefused("unreadable_file", f"{shown_name(name)} is not a regular file.")
        return read_stream(file, max_bytes, name)


def file_record(source: str, path: str, filename: str, max_bytes: int) -> ImageRecord:
    """Return the record of a file, which is opened when its bytes are asked for."""
    return ImageRecord(source, filename, lambda: read_file(path, max_bytes), created_at=modified(path))


def read_head(path: str) -> bytes:
    """Read the first bytes of a file, for ``looks_like_image``. Raises ``OSError``."""
    with open(path, "rb", buffering=0, opener=_open_without_waiting) as file:
        return file.read(HEAD)


def file_status(file: IO[bytes]) -> int:
    """Return the mode of an open file."""
    return os.fstat(file.fileno()).st_mode


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # opening a named pipe would wait for its writer


def too_large(name: str, max_bytes: int) -> ImageRefused:
    return ImageRefused(
        "file_too_large",
        f"{shown_name(name)} has more than {max_bytes / 1e6:.0f} MB: raise VITRINE_MAX_IMAGE_MB if it "
        "is to be read.",
    )


def utc(seconds: float) -> str | None:
    """Return seconds since 1970 as RFC 3339 in UTC; None beyond the years 1 to 9999, which nobody meant."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None


def modified(path: str) -> str | None:
    """Return when a file was last changed, as ``utc`` does; None if it is gone, or may not be looked at."""
    try:
        return utc(os.stat(path).st_mtime)
    except OSError:
        return None
