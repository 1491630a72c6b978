"""Download pictures by URL, within bounds of size, time, redirects and parallelism."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitrine.services.download.answers import LONGEST_PAUSE, Answer, TryAgain, too_large
from vitrine.services.download.rules import Rules
from vitrine.services.download.turns import GivenUp, Turns
from vitrine.services.download.urls import WebUrl, joined, read_url
from vitrine.services.errors import BadRequest, ImageRefused, because

if TYPE_CHECKING:
    import httpcore

    from vitrine.services.download.connecting import Deadline, Resolve
    from vitrine.services.settings import Settings

MAX_REDIRECTS = 5
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 10.0
_FIRST_PAUSE = 0.5
"""Seconds before the second try, doubled for each further one."""
_WAKE_SECONDS = 0.1
_KEPT_SECONDS = 5.0
"""How long a connection is kept for the next picture of its host."""
_HEADERS = ((b"Accept", b"image/*,*/*;q=0.5"), (b"Accept-Encoding", b"identity"))


@dataclass(frozen=True)
class DownloadLimits:
    """What one download may cost: ``max_bytes`` of the file, ``seconds`` of work with all redirects and
    tries (waiting for a turn or for a pause that the server asked for is not counted), ``tries``. How many
    run at once, and from one host. ``agent``: what servers are told asks them."""

    max_bytes: int = 32 << 20
    seconds: float = 60.0
    tries: int = 3
    at_once: int = 16
    of_one_host: int = 4
    agent: str = "Vitrine"

    @classmethod
    def of(cls, settings: Settings) -> DownloadLimits:
        """Return the limits that the settings name. ``BadRequest`` for an agent that is no header."""
        if not settings.url_agent.isascii() or not settings.url_agent.isprintable():
            raise BadRequest(
                "The setting VITRINE_URL_AGENT has other than plain characters of ASCII.",
                setting="VITRINE_URL_AGENT",
            )
        return cls(
            min(settings.url_mb, settings.max_image_mb) << 20,
            settings.url_seconds,
            settings.url_tries,
            settings.url_parallel,
            settings.url_per_host,
            settings.url_agent.strip(),
        )


class Downloader:
    """Downloads files from the web as bytes. Thread-safe; connections are kept for the next file of a host.

    What may be asked, ``rules`` say: each redirect and each connection is held against them. Proxies, keys
    and cookies that the environment or a server offers are not used, and nothing is decompressed.
    ``resolve``, ``pause`` and ``clock`` are for tests.
    """

    def __init__(
        self,
        rules: Rules,
        limits: DownloadLimits | None = None,
        *,
        resolve: Resolve | None = None,
        pause: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self.limits = limits or DownloadLimits()
        self._resolve = resolve
        self._pause, self._clock = pause, clock
        self._turns = Turns(self.limits.at_once, self.limits.of_one_host, clock)
        self._given_up = GivenUp(clock=clock)
        self._lock = threading.Lock()
        self._pool: tuple[httpcore.ConnectionPool, Deadline] | None = None

    @property
    def readers(self) -> int:
        """How many threads are well spent on downloads: some wait for their host's turn."""
        return 2 * self.limits.at_once

    def get(self, url: str, *, over: Callable[[], bool] = lambda: False) -> bytes:
        """Return the bytes of a file. ``over``: whether whoever asked no longer waits.

        Raises ``ImageRefused``: ``bad_url``, ``url_not_allowed``, ``url_dead``, ``url_failed``,
        ``url_too_slow``, ``too_many_redirects``, ``encoded_answer``, ``file_too_large``.
        """
        return self._fetched(url, over, None)

    def head(self, url: str, count: int, *, over: Callable[[], bool] = lambda: False) -> bytes:
        """Return the first ``count`` bytes of a file, or all if it has fewer, and leave the rest. Raises as
        ``get`` does."""
        return self._fetched(url, over, count)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            if self._pool is not None:
                self._pool[0].close()
                self._pool = None

    def _fetched(self, text: str, over: Callable[[], bool], first: int | None) -> bytes:
        url = read_url(text)
        if url.host in self._given_up:
            raise ImageRefused(
                "url_failed",
                f"{url.host} failed many times in a row and is left alone for a while: run it again later.",
            )
        try:
            found = self._tried(url, over, first)
        except ImageRefused as error:
            if not over():
                self._given_up.note(url.host, failed=error.reason in ("url_failed", "url_too_slow"))
            raise
        self._given_up.note(url.host, failed=False)
        return found

    def _tried(self, url: WebUrl, over: Callable[[], bool], first: int | None) -> bytes:
        work = _Work(self.limits.seconds, self._clock)
        for number in range(1, self.limits.tries + 1):
            try:
                return self._try(url, work, over, first)
            except TryAgain as error:
                pause = _FIRST_PAUSE * 2 ** (number - 1) if error.pause is None else error.pause
                if number == self.limits.tries or pause > LONGEST_PAUSE:
                    raise _failed(error, number, pause) from error
                self._wait(url, pause, asked=error.pause is not None, over=over)
        raise AssertionError("there is at least one try")

    def _try(self, url: WebUrl, work: _Work, over: Callable[[], bool], first: int | None) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            self.rules.check(url)
            with self._turns.turn(url.host, over) as mine:
                if not mine:
                    raise _ended(url)
                with work.going():
                    found = self._asked(url, work, over, first)
            if isinstance(found, bytes):
                return found
            url = found
        raise ImageRefused(
            "too_many_redirects",
            f"{url.host} leads on after {MAX_REDIRECTS} redirects: they are not followed.",
        )

    def _asked(self, url: WebUrl, work: _Work, over: Callable[[], bool], first: int | None) -> bytes | WebUrl:
        """Ask one server once. Return what it sends, or where it leads."""
        import httpcore

        pool, deadline = self._connections()
        asked = httpcore.URL(
            scheme=url.scheme.encode(), host=url.host.encode(), port=url.port, target=url.target.encode()
        )
        agent = self.limits.agent.encode()
        headers = [(b"Host", url.authority.encode()), (b"User-Agent", agent), *_HEADERS]
        limits = {"connect": _CONNECT_SECONDS, "read": _READ_SECONDS, "write": _READ_SECONDS}
        with deadline.within(work.left):
            try:
                with pool.stream("GET", asked, headers=headers, extensions={"timeout": limits}) as response:
                    answer = Answer(url, response.status, response.headers)
                    if answer.location is not None:
                        return joined(url, answer.location)
                    answer.check(self.limits.max_bytes)
                    return self._body(url, response.iter_stream(), over, first)
            except httpcore.TimeoutException as error:
                if deadline.over:
                    raise ImageRefused(
                        "url_too_slow",
                        f"{url.host} does not send it in {self.limits.seconds:g} s (VITRINE_URL_SECONDS).",
                    ) from error
                raise TryAgain(f"{url.host} does not answer in time") from error
            except (httpcore.NetworkError, httpcore.ProtocolError) as error:
                raise _broken(url, error) from error

    def _body(
        self, url: WebUrl, chunks: Iterator[bytes], over: Callable[[], bool], first: int | None
    ) -> bytes:
        found = bytearray()
        for chunk in chunks:
            found += chunk
            if first is not None and len(found) >= first:
                return bytes(found[:first])
            if len(found) > self.limits.max_bytes:
                raise too_large(url, self.limits.max_bytes)
            if over():
                raise _ended(url)
        return bytes(found)

    def _connections(self) -> tuple[httpcore.ConnectionPool, Deadline]:
        import httpcore

        from vitrine.services.download.connecting import Deadline, GuardedBackend, resolve

        with self._lock:
            if self._pool is None:
                deadline = Deadline(self._clock)
                backend = GuardedBackend(self.rules, deadline, resolve=self._resolve or resolve)
                pool = httpcore.ConnectionPool(
                    ssl_context=httpcore.default_ssl_context(),
                    max_connections=self.limits.at_once,
                    keepalive_expiry=_KEPT_SECONDS,
                    network_backend=backend,
                )
                self._pool = pool, deadline
            return self._pool

    def _wait(self, url: WebUrl, seconds: float, *, asked: bool, over: Callable[[], bool]) -> None:
        if asked:
            self._turns.rest(url.host, seconds)  # the others of this host wait as well, each for its turn
            return
        left = seconds * random.uniform(0.75, 1.25)  # not all of them at the same moment
        while left > 0 and not over():
            self._pause(min(left, _WAKE_SECONDS))
            left -= _WAKE_SECONDS


class _Work:
    """The time that one download has left."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.left = seconds
        self._clock = clock

    @contextmanager
    def going(self) -> Iterator[None]:
        started = self._clock()
        try:
            yield
        finally:
            self.left -= self._clock() - started


def _ended(url: WebUrl) -> ImageRefused:
    return ImageRefused("url_failed", f"{url.shown} was not downloaded in time: ask for it again.")


def _failed(error: TryAgain, tries: int, pause: float) -> ImageRefused:
    if pause > LONGEST_PAUSE:
        said = f"{error.message} and asks to wait for {pause:.0f} s: run it again then."
    else:
        said = f"{error.message}, also at the last of {tries} tries." if tries > 1 else f"{error.message}."
    return ImageRefused("url_failed", said)


def _broken(url: WebUrl, error: Exception) -> TryAgain | ImageRefused:
    """Return what a broken connection means. A certificate that is none will not become one."""
    import ssl

    if any(isinstance(part, ssl.SSLCertVerificationError) for part in error.args):
        return ImageRefused("url_failed", f"The certificate of {url.host} is not valid: {because(error)}.")
    return TryAgain(f"The connection to {url.host} broke off ({because(error)})")
