"""From the bytes of a file to an upright RGB picture and its identities; refusals are ``ImageRefused`` with a
stable reason.

Identity is content: ``content_hash`` names the bytes, ``point_id`` and ``object_key`` derive from it.
``perceptual_hash`` names what is to be seen, for near-duplicates.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from PIL import Image, ImageFile

from vitrine.services.errors import ImageRefused
from vitrine.services.images.budget import DecodeBudget as DecodeBudget
from vitrine.services.images.budget import ImageLimits as ImageLimits
from vitrine.services.images.colour import is_converted_from_cmyk, to_srgb
from vitrine.services.images.formats import READ, ImageFormat, looks_like, needs_extra, open_as, sniff
from vitrine.services.images.modes import to_rgb
from vitrine.services.images.perceptual_hash import perceptual_hash

# Fixed for ever: every point id of every installation derives from it.
_POINT_NAMESPACE = uuid.UUID("6d0fd2f5-52a5-5b44-9d6c-0d6c1c7c9a11")

_ORIENTATION_TAG = 0x0112
_TIFF_BITS = 258
_PNG_DEPTH = 24
"""Where the header of a PNG file says how many bits a channel has."""
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_BYTES_PER_PIXEL = {"WEBP": 19, "AVIF": 14, "HEIF": 13, "RAW": 16}
_OTHER_BYTES_PER_PIXEL = 12

# Embeddings of shrunk against whole pictures (24 photos, MobileNetV2): cosine >= 0.997 by JPEG draft at 2;
# averaging needs 3 for >= 0.999, at 2 it falls to 0.994. Decoding 12 megapixels to 1/8 for MobileNetV2's 256
# pixels (a gap of 1.5, benchmarks/encoding/scaled_decoding.py) costs more than the 0.998 that is allowed
# where the picture is full of fine detail: 0.9968 at least, 0.9978 in the median, where 1/4 keeps 0.9996.
_DRAFT_GAP = 2
_REDUCE_GAP = 3

_THUMBNAIL_QUALITY = 80
_THUMBNAIL_MAX_ASPECT = 4


@dataclass(frozen=True)
class OpenedImage:
    """A decoded file.

    ``image`` is upright RGB on white, in sRGB; a large picture is delivered smaller, its shortest edge at
    least twice the asked target. ``width`` and ``height`` are of the upright original, in pixels; ``size``
    counts the file's bytes. ``format`` is Pillow's name ("JPEG", "PPM"), ``extension`` the ending of the
    stored object. ``sha256`` and ``phash`` (64 bits) are lower-case hex. ``several``: the file has more
    frames or pages, of which this is the first.
    """

    image: Image.Image
    format: str
    media_type: str
    extension: str
    width: int
    height: int
    size: int
    sha256: str
    phash: str
    several: bool


@dataclass(frozen=True)
class WholePicture:
    """Everything that a file shows, at full resolution.

    ``image`` is upright RGB on white, in sRGB; ``alpha`` its opacity, None where nothing is transparent.
    ``beyond`` is empty if that is all there is, and otherwise a hash of what these 8 bits leave out: finer
    grey levels, further frames or pages.
    """

    image: Image.Image
    alpha: Image.Image | None
    beyond: str


def open_image(
    data: bytes,
    *,
    target: int,
    limits: ImageLimits,
    budget: DecodeBudget | None = None,
    sha256: str | None = None,
) -> OpenedImage:
    """Decode the bytes of one file, whatever its extension said.

    ``target`` is the longest side in pixels that an encoder looks at (``Preprocessing.target``). ``sha256``:
    the bytes' hash, where the caller has it already. Raises ImageRefused with reason empty_file,
    file_too_large, unsupported_format, too_many_pixels or damaged_image.
    """
    decoded = _decode(data, target, limits, budget)
    return OpenedImage(
        image=decoded.image,
        format=decoded.format.name,
        media_type=decoded.format.media_type,
        extension=decoded.format.extension,
        width=decoded.width,
        height=decoded.height,
        size=len(data),
        sha256=sha256 or content_hash(data),
        phash=perceptual_hash(decoded.image),
        several=decoded.several,
    )


def picture_of(
    data: bytes, side: int, *, limits: ImageLimits, budget: DecodeBudget | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Return the upright RGB picture of a file, its shortest edge at least ``side`` pixels unless it is
    smaller, and the (width, height) of the original; without the hashes that ``open_image`` works out. Raises
    ImageRefused as it does."""
    decoded = _decode(data, max(1, side // _DRAFT_GAP), limits, budget)
    return decoded.image, (decoded.width, decoded.height)


def whole_picture(data: bytes, *, limits: ImageLimits, budget: DecodeBudget | None = None) -> WholePicture:
    """Decode every pixel of a file. Raises ImageRefused as ``open_image`` does."""
    with _decoding(data, limits, budget) as opened, opened.share(1):
        file = opened.file
        image, orientation = _upright(opened, max(file.size))
        alpha = _opacity(file)
        if alpha is not None and orientation in _UPRIGHT:
            alpha = alpha.transpose(_UPRIGHT[orientation])
        return WholePicture(image, alpha, _beyond(file, data))


def has_frames(data: bytes, *, limits: ImageLimits) -> bool:
    """Return whether a file has several frames or pages. Raises ImageRefused as ``open_image`` does."""
    with _decoding(data, limits, None) as opened:
        return _is_several(opened.file)


def frames_of(
    data: bytes, *, limits: ImageLimits, budget: DecodeBudget | None = None
) -> Iterator[Image.Image]:
    """Yield every frame or page of a file as it is seen: upright RGB on white, in sRGB, at full size. Raises
    ImageRefused as ``open_image`` does, where it comes to what is damaged."""
    with _decoding(data, limits, budget) as opened:
        for number in itertools.count():
            try:
                opened.file.seek(number)
            except EOFError:
                return
            _check_pixels(opened.file, opened.format, limits)
            with opened.share(1):
                image = _upright(opened, max(opened.file.size))[0]
            yield image


def content_hash(data: bytes) -> str:
    """Return the SHA-256 of the bytes, 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def point_id(sha256: str) -> str:
    """Return the point id of a content hash: a version 5 UUID, lower-case. The same bytes have the same id
    everywhere."""
    return str(uuid.uuid5(_POINT_NAMESPACE, sha256.lower()))


def object_key(category: str, sha256: str, extension: str) -> str:
    """Return the key under which the file of a content hash is stored:
    ``<category>/images/ab/cd/<sha256>.<extension>``."""
    return f"{category}/images/{sha256[:2]}/{sha256[2:4]}/{sha256}.{extension}"


def category_of_key(key: str) -> str | None:
    """Return the category under which ``object_key`` stores a picture; None for a key of another form."""
    category, *parts = key.split("/")
    sha256, _, extension = parts[-1].partition(".") if parts else ("", "", "")
    is_hash = len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")
    return category if is_hash and key == object_key(category, sha256, extension) else None


def pixel_hash(data: bytes, *, limits: ImageLimits | None = None, budget: DecodeBudget | None = None) -> str:
    """Return the BLAKE2b hash (128 hex digits) of the decoded pixels in their own mode, not turned upright.

    Older systems name their files by it; it serves to adopt them. Raises ImageRefused as ``open_image`` does.
    """
    with _decoding(data, limits or ImageLimits(), budget) as opened, opened.share(1):
        return hashlib.blake2b(opened.file.tobytes()).hexdigest()


def thumbnail(
    data: bytes, width: int, *, limits: ImageLimits, budget: DecodeBudget | None = None
) -> tuple[bytes, str]:
    """Return a small upright version of a file: see ``thumbnail_of``. Raises ImageRefused as ``open_image``
    does."""
    return thumbnail_of(_decode(data, max(1, width), limits, budget).image, width)


def thumbnail_of(image: Image.Image, width: int) -> tuple[bytes, str]:
    """Encode an RGB picture at most ``width`` pixels wide (and four times as high), never enlarged: (bytes,
    media type)."""
    size = small_size(image.size, width)
    small = image if size == image.size else image.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)
    buffer = io.BytesIO()
    # JPEG rather than WebP: a third larger, but 0.2 ms instead of 5 ms to encode
    small.save(buffer, "JPEG", quality=_THUMBNAIL_QUALITY)
    return buffer.getvalue(), "image/jpeg"


def small_size(size: tuple[int, int], width: int) -> tuple[int, int]:
    """Return the size of a small version of a picture: at most ``width`` pixels wide and four times as high,
    never enlarged."""
    scale = min(1.0, width / size[0], _THUMBNAIL_MAX_ASPECT * width / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


# Decoding
# ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Decoded:
    image: Image.Image
    format: ImageFormat
    width: int
    height: int
    several: bool


@dataclass(frozen=True)
class _Opened:
    """A file whose header is read and within the caps."""

    file: ImageFile.ImageFile
    format: ImageFormat
    budget: DecodeBudget | None

    @contextmanager
    def share(self, scale: int) -> Iterator[None]:
        """Hold the memory that decoding takes, where the decoder itself shrinks by ``scale``."""
        with self.budget.share(_decode_bytes(self.file, scale)) if self.budget else nullcontext():
            yield


def _decode(data: bytes, target: int, limits: ImageLimits, budget: DecodeBudget | None) -> _Decoded:
    """Decode to upright RGB in sRGB; a much larger picture is shrunk until its shortest edge is some twice
    ``target`` pixels."""
    with _decoding(data, limits, budget) as opened:
        file = opened.file
        width, height = file.size
        scale = _draft(file, _DRAFT_GAP * target) if file.format == "JPEG" else 1
        with opened.share(scale):
            image, orientation = _upright(opened, target)
        several = _is_several(file)
    if orientation >= 5:
        width, height = height, width
    return _Decoded(image, opened.format, width, height, several)


def _upright(opened: _Opened, target: int) -> tuple[Image.Image, int]:
    """Return the pixels as ``_decode`` wants them, and the EXIF orientation that they had."""
    file = opened.file
    file.load()
    orientation = _orientation(file)
    image = file if is_converted_from_cmyk(file) else to_rgb(file)
    factor = min(image.size) // (_REDUCE_GAP * target)
    # a picture that is far too large is averaged down now: 50 megapixels would wait in the batch with 150 MB
    # each
    image = image.reduce(factor) if factor > 1 else image
    image = to_srgb(image, file)  # after the shrinking, which leaves fewer pixels to convert
    image = image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
    return image.copy() if image is file else image, orientation


def _is_several(file: ImageFile.ImageFile) -> bool:
    try:
        return bool(getattr(file, "is_animated", False))
    except Exception:  # what follows the first frame is damaged
        return False


def _opacity(file: Image.Image) -> Image.Image | None:
    """Return the alpha of each pixel; None where all are opaque."""
    if not file.has_transparency_data or file.mode.startswith("I"):
        return None
    straight = file.convert("LA") if file.mode == "La" else file
    alpha = straight.convert("RGBA").getchannel("A")
    return None if alpha.getextrema() == (255, 255) else alpha


def _beyond(file: ImageFile.ImageFile, data: bytes) -> str:
    """Return what ``WholePicture.beyond`` holds. Finer levels of grey are compared by their own hash; of the
    rest only the same file is the same."""
    if _is_several(file):
        return content_hash(data)
    if file.mode.startswith("I") or file.mode == "F":
        return content_hash(file.tobytes())
    bits = data[_PNG_DEPTH] if file.format == "PNG" else getattr(file, "tag_v2", {}).get(_TIFF_BITS, 8)
    return content_hash(data) if max(bits if isinstance(bits, tuple) else (bits,)) > 8 else ""


@contextmanager
def _decoding(data: bytes, limits: ImageLimits, budget: DecodeBudget | None) -> Iterator[_Opened]:
    """Open the header, check the caps, and turn whatever a decoder throws into a refusal."""
    image_format = _format(data, limits)
    try:
        with open_as(image_format, data) as file:
            _check_pixels(file, image_format, limits)
            yield _Opened(file, image_format, budget)
    except ImageRefused:
        raise
    except Image.DecompressionBombError as error:
        raise ImageRefused(
            "too_many_pixels", f"The {image_format.name} picture has too many pixels: {error}"
        ) from error
    except (
        Exception
    ) as error:  # decoders raise nearly anything on hostile bytes, struct.error and KeyError among them
        raise ImageRefused(
            "damaged_image", f"The {image_format.name} file is damaged or cut short: {_words(error)}."
        ) from error


def _format(data: bytes, limits: ImageLimits) -> ImageFormat:
    if not data:
        raise ImageRefused("empty_file", "The file has no bytes.")
    if len(data) > limits.max_bytes:
        sizes = (
            f"{len(data) / 2**20:.1f} MB, over the limit of {limits.max_bytes / 2**20:.1f} MB "
            "(VITRINE_MAX_IMAGE_MB)"
        )
        raise ImageRefused("file_too_large", f"The file has {sizes}.", bytes=len(data))
    image_format = sniff(data)
    if image_format is None:
        seen = looks_like(data)
        content = "is in no known picture format" if seen == "unknown data" else f"looks like {seen}"
        raise ImageRefused("unsupported_format", f"The content {content}; {READ} are read.", format=seen)
    if missing := needs_extra(image_format):
        name = "HEIC" if image_format.name == "HEIF" else "camera RAW"
        raise ImageRefused("unsupported_format", f"The content is {name}, which {missing}", format=name)
    return image_format


def _check_pixels(file: ImageFile.ImageFile, image_format: ImageFormat, limits: ImageLimits) -> None:
    cap, setting = (
        (limits.max_jpeg_pixels, "VITRINE_MAX_JPEG_MEGAPIXELS")
        if file.format == "JPEG"
        else (limits.max_pixels, "VITRINE_MAX_MEGAPIXELS")
    )
    width, height = file.size
    if width < 1 or height < 1:
        raise ImageRefused(
            "damaged_image", f"The {image_format.name} file says it is {width} x {height} pixels."
        )
    if width * height > cap:
        megapixels = f"{width} x {height} pixels, over the limit of {cap / 1e6:g} megapixels ({setting})"
        raise ImageRefused("too_many_pixels", f"The picture has {megapixels}.", width=width, height=height)


def _draft(file: ImageFile.ImageFile, shortest: int) -> int:
    """Let the JPEG decoder deliver 1/2, 1/4 or 1/8 of the size while the shortest edge keeps ``shortest``;
    the divisor used."""
    width = file.width
    file.draft(file.mode, (shortest, shortest))
    return max(1, round(width / file.width))


def _decode_bytes(file: ImageFile.ImageFile, scale: int) -> int:
    """Return the memory that decoding and converting take, in bytes (measured per format, which of a RAW file
    is that of its preview; ``file.size`` is the size after the draft)."""
    pixels = file.width * file.height
    if file.format == "JPEG" and file.info.get("progressive"):
        # a progressive file keeps every coefficient of the full picture: 3 bytes a pixel at the usual 4:2:0
        return pixels * _OTHER_BYTES_PER_PIXEL + pixels * scale * scale * 3
    return pixels * _BYTES_PER_PIXEL.get(file.format or "", _OTHER_BYTES_PER_PIXEL)


def _orientation(file: ImageFile.ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8, read after the pixels (TIFF is turned by its decoder); damaged
    metadata counts as upright."""
    try:
        orientation = file.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _words(error: Exception) -> str:
    """Return the decoder's own words, short and on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:160].rstrip(". ")
