"""Connections for downloads: to addresses that were checked, and within the time that a download may take."""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import httpcore

from vitrine.services.download.addresses import Address
from vitrine.services.download.rules import Rules, not_allowed
from vitrine.services.errors import ImageRefused

Resolve = Callable[[str, int], Sequence[str]]
"""Gives the addresses of a host as text; raises ``OSError``."""
_MOST_ADDRESSES = 4
"""Addresses of one host that are tried before it counts as away."""


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, in the system's order. Raises ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Deadline(threading.local):
    """When the download that a thread is at must be done. A server that sends a byte now and then keeps every
    read short, and so would never meet a limit on single reads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = math.inf

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give the thread so many seconds for what is inside."""
        self._at = self._clock() + seconds
        try:
            yield
        finally:
            self._at = math.inf

    @property
    def over(self) -> bool:
        return self._clock() >= self._at

    def left(self, timeout: float | None) -> float | None:
        """Return how long the next step may take, at most ``timeout`` seconds. Raises ``ReadTimeout`` where
        nothing is left."""
        left = self._at - self._clock()
        if left <= 0:
            raise httpcore.ReadTimeout("the download takes too long")
        if timeout is None:
            return None if math.isinf(left) else left
        return min(left, timeout)


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to addresses that the rules allow, and to nothing else.

    A name is looked up once for each connection. All of its addresses are checked, then one of them is
    connected to by number, so no second look-up can give another; the connected socket's peer is checked
    again before anything is sent. ``resolve`` and ``inner`` are for tests.
    """

    def __init__(
        self,
        rules: Rules,
        deadline: Deadline,
        *,
        resolve: Resolve = resolve,
        inner: httpcore.NetworkBackend | None = None,
    ) -> None:
        self._rules = rules
        self._deadline = deadline
        self._resolve = resolve
        self._inner = inner or httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a host. Raises ``ImageRefused`` as ``url_not_allowed`` or ``url_dead`` (no such host),
        and httpcore's errors."""
        addresses = self._addresses(host, port)
        for address in addresses:
            self._rules.check_address(host, address)
        failed: Exception = httpcore.ConnectError("no address")
        for address in addresses[:_MOST_ADDRESSES]:
            left = self._deadline.left(timeout)
            try:
                stream = self._inner.connect_tcp(str(address), port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
                continue
            if _peer(stream) != address:
                stream.close()
                raise not_allowed(host, "the connection led to another address than the one checked")
            return _TimedStream(stream, self._deadline)
        raise failed

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        raise not_allowed(path, "it is a socket of this machine")

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)

    def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            found = self._looked_up(host, port)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise httpcore.ConnectError("the name cannot be looked up now") from error
            raise ImageRefused("url_dead", f"There is no host {host}.") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        try:
            return [ip_address(text) for text in found]
        except ValueError:  # a scope after the address, for one
            raise not_allowed(host, "its address cannot be read") from None

    def _looked_up(self, host: str, port: int) -> Sequence[str]:
        """Look a name up on a thread of its own, since the system's look-up knows no deadline."""
        answers: list[Sequence[str] | Exception] = []

        def look_up() -> None:
            try:
                answers.append(self._resolve(host, port))
            except Exception as error:
                answers.append(error)

        thread = threading.Thread(target=look_up, name=f"look up {host}", daemon=True)
        thread.start()
        thread.join(self._deadline.left(None))
        if not answers:
            raise httpcore.ConnectTimeout("the name is not looked up in time")
        answer = answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every step ends with the deadline of the thread that takes it."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _peer(stream: httpcore.NetworkStream) -> Address | None:
    """Return the address at the other end of a connection; None if the socket does not say."""
    try:
        return ip_address(stream.get_extra_info("server_addr")[0])
    except (OSError, TypeError, ValueError, IndexError):
        return None
