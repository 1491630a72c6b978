"""The web page: the files that `make page` builds into api/built_page, and the headers they are sent with."""

from __future__ import annotations

import re
from mimetypes import guess_type
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from vitrine.api.route import router as new_router
from vitrine.services.errors import NotFound

BUILT = Path(__file__).resolve().parent / "built_page"
"""Where the built page lies; it is in the wheel, and in no commit."""
NOT_BUILT = (
    "The web page is not built: run `make page` in the checkout (it needs Node.js 20, or lets pip bring it). "
    "The API is there without it: /openapi.json and docs/http-api.md say what it takes."
)
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "worker-src 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types vitrine",
    )
)
"""The page loads scripts, styles, fonts and pictures of this server alone, and asks this server alone."""
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_NAME = re.compile(r"\w[\w.-]{0,120}", re.ASCII)
"""A file of the page: nothing hidden, nothing in another folder."""
_FOR_EVER = "public, max-age=31536000, immutable"
_A_DAY = "public, max-age=86400"
"""For the icon, which has one name for ever: browsers ask for it at every change of the address."""

router = new_router("page")


def is_built() -> bool:
    """Return whether `make page` has run."""
    return (BUILT / "index.html").is_file()


@router.get("/", include_in_schema=False)
@router.get("/c/{path:path}", include_in_schema=False)
@router.get("/jobs", include_in_schema=False)
@router.get("/jobs/{path:path}", include_in_schema=False)
@router.get("/docs", include_in_schema=False)
@router.get("/docs/{path:path}", include_in_schema=False)
def page(request: Request) -> Response:
    """Return the page, which reads the rest of the address itself. Open without a key: it holds no pictures,
    and asks for the key."""
    if not is_built():
        return HTMLResponse(f"<!doctype html><title>Vitrine</title><p>{NOT_BUILT}</p>", 503, _HEADERS)
    return FileResponse(
        BUILT / "index.html", media_type="text/html", headers={**_HEADERS, "Cache-Control": "no-cache"}
    )


@router.get("/page/{name}", include_in_schema=False)
def page_file(request: Request, name: str) -> Response:
    """Return a file of the built page, compressed where the browser takes that. The names of
    all but the icon change with their content: they are kept for ever."""
    path = BUILT / name
    if not _NAME.fullmatch(name) or not path.is_file():
        raise NotFound(f"The page has no file {name[:80]!r}: load it again.")
    hashed = "-" in name and path.suffix in (".js", ".css", ".woff2")
    headers = {"Cache-Control": _FOR_EVER if hashed else _A_DAY}
    packed = path.with_name(f"{name}.gz")
    if not packed.is_file():
        return FileResponse(path, headers=headers)
    headers["Vary"] = "Accept-Encoding"
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return FileResponse(path, headers=headers)
    kind, _ = guess_type(name)
    return FileResponse(packed, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
