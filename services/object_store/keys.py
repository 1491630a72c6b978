"""What every object store agrees on: which keys are well formed, and the media type of a key."""

from __future__ import annotations

import mimetypes
import re

from vitrine.services.errors import BadRequest

MANIFESTS = "_categories/"
"""``_categories/<category>.json``: the manifest of a category."""
TAGGERS = "_taggers/"
"""``_taggers/<category>/``: the heads of taggers, and which of them are in service."""
ENCODERS = "_encoders/"
"""``_encoders/<category>/<name>/``: encoders of a category that came in a folder."""
CLUSTERS = "_clusters/"
"""``_clusters/<category>/``: cluster runs."""
DUPLICATES = "_duplicates/"
"""``_duplicates/<category>/``: groups of near-duplicates."""
MAPS = "_maps/"
"""``_maps/<category>/``: maps."""
UNDO = "_undo/"
"""``_undo/<category>/``: changes of images that can be taken back."""
BIN = "_bin/"
"""``_bin/<category>/``: images that were deleted and can be restored."""
JOURNAL = "_journal/"
"""``_journal/<category>/``: what people said of images, and what else no picture tells."""
SAVED = "_saved/"
"""``_saved/<category>/``: searches that people gave a name."""
SESSIONS = "_sessions/"
"""``_sessions/secret``: what the cookies of the web page are signed with."""
TURNS = "_turns/"
"""``_turns/<category>``: which program of several machines writes to a category at the moment."""
SYNC = "_sync/"
"""``_sync/<category>/``: what is remembered of folders that are synced."""
THUMBNAILS = "_thumbnails/"
"""``_thumbnails/<category>/``: small versions of pictures."""
PICTURES = "_pictures/"
"""``_pictures/<sha256>``: pictures that were sent to search with."""
RESERVED = ".tmp"
"""First part of keys that no caller may use: half-written files and probes live there."""
MAX_KEY_BYTES = 1024
MAX_PART_BYTES = 255

_THUMBNAIL = re.compile(rf"{THUMBNAILS}[^/]+/[0-9a-f]{{2}}/[0-9a-f]{{2}}/[0-9a-f-]{{36}}-[0-9]+\.webp")
_SENT_PICTURE = re.compile(rf"{PICTURES}[0-9a-f]{{64}}")

# Python's own table depends on its version and on the system's files; these must not.
_IMAGE_TYPES = {
    "avif": "image/avif",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "heic": "image/heic",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webp": "image/webp",
}


def check_key(key: str, *, foreign: bool = False) -> str:
    """Return the key; ``BadRequest`` if it cannot be one.

    A key is a relative POSIX path: parts of 1 to 255 bytes joined by ``/``, none of them ``.`` or ``..``, no
    backslash and no control character, 1,024 bytes in all: what a file system and S3 both take.

    Other programs may have written keys that S3 alone takes: ``foreign`` allows empty or long parts and
    backslashes. ``.`` and ``..`` stay out, since on the way to S3 they are resolved like folders, and another
    object would be read.
    """
    reason = _fault(key, foreign)
    if reason:
        raise BadRequest(
            f"{key!r} is not an object key: {reason}.", key=key.encode("utf-8", "replace").decode()
        )
    return key


def media_type_of(key: str) -> str:
    """Return the media type by the key's extension; ``application/octet-stream`` where it says nothing."""
    extension = key.rpartition("/")[2].rpartition(".")[2].lower()
    return (
        _IMAGE_TYPES.get(extension) or mimetypes.guess_type(f"x.{extension}")[0] or "application/octet-stream"
    )


def is_thumbnail(key: str) -> bool:
    """Return whether Vitrine keeps a small version of a picture under this key."""
    return _THUMBNAIL.fullmatch(key) is not None


def is_sent_picture(key: str) -> bool:
    """Return whether Vitrine keeps a picture under this key that was sent to search with."""
    return _SENT_PICTURE.fullmatch(key) is not None


def is_key(key: str) -> bool:
    """Return whether ``check_key`` takes it."""
    return _fault(key, foreign=False) is None


def _fault(key: str, foreign: bool) -> str | None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    parts = key.split("/")
    if not key or size > MAX_KEY_BYTES:
        return f"it has {size} bytes, 1 to {MAX_KEY_BYTES} are allowed"
    if any(character < " " or character == "\x7f" for character in key):
        return "it holds a control character"
    if any(part in (".", "..") for part in parts):
        return "it has a '.' or '..' part; keys are relative paths such as pets/images/ab/cd/x.jpg"
    if not foreign and "\\" in key:
        return "it holds a backslash"
    if not foreign and "" in parts:
        return "it has an empty part; keys are relative paths such as pets/images/ab/cd/x.jpg"
    if not foreign and any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        return f"one of its parts is longer than {MAX_PART_BYTES} bytes"
    if parts[0] == RESERVED:
        return f"{RESERVED!r} is reserved"
    return None
