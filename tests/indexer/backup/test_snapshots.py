"""Backups with snapshots of a stub: the in-memory mode of Qdrant's client makes none."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from qdrant_client import QdrantClient, models

from tests.indexer.backup.test_restore import same, whole
from tests.indexer.pictures import CATEGORY, add_pictures, id_of
from tests.services.stub_http import Answer, receiving
from vitrine.indexer.backup.create import create_backup
from vitrine.indexer.backup.place import Place, open_place
from vitrine.indexer.backup.restore import restore_backup
from vitrine.indexer.backup.verify import prune_backups, verify_backups
from vitrine.services.category.changes.said import ImageChanges
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.vector_store.server.snapshots import ServerSnapshots
from vitrine.services.vector_store.server.store import ServerVectorStore


class StubServer:
    """What a Qdrant server says about snapshots of the collections of an in-memory client. A snapshot is a
    list of its points."""

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:")
        self.version, self.peers, self.refuses, self.corrupts = "1.20.3", 1, False, False
        self.made: dict[str, bytes] = {}
        self.loaded = 0

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        parts, query = urlsplit(path).path.strip("/").split("/"), parse_qs(urlsplit(path).query)
        if parts == [""]:
            return said({"title": "qdrant", "version": self.version})
        if parts == ["cluster"]:
            return said({"result": self.cluster()})
        collection, what = parts[1], parts[2:]
        if what == ["snapshots"]:
            data = self.packed(collection)
            self.made["one 1.snapshot"] = data
            return said({"result": {"name": "one 1.snapshot", "checksum": hashlib.sha256(data).hexdigest()}})
        if what == ["snapshots", "upload"]:
            data = body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
            assert query["checksum"] == [hashlib.sha256(data).hexdigest()] and query["priority"] == [
                "snapshot"
            ]
            if self.refuses:
                return said({"status": {"error": "no"}}, 400)
            self.unpack(collection, data)
            return said({"result": True})
        if method == "DELETE":
            del self.made[what[1].replace("%20", " ")]
            return said({"result": True})
        sent = self.made[what[1].replace("%20", " ")]
        return 200, sent[:-1] if self.corrupts else sent, "application/octet-stream"

    def cluster(self) -> dict[str, object]:
        if self.peers == 1:
            return {"status": "disabled"}
        return {
            "status": "enabled",
            "peer_id": 0,
            "peers": {str(number): {"uri": f"http://node-{number}"} for number in range(self.peers)},
            "raft_info": {"term": 1, "commit": 1, "pending_operations": 0, "is_voter": True},
            "consensus_thread_status": {"consensus_thread_status": "stopped"},
            "message_send_failures": {},
        }

    def packed(self, collection: str) -> bytes:
        points, _ = self.client.scroll(collection, limit=1_000, with_vectors=True)
        return json.dumps([[point.id, point.vector, point.payload] for point in points]).encode()

    def unpack(self, collection: str, data: bytes) -> None:
        points = [
            models.PointStruct(id=id, vector=vector, payload=payload)
            for id, vector, payload in json.loads(data)
        ]
        self.client.upsert(collection, points)
        self.loaded += 1


def said(tree: object, status: int = 200) -> Answer:
    return status, json.dumps(tree).encode(), "application/json"


@contextmanager
def on(stub: StubServer, like: Runtime, folder: Path) -> Iterator[Runtime]:
    """A runtime on the stub's server."""
    with receiving(stub.answer) as url, closing(QdrantClient(url, check_compatibility=False)) as asked:
        store = ServerVectorStore(stub.client, snapshots=ServerSnapshots(asked, "key", "stub"))
        yield assemble(like.settings, store, LocalObjectStore(folder, min_free_mb=0), like.encoders)


@pytest.fixture
def stub() -> StubServer:
    return StubServer()


@pytest.fixture
def served(stub: StubServer, runtime: Runtime, place: Place, tmp_path: Path) -> Iterator[Runtime]:
    """A filled category on a server: moved there by a backup."""
    create_backup(runtime, place)
    with on(stub, runtime, tmp_path / "first") as found:
        restore_backup(found, place)
        yield found


@pytest.fixture
def backups(served: Runtime, tmp_path: Path) -> Place:
    return open_place(str(tmp_path / "snapshots"), served.settings, make=True)


def test_a_snapshot_brings_the_points(
    served: Runtime, backups: Place, tmp_path: Path, stub: StubServer
) -> None:
    made = create_backup(served, backups, snapshots=True)
    assert (made.status, made.notes) == ("complete", []) and stub.made == {}, "nothing stays on the server"
    other = StubServer()
    with on(other, served, tmp_path / "second") as restored:
        report = restore_backup(restored, backups)
        assert (report.error, report.notes, report.categories) == (None, [], {CATEGORY: 40})
        assert other.loaded == 1 and same(whole(served), whole(restored))


