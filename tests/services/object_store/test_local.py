"""What only a folder can get wrong: links, leftovers, full and unwritable disks."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from vitrine.services.errors import BadRequest, StorageFull, Unavailable
from vitrine.services.object_store.local import STALE_SECONDS, LocalObjectStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(folder: Path) -> LocalObjectStore:
    return LocalObjectStore(folder, min_free_mb=0)


def test_an_object_is_the_file_of_its_name(store: LocalObjectStore, folder: Path) -> None:
    store.put("a/b/x.png", b"1")
    assert (folder / "a/b/x.png").read_bytes() == b"1"
    (folder / "a/b/y.png").write_bytes(b"22")
    assert store.get("a/b/y.png") == b"22"


def test_another_store_over_the_folder_sees_the_same(store: LocalObjectStore, folder: Path) -> None:
    store.put("a/x.png", b"1")
    assert LocalObjectStore(folder).get("a/x.png") == b"1"


@pytest.mark.parametrize("link", ["a/out", "a/out/secret", "a/x", "a/loop/x"])
def test_links_lead_nowhere(store: LocalObjectStore, folder: Path, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    store.put("a/real", b"1")
    (folder / "a/out").symlink_to(outside)
    (folder / "a/x").symlink_to(outside / "secret")
    (folder / "a/loop").symlink_to(folder / "a/loop")
    for call in (store.get, store.stat, store.delete, lambda key: store.put(key, b"evil")):
        with pytest.raises(BadRequest):
            call(link)
    assert [found.key for found in store.list()] == ["a/real"]
    assert (outside / "secret").read_text() == "secret"


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = LocalObjectStore(tmp_path / "link", min_free_mb=0)
    store.put("a/x", b"1")
    assert store.get("a/x") == b"1"


def test_a_relative_folder_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = LocalObjectStore(Path("objects"), min_free_mb=0)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.put("a/x", b"1")
    assert (tmp_path / "objects/a/x").read_bytes() == b"1"


def test_a_key_cannot_be_both_an_object_and_a_folder(store: LocalObjectStore, folder: Path) -> None:
    store.put("a/b", b"1")
    store.put("c/d/e", b"1")
    for key in ("a/b/c", "a/b/c/d", "c/d", "c"):
        with pytest.raises(BadRequest):
            store.put(key, b"2")
    assert [found.key for found in store.list()] == ["a/b", "c/d/e"]
    assert list((folder / ".tmp").iterdir()) == []


def test_half_written_files_are_never_listed_and_old_ones_are_wiped(
    store: LocalObjectStore, folder: Path
) -> None:
    store.put("a/x", b"1")
    old, young = folder / ".tmp/old", folder / ".tmp/young"
    for leftover in (old, young):
        leftover.write_bytes(b"half")
    hours_ago = time.time() - 2 * STALE_SECONDS
    os.utime(old, (hours_ago, hours_ago))
    assert [found.key for found in store.list()] == ["a/x"]
    LocalObjectStore(folder)
    assert sorted(p.name for p in (folder / ".tmp").iterdir()) == [
        "young"
    ]  # another process may be writing it now


def test_writes_stop_before_the_disk_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalObjectStore(folder, min_free_mb=100)
    usage = shutil.disk_usage(folder)
    free = 100 * 2**20 + 10
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    store.put("a/x", b"0123456789")
    with pytest.raises(StorageFull, match="VITRINE_MIN_FREE_MB"):
        store.put("a/y", b"0123456789+")
    store.check()
    free = 99 * 2**20
    with pytest.raises(StorageFull):
        store.check()
    assert store.get("a/x") == b"0123456789"
    store.delete("a/x")
    assert list(store.list()) == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, Unavailable)],
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_object_and_no_leftover(
    store: LocalObjectStore,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: type[Exception],
    step: str,
) -> None:
    store.put("a/x", b"old")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(expected):
        store.put("a/x", b"new")
    assert store.get("a/x") == b"old"
    assert list((folder / ".tmp").iterdir()) == []


def test_content_and_every_new_name_are_synced_before_put_returns(
    store: LocalObjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that a crash cannot break: content, then the name, then the folders that hold new names."""
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_sync(descriptor: int) -> None:
        steps.append("sync " + os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), folder))
        fsync(descriptor)

    def record_replace(source: str, target: str) -> None:
        steps.append("name " + os.path.relpath(target, folder))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    store.put("a/b/x", b"1")
    assert steps[0].startswith("sync .tmp/")
    assert steps[1:] == ["name a/b/x", "sync a/b", "sync a", "sync ."]
    steps.clear()
    store.put("a/b/y", b"1")
    assert steps[1:] == ["name a/b/y", "sync a/b"]
    steps.clear()
    store.put("a/c/y", b"1")
    assert steps[1:] == ["name a/c/y", "sync a/c", "sync a"]


def test_an_unusable_folder_says_which_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Unavailable, match="VITRINE_DATA"):
        LocalObjectStore(tmp_path / "file" / "objects")


def test_a_folder_removed_under_the_store_is_unavailable_not_not_found(
    store: LocalObjectStore, folder: Path
) -> None:
    store.put("a/x", b"1")
    shutil.rmtree(folder)
    calls = (
        store.check,
        lambda: store.put("a/x", b"1"),
        lambda: list(store.list()),
        lambda: store.get("a/x"),
    )
    for call in (*calls, lambda: store.stat("a/x")):
        with pytest.raises(Unavailable):
            call()
    folder.mkdir()  # the empty place where a disk was mounted
    for call in (store.check, lambda: store.get("a/x")):
        with pytest.raises(Unavailable):
            call()
