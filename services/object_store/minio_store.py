"""Objects in a bucket: MinIO, or any endpoint that speaks the S3 API."""

from __future__ import annotations

import io
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from vitrine.services.errors import BadRequest, Conflict, NotFound, StorageFull, Unavailable, VitrineError
from vitrine.services.object_store.base import BUFFER_BYTES, MAX_URL_LIFETIME, ObjectStat
from vitrine.services.object_store.keys import RESERVED, check_key, is_key, media_type_of
from vitrine.services.object_store.outage import Outage

T = TypeVar("T")
CONNECT_SECONDS = 2.0
READ_SECONDS = 8.0
PART_BYTES = 64 * 1024 * 1024
"""Larger objects go up in parts of this size; smaller ones, nearly all images, in one request."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MISSING = ("NoSuchKey", "NoSuchBucket", "NoSuchVersion")
_NO_KEYS = (*_MISSING, "XMinioInvalidResourceName", "XMinioInvalidObjectName")
"""What a listing says where there is no bucket yet, and MinIO for a prefix that no key can have, such as
``../``."""
_CHANGED = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")
"""What a conditional write says to a writer that came too late; there is no key where the object was deleted
meanwhile."""
_EXISTS = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
_FULL = ("XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded")
_REFUSED = (
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidTokenId",
    "AuthorizationHeaderMalformed",
)


class MinioObjectStore:
    """An ``ObjectStore`` in ``bucket`` at ``endpoint`` (``host[:port]``), its keys under ``prefix``.

    Nothing goes over the network until the first call; the bucket is made by the first write that misses it.
    Endpoints that do not answer raise ``Unavailable`` within ten seconds, and at once while another caller
    waits for one already. Without keys the requests are anonymous.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        access_key: str | None,
        secret_key: str | None,
        bucket: str,
        prefix: str = "",
        secure: bool = False,
        region: str | None = None,
    ) -> None:
        if not _BUCKET.fullmatch(bucket):
            raise BadRequest(
                f"MINIO_BUCKET={bucket!r} is not a bucket name: 3 to 63 lower-case letters, digits, dots "
                "and hyphens."
            )
        self._outage = Outage((urllib3.exceptions.HTTPError, OSError))
        self._endpoint = endpoint
        self._bucket = bucket
        self._prefix = f"{check_key(prefix.strip('/'))}/" if prefix.strip("/") else ""
        # Two seconds to connect, thrice, and eight to the first byte, once: a dead endpoint is known within
        # ten. What was sent and not answered is not sent again; answers of a server in trouble are asked for
        # again.
        http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=urllib3.Retry(
                total=2,
                read=0,
                redirect=0,
                backoff_factor=0.2,
                status_forcelist=(500, 502, 503, 504),
                allowed_methods=None,
                respect_retry_after_header=False,
                raise_on_status=False,
            ),
            maxsize=32,
        )
        try:
            if not endpoint:
                raise ValueError("it is empty")
            self._client = Minio(
                endpoint,
                access_key=access_key,
                secret_key=secret_key,
                secure=secure,
                region=region,
                http_client=http,
            )
        except ValueError as error:
            raise BadRequest(
                f"MINIO_ENDPOINT={endpoint!r} is not an endpoint ({error}): give host or host:port without "
                "a scheme, and MINIO_SECURE=1 for https; give MINIO_ACCESS_KEY and MINIO_SECRET_KEY "
                "together.",
            ) from error

    def put(
        self,
        key: str,
        data: bytes,
        *,
        media_type: str = "application/octet-stream",
        durable: bool = True,
    ) -> None:
        """Write or replace; a ``media_type`` left at its default is derived from the key. What the server has
        taken is durable in any case."""
        kind = media_type if media_type != "application/octet-stream" else media_type_of(key)
        self._put(check_key(key), io.BytesIO(data), len(data), kind)

    def put_file(self, key: str, file: Path) -> None:
        with file.open("rb") as source:
            self._put(check_key(key), source, file.stat().st_size, media_type_of(key))

    def get_file(self, key: str, file: Path) -> None:
        with file.open("xb") as target, self._errors(check_key(key, foreign=True)):
            response = self._client.get_object(self._bucket, self._prefix + key)
            try:
                shutil.copyfileobj(response, target, BUFFER_BYTES)
            finally:
                response.close()
                response.release_conn()

    def get(self, key: str, *, start: int = 0, first: int | None = None) -> bytes:
        return self._fetched(key, first, start)[0]

    def read(self, key: str) -> tuple[bytes, str]:
        """Return content and version, which is the object's ETag."""
        return self._fetched(key, None)

    def replace(self, key: str, data: bytes, version: str | None) -> str:
        """Replace the object by a conditional write of S3."""
        condition = {"If-None-Match": "*"} if version is None else {"If-Match": f'"{version}"'}
        return self._written(check_key(key), lambda: self._put_conditionally(key, data, condition))

    def stat(self, key: str) -> ObjectStat | None:
        with suppress(NotFound), self._errors(check_key(key, foreign=True)):
            found = self._client.stat_object(self._bucket, self._prefix + key)
            return ObjectStat(key, found.size, found.content_type or media_type_of(key), _modified(found))
        return None

    def delete(self, key: str) -> None:
        with suppress(NotFound), self._errors(check_key(key)):
            self._client.remove_object(self._bucket, self._prefix + key)

    def folders(self, prefix: str = "") -> list[str]:
        root = self._prefix + prefix
        names = (
            str(item.object_name)[len(root) :].rstrip("/")
            for item in self._listed(prefix, recursive=False)
            if item.is_dir
        )
        return sorted(name for name in names if name and is_key(prefix + name))

    def list(self, prefix: str = "", *, foreign: bool = False) -> Iterator[ObjectStat]:
        """Yield the objects in order of the keys' UTF-8 bytes. Listings carry no media type, so here it is
        derived from the key."""
        for item in self._listed(prefix, recursive=True):
            key = str(item.object_name).removeprefix(self._prefix)
            if (foreign or is_key(key)) and key.partition("/")[0] != RESERVED:
                yield ObjectStat(key, int(item.size or 0), media_type_of(key), _modified(item))

    def url(self, key: str, *, lifetime: timedelta = MAX_URL_LIFETIME) -> str | None:
        """Return a presigned GET URL on the endpoint; it is signed here and says nothing about whether the
        object exists."""
        if not timedelta(seconds=1) <= lifetime <= MAX_URL_LIFETIME:
            raise BadRequest(f"A URL lives from 1 second to {MAX_URL_LIFETIME}, not {lifetime}.")
        with self._errors(check_key(key)):
            return str(self._client.presigned_get_object(self._bucket, self._prefix + key, expires=lifetime))

    def check(self) -> None:
        """Write and remove a small object under the reserved part, where ``list`` does not look."""
        probe = f"{RESERVED}/{secrets.token_hex(8)}"
        self._put(probe, io.BytesIO(b"vitrine"), len(b"vitrine"), "text/plain")
        with self._errors(probe):
            self._client.remove_object(self._bucket, self._prefix + probe)

    def _fetched(self, key: str, first: int | None, start: int = 0) -> tuple[bytes, str]:
        """Return the bytes from ``start`` on and the ETag; ``first``: only so many bytes."""
        with self._errors(check_key(key, foreign=True)):
            try:
                response = self._client.get_object(
                    self._bucket, self._prefix + key, offset=start, length=first or 0
                )
            except S3Error as error:
                if (first or start) and error.code == "InvalidRange":  # there is no byte that far
                    return b"", ""
                raise
            try:
                return bytes(response.read()), str(response.headers.get("etag", "")).strip('"')
            finally:
                response.close()
                response.release_conn()

    def _listed(self, prefix: str, *, recursive: bool) -> Iterator[Any]:
        found = self._client.list_objects(self._bucket, prefix=self._prefix + prefix, recursive=recursive)
        while True:
            with self._errors(prefix):
                try:
                    item = next(found, None)
                except S3Error as error:
                    if error.code not in _NO_KEYS:
                        raise
                    item = None
            if item is None:
                return
            yield item

    def _put(self, key: str, data: BinaryIO, size: int, media_type: str) -> None:
        def write() -> None:
            data.seek(0)  # it may be the second time
            self._client.put_object(
                self._bucket,
                self._prefix + key,
                data,
                size,
                content_type=media_type,
                part_size=PART_BYTES,
            )

        self._written(key, write)

    def _put_conditionally(self, key: str, data: bytes, condition: dict[str, str]) -> str:
        # put_object takes no headers; what it calls for a small object does
        headers = {"Content-Type": media_type_of(key), **condition}
        try:
            written = self._client._put_object(self._bucket, self._prefix + key, data, headers)
            return str(written.etag).strip('"')
        except S3Error as error:
            if error.code in _CHANGED:
                raise Conflict(f"The object {key!r} was changed meanwhile.", key=key) from error
            raise

    def _written(self, key: str, write: Callable[[], T]) -> T:
        # Asking first whether the bucket is there would cost a request a start, race with other writers, and
        # need a permission that writers often lack. So: write, and only where the bucket is missing make it
        # and write again.
        try:
            with self._errors(key):
                return write()
        except NotFound:
            self._make_bucket()
        with self._errors(key):
            return write()

    def _make_bucket(self) -> None:
        with self._errors():
            try:
                self._client.make_bucket(self._bucket)
            except S3Error as error:
                if error.code not in _EXISTS:  # another writer was faster
                    raise

    @contextmanager
    def _errors(self, key: str = "") -> Iterator[None]:
        try:
            with self._outage.watched():
                yield
        except S3Error as error:
            raise self._translated(error, key) from error
        except (InvalidResponseError, ServerError, ValueError, ParseError) as error:
            if "507" in (
                str(getattr(error, "status_code", "")),
                str(error).partition("Response code: ")[2][:3],
            ):
                raise self._full() from error
            raise self._unavailable(f"answered what is not S3: {error}") from error
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unavailable(f"does not answer ({type(error).__name__})") from error

    def _translated(self, error: S3Error, key: str) -> VitrineError:
        code = error.code or ""
        if code in _MISSING:
            return NotFound(f"There is no object {key!r}.", key=key)
        if code in _FULL or error.response.status == 507:
            return self._full()
        if code in _REFUSED or error.response.status in (401, 403):
            return Unavailable(
                f"The object store at {self._endpoint} refuses our credentials ({code}): check "
                "MINIO_ACCESS_KEY and MINIO_SECRET_KEY, and that they may use the bucket "
                f"{self._bucket!r} (MINIO_BUCKET).",
                endpoint=self._endpoint,
                reason=code,
            )
        return self._unavailable(f"answered {code}: {error.message}")

    def _full(self) -> StorageFull:
        return StorageFull(
            f"The object store at {self._endpoint} is out of space: add disks or delete objects there."
        )

    def _unavailable(self, what: str) -> Unavailable:
        return Unavailable(
            f"The object store at {self._endpoint} {what}. Check that it runs, MINIO_ENDPOINT and "
            "MINIO_SECURE.",
            endpoint=self._endpoint,
        )


def _modified(found: Any) -> datetime:
    modified: datetime = found.last_modified
    return modified
