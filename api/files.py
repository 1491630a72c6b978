"""Files as answers: whole or a range of their bytes (RFC 9110, section 14), cached, and inert in a
browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from vitrine.services.errors import VitrineError

INLINE = "inline"
_CACHE = "private, max-age=31536000, immutable"
REVALIDATED = "private, no-cache"
_SHOWN = frozenset(
    {"image/avif", "image/bmp", "image/gif", "image/heic", "image/jpeg", "image/png", "image/tiff",
     "image/webp", "application/json", "text/markdown"}
)  # fmt: skip
_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.ASCII | re.IGNORECASE)


class RangeNotSatisfiable(VitrineError):
    """A request asks for bytes after the end of a file."""

    code: ClassVar[str] = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"The file has {size} bytes: ask for a range that begins before its end.", size=size)
        self.size = size


def file_response(
    request: Request,
    read: Callable[[int, int | None], bytes],
    *,
    size: int,
    etag: str,
    media_type: object,
    disposition: str = INLINE,
    cache: str = _CACHE,
) -> Response:
    """Return a file of ``size`` bytes, the range of it that is asked for, or 304 where the client has it.

    ``read(start, count)`` gives bytes of it; a ``count`` of None means all that follow. ``etag`` names this
    content, in quotes. A browser may show the file as a picture or as plain text, and as nothing else.
    ``cache``: the header Cache-Control.
    """
    headers = {"ETag": etag, "Cache-Control": cache}
    if _unchanged(request, etag):
        return Response(status_code=304, headers=headers)
    headers |= {
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition,
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    kind = str(media_type) if media_type in _SHOWN else "application/octet-stream"
    part = _asked_part(request, etag, size)
    if part is None:
        return Response(read(0, None), headers=headers, media_type=kind)
    first, last = part
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Response(read(first, last + 1 - first), 206, headers, kind)


def named(filename: str) -> str:
    """Return the Content-Disposition header (RFC 6266) of a file that is shown: a plain name for old clients,
    and the whole one in UTF-8."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%;' else "_" for c in filename)
    return (
        f'{INLINE}; filename="{plain}"; '
        f"filename*=UTF-8''{quote(filename.encode('utf-8', 'replace'), safe='')}"
    )


def _unchanged(request: Request, etag: str) -> bool:
    asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in asked or "*" in asked


def _asked_part(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """Return the first and last byte that are asked for; None where the whole file is: no range, several
    ranges, one that is no range, or one of another version of the file (If-Range).

    ``RangeNotSatisfiable`` for a range after the end.
    """
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or request.headers.get("if-range", etag) != etag:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:  # the last so many bytes
        if int(last) == 0:
            raise RangeNotSatisfiable(size)
        return max(0, size - int(last)), size - 1
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable(size)
    return int(first), min(int(last), size - 1) if last else size - 1