def test_what_is_in_the_snapshot_and_not_in_the_backup_is_put_right(
    served: Runtime, backups: Place, tmp_path: Path, stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = whole(served)
    packed = stub.packed

    def later(collection: str) -> bytes:
        add_pictures(served, range(40, 44))
        served.editor.change(CATEGORY, [id_of(1)], ImageChanges(add_tags=("later",)))
        served.editor.delete(CATEGORY, [id_of(2)])
        return packed(collection)

    monkeypatch.setattr(stub, "packed", later)
    create_backup(served, backups, snapshots=True)
    other = StubServer()
    with on(other, served, tmp_path / "second") as restored:
        report = restore_backup(restored, backups)
        assert (report.error, other.loaded) == (None, 1)
        assert same(before, whole(restored))


@pytest.mark.parametrize(
    "how",
    ["another version", "it refuses", "one of several", "a damaged file", "no space", "the embedded engine"],
)
def test_without_a_snapshot_that_can_be_read_the_points_are_written(
    served: Runtime, backups: Place, tmp_path: Path, empty: Runtime, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_backup(served, backups, snapshots=True)
    other = StubServer()
    other.version, other.refuses = "1.21.0" if how == "another version" else "1.20.9", how == "it refuses"
    snapshot = backups.read().categories[0].snapshot
    assert snapshot is not None and snapshot.engine == "qdrant 1.20"
    if how == "a damaged file":
        (tmp_path / "snapshots" / backups.file(snapshot.sha256)).write_bytes(b"other")
        assert [fault.file for fault in verify_backups(backups).faults] == [backups.file(snapshot.sha256)]
    if how == "no space":
        monkeypatch.setattr(Place, "get_file", lambda *_: raising(OSError(errno.ENOSPC, "No space left")))
    if how == "one of several":
        other.peers = 2
    with on(other, served, tmp_path / "second") as restored:
        target = empty if how == "the embedded engine" else restored
        report = restore_backup(target, backups)
        assert (report.error, other.loaded) == (None, 0)
        assert bool(report.notes) == (how != "the embedded engine")
        assert same(whole(served), whole(target))


def test_a_snapshot_is_made_again_only_where_something_has_changed(
    served: Runtime, backups: Place, tmp_path: Path
) -> None:
    def made() -> str:
        create_backup(
            served, open_place(str(tmp_path / "snapshots"), served.settings, make=False), snapshots=True
        )
        snapshot = backups.read().categories[0].snapshot
        assert snapshot is not None
        return snapshot.sha256

    first = made()
    assert made() == first
    served.editor.change(CATEGORY, [id_of(1)], ImageChanges(add_tags=("later",)))
    assert made() != first
    prune_backups(backups, keep=1)
    assert verify_backups(open_place(str(tmp_path / "snapshots"), served.settings, make=False)).faults == []


def test_where_no_snapshot_can_be_made_the_report_says_so(
    runtime: Runtime,
    place: Place,
    served: Runtime,
    backups: Place,
    stub: StubServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def note() -> str:
        made = create_backup(served, backups, snapshots=True)
        assert made.status == "complete" and backups.read().categories[0].snapshot is None
        (told,) = made.notes
        return told

    stub.peers = 3
    assert "one of 3 nodes" in note()
    stub.peers, stub.version = 1, "dev"
    assert "no Qdrant server" in note()
    stub.version, stub.corrupts = "1.20.3", True
    assert "arrived otherwise" in note() and stub.made == {}
    stub.corrupts = False
    with monkeypatch.context() as full:
        full.setattr(ServerSnapshots, "_download", lambda *_: raising(OSError(errno.ENOSPC, "No space left")))
        assert "o space left" in note()
    assert not list(served.settings.data.glob(".snapshot-*"))
    (told,) = create_backup(runtime, place, snapshots=True).notes
    assert "Qdrant server" in told


def raising(error: Exception) -> None:
    raise error


def test_a_restore_that_was_interrupted_after_its_snapshot_is_put_right_by_the_next(
    served: Runtime, backups: Place, tmp_path: Path, stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, packed = whole(served), stub.packed

    def later(collection: str) -> bytes:
        served.editor.change(CATEGORY, [id_of(1)], ImageChanges(add_tags=("later",)))
        return packed(collection)

    monkeypatch.setattr(stub, "packed", later)
    create_backup(served, backups, snapshots=True)
    other, stop = StubServer(), threading.Event()
    with on(other, served, tmp_path / "second") as restored:
        monkeypatch.setattr(other, "unpack", lambda *given: (StubServer.unpack(other, *given), stop.set()))
        assert restore_backup(restored, backups, stop=stop).interrupted and other.loaded == 1
        assert restore_backup(restored, backups).error is None and other.loaded == 1
        assert same(before, whole(restored))
