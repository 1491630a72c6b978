"""Sign in with a key, say who is signed in, sign out."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import cast

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from vitrine.api.auth import Access, KeyRing, check_csrf, known_key, signed_in
from vitrine.api.openapi import body_of
from vitrine.api.route import LimitedRequest
from vitrine.api.route import router as new_router
from vitrine.api.schemas.session import SessionBody, SessionOut
from vitrine.api.session import COOKIE, LIFETIME_SECONDS, Session, Sessions
from vitrine.services.validation import validated

router = new_router("session", "/v1/session")
_MAX_BODY_BYTES = 8_192


@router.post("", openapi_extra=body_of(SessionBody))
async def sign_in(request: Request, response: Response) -> SessionOut:
    """Begin a session of 12 hours with a key: the answer sets a cookie that scripts cannot read, and the
    browser sends it with every request, those of pictures included.

    401 for an unknown key, 429 for an address that tries many. Open without a key.
    """
    limited = cast(LimitedRequest, request)
    limited.take_at_most(_MAX_BODY_BYTES)
    body = validated(SessionBody, await limited.json(), "body")
    response.headers["Cache-Control"] = "no-store"
    keys: KeyRing = request.app.state.keys
    if not keys:
        return _shown(keys, None)
    sessions: Sessions = request.app.state.sessions
    key, scope = known_key(request, body.key)
    await run_in_threadpool(sessions.prepare)  # the first one asks the object store
    session = sessions.begin(key, time.time())
    response.set_cookie(
        COOKIE,
        session.cookie,
        max_age=LIFETIME_SECONDS,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return _shown(keys, (session, scope))


@router.get("")
async def show_session(request: Request, response: Response) -> SessionOut:
    """Say whether this server asks for a key, and what the session of the cookie may do. Open without a
    key."""
    response.headers["Cache-Control"] = "no-store"
    return _shown(request.app.state.keys, await signed_in(request))


@router.delete("", status_code=204)
async def sign_out(request: Request) -> Response:
    """End the session: the answer takes the cookie away. Open without a key."""
    found = await signed_in(request)
    if found:
        check_csrf(request, found[0])
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    response.delete_cookie(COOKIE, secure=request.url.scheme == "https", httponly=True, samesite="strict")
    return response


def _shown(keys: KeyRing, found: tuple[Session, Access] | None) -> SessionOut:
    if not keys:
        return SessionOut(needed=False, scope="write", csrf=None, expires_at=None)
    if found is None:
        return SessionOut(needed=True, scope=None, csrf=None, expires_at=None)
    session, scope = found
    ends = datetime.fromtimestamp(session.ends, UTC)
    return SessionOut(needed=True, scope=scope, csrf=session.csrf, expires_at=ends)
