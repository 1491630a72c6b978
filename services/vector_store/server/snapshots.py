"""Snapshots of the collections of one Qdrant server, by its REST API: files that hold a collection with its
search index."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
from qdrant_client import QdrantClient

from vitrine.services.errors import BadRequest, NotFound, StoreDamaged, Unavailable, VitrineError
from vitrine.services.vector_store.server.check import peers_of, version_of

_PIECE: Final = 1 << 20
_PATIENCE: Final = httpx.Timeout(60)
_PACKING: Final = httpx.Timeout(60, read=6 * 3600, write=600)
"""Seconds. A server answers when it has packed, or unpacked, the whole collection."""
_log = logging.getLogger("vitrine.qdrant")


@dataclass(frozen=True)
class ServerSnapshots:
    """Makes and reads them. ``name``: as messages call the server."""

    client: QdrantClient
    api_key: str | None
    name: str

    def engine(self) -> str:
        """Return the kind of engine that reads what ``save`` writes: a server of the same minor version.
        ``Unavailable``."""
        with self._understood():
            major, minor, *_ = version_of(self.client).split(".")
            return f"qdrant {major}.{minor}"

    def save(self, collection: str, file: Path) -> None:
        """Write a snapshot of a collection into a new file; nothing of it stays on the server. What others
        write meanwhile may be in it or not.

        ``NotFound``, ``Unavailable``; ``BadRequest`` where parts of the collection are on other nodes, of
        which the snapshot would know nothing; ``StoreDamaged`` where other bytes arrive than were sent.
        """
        self._check_alone(collection)
        at = f"/collections/{quote(collection, safe='')}/snapshots"
        with self._understood():
            made = self._json("POST", at, params={"wait": "true"}, patience=_PACKING)["result"]
            snapshot, checksum = f"{at}/{quote(made['name'], safe='')}", made.get("checksum")
        try:
            found = self._download(snapshot, file)
        finally:
            try:
                self._json("DELETE", snapshot, params={"wait": "true"})
            except VitrineError as error:  # what was downloaded is good without
                _log.warning("A snapshot stays on the server: %s", error.message)
        if checksum not in (None, found):
            raise StoreDamaged(
                f"The snapshot of collection {collection!r} arrived otherwise than {self.name} sent it: "
                "try again.",
                collection=collection,
            )

    def load(self, collection: str, file: Path) -> None:
        """Put a snapshot in place of a collection. ``Unavailable``, ``BadRequest`` where the server cannot
        read it, or is one of several."""
        self._check_alone(collection)
        with file.open("rb") as opened:
            checksum = hashlib.file_digest(opened, "sha256").hexdigest()
            opened.seek(0)
            self._json(
                "POST",
                f"/collections/{quote(collection, safe='')}/snapshots/upload",
                params={"priority": "snapshot", "wait": "true", "checksum": checksum},
                files={"snapshot": (f"{collection}.snapshot", opened)},
                patience=_PACKING,
            )

    def _check_alone(self, collection: str) -> None:
        """Raise ``BadRequest`` where the server is one node of several: a snapshot holds the parts of one."""
        peers = peers_of(self.client)
        if peers is None:
            raise Unavailable(
                f"Qdrant at {self.name} does not say of which nodes it consists.", server=self.name
            )
        if len(peers) > 1:
            raise BadRequest(
                f"{self.name} is one of {len(peers)} nodes: a snapshot holds the parts of a collection that "
                "one of them has.",
                collection=collection,
            )

    def _download(self, path: str, file: Path) -> str:
        """Write what is at a path into a new file, and return its SHA-256."""
        digest = hashlib.sha256()
        with (
            self._client(_PACKING) as client,
            client.stream("GET", path) as answer,
            file.open("xb") as written,
        ):
            self._check(answer)
            for piece in answer.iter_bytes(_PIECE):
                digest.update(piece)
                written.write(piece)
        return digest.hexdigest()

    def _json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        files: Any = None,
        patience: httpx.Timeout = _PATIENCE,
    ) -> Any:
        with self._client(patience) as client:
            answer = client.request(method, path, params=params, files=files)
            self._check(answer)
            return answer.json()

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Raise ``Unavailable`` where an answer is none of a Qdrant server."""
        try:
            yield
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise Unavailable(
                f"What answers at {self.name} is no Qdrant server that Vitrine understands: look what "
                "QDRANT_URL names.",
                server=self.name,
            ) from error

    @contextmanager
    def _client(self, patience: httpx.Timeout) -> Iterator[httpx.Client]:
        headers = {"api-key": self.api_key} if self.api_key else {}
        try:
            with httpx.Client(
                base_url=self.client.http.client.host, headers=headers, timeout=patience
            ) as client:
                yield client
        except httpx.HTTPError as error:
            raise Unavailable(
                f"Qdrant at {self.name} does not answer: {error}. Is it running?", server=self.name
            ) from error

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        text = answer.read().decode("utf-8", "replace")[:500]
        kind = {400: BadRequest, 404: NotFound}.get(answer.status_code, Unavailable)
        raise kind(
            f"Qdrant at {self.name} refused a snapshot ({answer.status_code}): {text}", server=self.name
        )
