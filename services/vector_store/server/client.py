"""The connection to a Qdrant server or cluster: which protocol goes where, and which node is asked."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
import httpx
from qdrant_client import QdrantClient
from qdrant_client.http import ApiClient, SyncApis
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from vitrine.services.errors import BadRequest

REST_PORT = 6333
GRPC_PORT = 6334
"""Where a server with its default ports answers gRPC; nothing in a URL says where another one does."""
TIMEOUT_SECONDS = 60
GRPC_OPTIONS = {
    # a server that is back is found again at once: without these it takes gRPC up to two minutes
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 1_000,
    # a machine that is gone does not refuse: this is how long one attempt to connect takes
    "grpc.min_reconnect_backoff_ms": 2_000,
}
_LOCAL = ("localhost", "127.0.0.1", "::1")
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_BAD_GATEWAY = (502, 503, 504)
_log = logging.getLogger("vitrine.qdrant")


@dataclass(frozen=True)
class Node:
    """One server of ``QDRANT_URL``. ``grpc_port``: where it is asked by gRPC; None: by REST alone."""

    url: str
    grpc_port: int | None

    @property
    def name(self) -> str:
        """The URL as messages have it, without a user's name and password."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def open_key(self) -> bool:
        """Whether a key would travel unencrypted over a network."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and parts.hostname not in _LOCAL

    def client(
        self, *, api_key: str | None, timeout: int = TIMEOUT_SECONDS, rest: bool = False
    ) -> QdrantClient:
        """Return a client of this server; nothing goes over the network until the first call. ``BadRequest``
        if the URL is not one."""
        by_grpc = self.grpc_port is not None and not rest
        with warnings.catch_warnings():
            # `vitrine doctor` says it in a sentence, where it matters
            warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
            try:
                return QdrantClient(
                    url=self.url,
                    grpc_port=self.grpc_port or GRPC_PORT,
                    prefer_grpc=by_grpc,
                    api_key=api_key,
                    timeout=timeout,
                    # it would cost a request at every start, and its message holds a line of code
                    check_compatibility=False,
                    grpc_options=dict(GRPC_OPTIONS),
                )
            except ValueError as error:
                raise BadRequest(
                    f"QDRANT_URL={self.name!r} is not a URL such as http://localhost:6333: {error}."
                ) from error


def nodes(urls: str, *, grpc_port: int | None, prefer_grpc: bool) -> list[Node]:
    """Return the servers that ``urls`` names, separated by commas. ``BadRequest``.

    By default gRPC is spoken where REST is on its default port, because gRPC then is on its own: any other
    server might answer at the default port of gRPC, and take the writes.
    """
    found = []
    for url in (part.strip() for part in urls.split(",")):
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port or REST_PORT
        except ValueError as error:
            raise BadRequest(
                f"QDRANT_URL={url!r} is not a URL such as http://localhost:6333: {error}."
            ) from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadRequest(
                f"QDRANT_URL={url!r} is not a URL such as http://localhost:6333; several are separated "
                "by commas.",
                url=url,
            )
        default = GRPC_PORT if port == REST_PORT else None
        found.append(Node(parts.geturl(), (grpc_port or default) if prefer_grpc else None))
    return found


class AnyNode:
    """Passes calls on to the client of the node that answered last; if that node is gone, to the next, within
    the same call.

    What is called must be safe to repeat: a node may have done what it could not answer any more. Reads are,
    and so are writes that name points by id and wait for the result.
    """

    def __init__(self, clients: Sequence[QdrantClient], names: Sequence[str]) -> None:
        self._clients = list(clients)
        self._names = list(names)
        self._first = 0

    @property
    def http(self) -> SyncApis[ApiClient]:
        """The requests that the client has no method for, to the node that answered last."""
        return self._clients[self._first].http

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            first, count = self._first, len(self._clients)
            for tried in range(count):
                number = (first + tried) % count
                try:
                    answer = getattr(self._clients[number], name)(*arguments, **options)
                except Exception as error:
                    if tried == count - 1 or not is_gone(error):
                        raise
                    _log.warning("Qdrant at %s does not answer: the next is asked", self._names[number])
                else:
                    self._first = number
                    return answer
            raise AssertionError("there is no node")

        return call


def is_gone(error: Exception) -> bool:
    """Return whether the error says that a server cannot be reached or does not answer, rather than what it
    answers."""
    if isinstance(error, grpc.RpcError):
        return error.code() in _GONE
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _BAD_GATEWAY
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, httpx.TransportError)
    return isinstance(error, ConnectionError | TimeoutError)
