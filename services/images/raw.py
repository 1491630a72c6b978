"""Camera RAW: recognised by its first bytes, and seen by the preview that the camera put in.

Nearly every camera stores a JPEG of its own making next to the sensor's values: what a person has seen on its
screen. It is decoded like any JPEG, in a hundredth of the time. A file without a preview of some size is
developed by LibRaw, as the camera was set, at half its size where it is large.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFile

from vitrine.services.extras import load_extra

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

RAW_TYPES = {
    "arw": "image/x-sony-arw",
    "cr2": "image/x-canon-cr2",
    "cr3": "image/x-canon-cr3",
    "dng": "image/x-adobe-dng",
    "nef": "image/x-nikon-nef",
    "orf": "image/x-olympus-orf",
    "pef": "image/x-pentax-pef",
    "raf": "image/x-fuji-raf",
    "rw2": "image/x-panasonic-rw2",
    "srw": "image/x-samsung-srw",
}
"""Media types of the kinds that are known, by extension."""
LARGE_PREVIEW = 1_000
"""Pixels of the longest side from which a preview will do; a smaller one if it has half of the picture's."""
HALVED = 2_000
"""Pixels of the shortest side from which a picture without a preview is developed at half its size."""
_MAGIC = (
    (b"CR\x02", 8, "cr2"),
    (b"ftypcrx ", 4, "cr3"),
    (b"IIRO", 0, "orf"),
    (b"IIRS", 0, "orf"),
    (b"MMOR", 0, "orf"),
    (b"FUJIFILMCCD-RAW", 0, "raf"),
    (b"IIU\0", 0, "rw2"),
)
_MAKES = {"nikon": "nef", "sony": "arw", "pentax": "pef", "ricoh": "pef", "samsung": "srw"}
_SUBFILE, _COMPRESSION, _PHOTOMETRIC, _MAKE, _SUB_DIRECTORIES, _DNG_VERSION = 254, 259, 262, 271, 330, 50706
_SENSOR_VALUES = 32803
_CAMERAS_OWN = (32767, 32769, 32770, 34713, 65535)
"""Compressions that only cameras use."""
_MAX_TAGS = 512
_ORIENTATION_TAG = 0x0112
_TURNS = {3: 3, 5: 8, 6: 6}
"""The EXIF orientation for each turn that LibRaw knows."""


def raw_kind(data: bytes) -> str | None:
    """Return the extension of a RAW file's kind, by its first bytes; None for anything else, such as a TIFF
    that a scanner wrote."""
    for magic, at, kind in _MAGIC:
        if data.startswith(magic, at):
            return kind
    tags = _directory(data)
    if _DNG_VERSION in tags:
        return "dng"
    of_camera = (
        (tags.get(_SUBFILE) == 1 and _SUB_DIRECTORIES in tags)
        or tags.get(_PHOTOMETRIC) == _SENSOR_VALUES
        or tags.get(_COMPRESSION) in _CAMERAS_OWN
    )
    make = str(tags.get(_MAKE, "")).lower()
    return next((kind for name, kind in _MAKES.items() if of_camera and make.startswith(name)), None)


def open_raw(data: bytes) -> ImageFile.ImageFile:
    """Return the picture that a RAW file shows, not decoded yet: its preview, or the file to be developed.

    ``MissingExtra``, or whatever LibRaw raises on a damaged file.
    """
    rawpy = load_extra("rawpy", "raw")
    with rawpy.imread(io.BytesIO(data)) as raw:
        preview = _preview(rawpy, raw)
        if preview is not None:
            _turn(preview, raw.sizes)
            return preview
    return DevelopedFile(io.BytesIO(data))


class DevelopedFile(ImageFile.ImageFile):
    """A RAW file that LibRaw develops once its pixels are asked for."""

    format = "RAW"
    format_description = "camera RAW"

    def _open(self) -> None:
        assert self.fp is not None
        self._data: bytes | None = self.fp.read()
        with load_extra("rawpy", "raw").imread(io.BytesIO(self._data)) as raw:
            sizes = raw.sizes
        upright = (sizes.width, sizes.height) if sizes.flip < 5 else (sizes.height, sizes.width)
        self._size, self._mode, self.tile = upright, "RGB", []

    def load(self) -> Any:
        if self._data is not None:
            half = min(self.size) >= HALVED
            with load_extra("rawpy", "raw").imread(io.BytesIO(self._data)) as raw:
                pixels = raw.postprocess(use_camera_wb=True, half_size=half, output_bps=8)
            self._data = None
            developed = Image.fromarray(pixels)
            self._size, self.im = developed.size, developed.im
        return super().load()


def _preview(rawpy: Any, raw: Any) -> JpegImageFile | None:
    """Return the largest preview if it is a JPEG of some size."""
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        thumb = raw.extract_thumb()
    except rawpy.LibRawError:  # there is none, or none of a kind that is known
        return None
    if thumb.format != rawpy.ThumbFormat.JPEG:
        return None
    file = JpegImageFile(io.BytesIO(thumb.data))
    of = max(raw.sizes.width, raw.sizes.height)
    return file if max(file.size) >= min(LARGE_PREVIEW, of / 2) else None


def _turn(preview: JpegImageFile, sizes: Any) -> None:
    """Let a preview that does not say how it is turned, and lies as the sensor does, be turned like the
    picture."""
    exif = preview.getexif()
    lies = (preview.width >= preview.height) == (sizes.width >= sizes.height)
    if _ORIENTATION_TAG not in exif and lies and sizes.flip in _TURNS:
        exif[_ORIENTATION_TAG] = _TURNS[sizes.flip]


def _directory(data: bytes) -> dict[int, int | str]:
    """Return the first value of each tag in the first directory of a TIFF, as far as these bytes go."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return {}
    tags: dict[int, int | str] = {}
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for at in range(start + 2, start + 2 + 12 * min(count, _MAX_TAGS), 12):
            tag, kind, values = struct.unpack_from(f"{order}HHI", data, at)
            if kind == 2:
                where = at + 8 if values <= 4 else struct.unpack_from(f"{order}I", data, at + 8)[0]
                tags[tag] = data[where : where + min(values, 64)].split(b"\0")[0].decode("latin-1")
            else:
                (tags[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, at + 8)
    except struct.error:  # cut short: what was read so far counts
        pass
    return tags
