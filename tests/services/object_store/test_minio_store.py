"""What only a server can get wrong: silence, refusals and full disks, each with the setting to look at."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from minio.error import S3Error

from vitrine.services.errors import BadRequest, NotFound, StorageFull, Unavailable
from vitrine.services.object_store import minio_store
from vitrine.services.object_store.minio_store import MinioObjectStore


def store_at(endpoint: str, *, bucket: str = "pictures", prefix: str = "") -> MinioObjectStore:
    return MinioObjectStore(
        endpoint,
        access_key="AKEY",
        secret_key="very-secret",
        bucket=bucket,
        prefix=prefix,
        region="us-east-1",
    )


@contextmanager
def answering(
    status: int, code: str | None, content_type: str = "application/xml"
) -> Iterator[tuple[str, list[str]]]:
    """A server that gives one answer to everything; yields its endpoint and the requests it saw."""
    seen: list[str] = []
    body = "" if code is None else f"<Error><Code>{code}</Code><Message>m</Message></Error>"

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            seen.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(0 if self.command == "HEAD" else len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def test_nothing_is_sent_before_the_first_call() -> None:
    with answering(500, "InternalError") as (endpoint, seen):
        store_at(endpoint)
        assert seen == []


def test_a_dead_endpoint_is_named_within_ten_seconds() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{unused.getsockname()[1]}"
        store = store_at(endpoint)
        for call in (
            store.check,
            lambda: store.get("a/x"),
            lambda: store.stat("a/x"),
            lambda: list(store.list()),
        ):
            started = time.monotonic()
            with pytest.raises(Unavailable, match="MINIO_ENDPOINT") as caught:
                call()
            assert time.monotonic() - started < 10
            assert endpoint in caught.value.message


def test_a_silent_endpoint_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 3 * minio_store.CONNECT_SECONDS + minio_store.READ_SECONDS < 15
    monkeypatch.setattr(minio_store, "READ_SECONDS", 0.2)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)  # connections are taken up by the kernel, and nobody ever answers
        store = store_at(f"127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(Unavailable, match="does not answer"):
            store.check()
        listening.setblocking(False)
        listening.accept()[0].close()
        with pytest.raises(BlockingIOError):  # once: what was sent and not answered is not sent again
            listening.accept()


@pytest.mark.parametrize(
    "code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "SomethingElse"]
)
def test_refused_credentials_name_the_variables_and_not_the_secret(code: str) -> None:
    with answering(403, code) as (endpoint, _):
        store = store_at(endpoint)
        for call in (
            store.check,
            lambda: store.get("a/x"),
            lambda: store.put("a/x", b"1"),
            lambda: store.stat("a/x"),
        ):
            with pytest.raises(Unavailable, match="MINIO_ACCESS_KEY and MINIO_SECRET_KEY") as caught:
                call()
            assert "very-secret" not in caught.value.message
            assert "MINIO_BUCKET" in caught.value.message


@pytest.mark.parametrize(
    ("code", "content_type"),
    [("XMinioStorageFull", "application/xml"), ("Unheard", "application/xml"), (None, "text/html")],
)
def test_a_full_server_is_storage_full(code: str | None, content_type: str) -> None:
    with answering(507, code, content_type) as (endpoint, _), pytest.raises(StorageFull):
        store_at(endpoint).put("a/x", b"1")


@pytest.mark.parametrize(
    ("status", "code", "content_type"), [(502, None, "text/html"), (500, "InternalError", "application/xml")]
)
def test_other_failures_are_unavailable(status: int, code: str | None, content_type: str) -> None:
    with answering(status, code, content_type) as (endpoint, seen), pytest.raises(Unavailable):
        store_at(endpoint).get("a/x")
    assert len(seen) == 3  # a server in trouble is asked again, twice


def test_a_website_is_no_object_store() -> None:
    with answering(200, "html", "text/html") as (endpoint, _), pytest.raises(Unavailable):
        list(store_at(endpoint).list())


def test_a_missing_bucket_that_cannot_be_made_ends() -> None:
    with answering(404, "NoSuchBucket") as (endpoint, seen), pytest.raises(NotFound):
        store_at(endpoint).put("a/x", b"1")
    assert len(seen) <= 3


@pytest.mark.parametrize("code", ["BucketAlreadyOwnedByYou", "BucketAlreadyExists"])
def test_a_bucket_that_another_writer_made_meanwhile_is_used(
    monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    store = store_at("127.0.0.1:1")
    steps: list[str] = []

    def error(code: str) -> S3Error:
        return S3Error(SimpleNamespace(status=409), code, "m", None, None, None)

    def put_object(*_: object, **__: object) -> None:
        steps.append("put")
        if len(steps) == 1:
            raise error("NoSuchBucket")

    def make_bucket(name: str) -> None:
        steps.append(f"make {name}")
        raise error(code)

    monkeypatch.setattr(store._client, "put_object", put_object)
    monkeypatch.setattr(store._client, "make_bucket", make_bucket)
    store.put("a/x", b"1")
    assert steps == ["put", "make pictures", "put"]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "127.0.0.1:9000/path", ""])
def test_a_malformed_endpoint_says_its_form(endpoint: str) -> None:
    with pytest.raises(BadRequest, match="MINIO_ENDPOINT"):
        store_at(endpoint)


def test_a_malformed_prefix_or_bucket_is_refused() -> None:
    with pytest.raises(BadRequest):
        store_at("127.0.0.1:9000", prefix="a/../b")
    with pytest.raises(BadRequest, match="MINIO_BUCKET"):
        store_at("127.0.0.1:9000", bucket="Not A Bucket")


def test_one_key_without_the_other_is_refused() -> None:
    with pytest.raises(BadRequest, match="MINIO_SECRET_KEY"):
        MinioObjectStore("127.0.0.1:9000", access_key="AKEY", secret_key=None, bucket="pictures")
