"""Sessions of the web page: who gives a key once gets a cookie, as a browser sends no header with a picture.

A cookie says when it ends, and is signed with a secret of the installation and with the key that was given.
So nothing is kept of a session, it goes on when the server is started anew, every server on the same object
store knows it, and it ends with its key.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vitrine.services.errors import ReadOnly
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.edits import edit
from vitrine.services.object_store.keys import SESSIONS

COOKIE = "vitrine_session"
CSRF_HEADER = "X-CSRF-Token"
LIFETIME_SECONDS = 12 * 60 * 60
"""From signing in, whatever is done meanwhile."""
_SECRET_KEY = f"{SESSIONS}secret"
_SECRET_BYTES = 32
_CONTENT = struct.Struct(">Q16s")
"""The end in seconds since 1970, and random bytes that make each session another."""


@dataclass(frozen=True)
class Session:
    """``key`` is the digest of the key that was given, ``csrf`` the token that changes have to repeat,
    ``ends`` in seconds since 1970."""

    key: bytes
    cookie: str
    csrf: str
    ends: int


class Sessions:
    """Makes and reads the cookies of sessions for these keys, by their digests. ``secret`` is asked once."""

    def __init__(self, keys: Iterable[bytes], secret: Callable[[], bytes]) -> None:
        self._keys = tuple(dict.fromkeys(keys))
        self._ask = secret
        self._secret: bytes | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the secret is known; else the next call waits for the store."""
        return self._secret is not None

    def prepare(self) -> bytes:
        """Return the secret, asked for at the first call. Raises what the store raises."""
        if self._secret is None:
            self._secret = self._ask()
        return self._secret

    def begin(self, key: bytes, now: float) -> Session:
        """Return a new session of a key."""
        content = _CONTENT.pack(int(now) + LIFETIME_SECONDS, secrets.token_bytes(16))
        return self._session(key, content, f"{_text(content)}.{_text(self._sign(key, b'cookie', content))}")

    def read(self, cookie: str, now: float) -> Session | None:
        """Return the session of a cookie; None if it is not one of ours, has ended, or its key is gone."""
        content, signature = (_bytes(part) for part in cookie[:200].partition(".")[::2])
        if len(content) != _CONTENT.size or _CONTENT.unpack(content)[0] <= now:
            return None
        signed = [
            key for key in self._keys if hmac.compare_digest(self._sign(key, b"cookie", content), signature)
        ]
        return self._session(signed[0], content, cookie) if signed else None

    def _session(self, key: bytes, content: bytes, cookie: str) -> Session:
        return Session(key, cookie, _text(self._sign(key, b"csrf", content)), _CONTENT.unpack(content)[0])

    def _sign(self, key: bytes, purpose: bytes, content: bytes) -> bytes:
        own = hmac.digest(self.prepare(), key, "sha256")
        return hmac.digest(own, purpose + b"\0" + content, "sha256")


def shared_secret(objects: ObjectStore) -> bytes:
    """Return the secret of the installation, which the first who asks puts into the object store. Where that
    is only read and has none, it is this process's alone."""

    def kept_or_new(present: bytes | None) -> bytes:
        return present if present and len(present) == _SECRET_BYTES else secrets.token_bytes(_SECRET_BYTES)

    try:
        return edit(objects, _SECRET_KEY, kept_or_new)
    except ReadOnly:
        return secrets.token_bytes(_SECRET_BYTES)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
