"""Limits on what one request may send."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitrine.services.errors import BadRequest, TooLarge

MAX_FILES = 256
"""Files in one upload."""
MAX_FORM_FIELDS = 256
"""Form fields beside the files."""
MAX_FORM_FIELD_BYTES = 1 << 20
MAX_JSON_BYTES = 16 << 20
"""Larger pictures come as files: a body of millions of numbers would hold up everyone while it is parsed."""
MAX_JSON_DEPTH = 24
"""Objects and lists in each other. A filter nests a few; parsers and engines recurse, so deeper ones are
refused."""
MAX_TABLE_ROWS = 200_000
"""Rows of one table of metadata: some ten seconds of work. The command line takes any number."""
THUMBNAIL_CACHE_BYTES = 64 << 20


class BodyLimit:
    """ASGI middleware: ``TooLarge`` before the body is read if its length is declared, else at the byte that
    is too much.

    It counts what arrives, so it holds for chunked and multipart bodies and for a Content-Length that lies.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not (declared.isascii() and declared.isdigit()):
            raise BadRequest("The header Content-Length is not a number.")
        if len(declared) > 18 or int(declared) > self._max_bytes:
            raise self._too_large()
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self._max_bytes:
                    raise self._too_large()
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The request body is larger than {self._max_bytes:,} bytes: send fewer files at a time, "
            "or raise VITRINE_MAX_UPLOAD_MB.",
            limit_bytes=self._max_bytes,
        )
