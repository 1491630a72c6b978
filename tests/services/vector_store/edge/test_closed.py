"""A collection that was closed tells its numbers without being opened, and only while they are true."""

from __future__ import annotations

import os
import random
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.services.vector_store.edge_points import SCHEMA, point_id, points
from vitrine.services.errors import StoreDamaged, Unavailable
from vitrine.services.vector_store.edge.files import CollectionFiles, read_note
from vitrine.services.vector_store.edge.store import EdgeVectorStore


def is_open(store: EdgeVectorStore) -> bool:
    """Whether the engine runs, and has files of the collection in its memory."""
    return (
        store.engine_pid is not None
        and "collections/cats" in Path(f"/proc/{store.engine_pid}/maps").read_text()
    )


def filled(folder: Path, count: int = 5) -> None:
    store = EdgeVectorStore(folder)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, count))
    store.close()


@pytest.mark.parametrize("start", [False, True])
def test_numbers_need_no_open_collection(tmp_path: Path, start: bool) -> None:
    filled(tmp_path)
    store = EdgeVectorStore(tmp_path)
    if start:
        store.start()
    info = store.info("cats")
    assert (store.count("cats"), info.points, info.status) == (5, 5, "green")
    assert (store.collections(), info.schema) == (["cats"], SCHEMA)
    assert not is_open(store) and (store.engine_pid is not None) is start
    assert store.retrieve("cats", [point_id(1)]) != [None]
    assert is_open(store) and store.info("cats") == info
    store.close()


def warmed(store: EdgeVectorStore, collection: str) -> None:
    """Warm a collection, and wait until that is done."""
    before = set(threading.enumerate())
    store.warm(collection)
    for thread in set(threading.enumerate()) - before:
        thread.join()


def test_a_warmed_collection_is_open_before_it_is_asked(tmp_path: Path) -> None:
    filled(tmp_path)
    store = EdgeVectorStore(tmp_path)
    warmed(store, "dogs")
    assert not is_open(store)  # nor is it an error
    warmed(store, "cats")
    assert is_open(store)
    store.close()
    store.warm("cats")


def test_the_note_ends_with_the_first_opening(tmp_path: Path) -> None:
    filled(tmp_path)
    store = EdgeVectorStore(tmp_path)
    store.delete("cats", [point_id(0)])
    assert store.engine_pid is not None
    os.kill(store.engine_pid, signal.SIGKILL)
    assert store.count("cats") == 4
    assert is_open(store)  # nobody noted anything
    store.close()


def test_a_file_that_has_changed_since_has_the_collection_opened(tmp_path: Path) -> None:
    filled(tmp_path)
    folder = tmp_path / "collections" / "cats"
    changed = next(path for path in sorted(folder.rglob("*")) if path.is_file() and "closed" not in path.name)
    os.utime(changed, ns=(1, 1))
    store = EdgeVectorStore(tmp_path)
    assert store.count("cats") == 5 and is_open(store)
    store.close()


def test_a_note_of_which_one_bit_has_changed_says_the_same_or_nothing(tmp_path: Path) -> None:
    filled(tmp_path)
    files = CollectionFiles(tmp_path, "cats")
    note, whole = files.folder / "closed.json", read_note(files)
    assert whole is not None and whole.points == 5
    written = note.read_bytes()
    for bit in range(8 * len(written)):
        damaged = bytearray(written)
        damaged[bit // 8] ^= 1 << bit % 8
        note.write_bytes(damaged)
        assert read_note(files) in (None, whole), bytes(damaged)


def test_damage_is_not_hidden_by_the_note(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "collections" / "cats" / "points.json").write_text("6")
    store = EdgeVectorStore(tmp_path)
    with pytest.raises(StoreDamaged, match="6 were acknowledged"):
        store.count("cats")
    store.close()


def test_what_is_damaged_is_named_without_the_engine(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "collections" / "cats" / "collection.json").write_text("{")
    (tmp_path / "collections" / "unfinished").mkdir()
    store = EdgeVectorStore(tmp_path)
    assert store.collections() == ["cats"]
    with pytest.raises(StoreDamaged, match="is lost or damaged"):
        store.count("cats")
    assert store.engine_pid is None
    store.start()  # it owns the folder, and clears it up
    assert store.collections() == ["cats"]
    store.close()
    assert not (tmp_path / "collections" / "unfinished").exists()
    unasked = EdgeVectorStore(tmp_path)
    unasked.close()
    with pytest.raises(Unavailable, match="closed"):
        unasked.collections()


@pytest.mark.parametrize("number", range(5))
def test_files_and_engine_tell_the_same_while_it_starts(tmp_path: Path, number: int) -> None:
    """Many ask at once, and one of them makes a collection: nobody takes that for what a kill left behind."""
    filled(tmp_path)
    store = EdgeVectorStore(tmp_path)
    told: list[int] = []
    asking = [threading.Thread(target=lambda: told.append(store.count("cats"))) for _ in range(8)]
    asking.insert(number, threading.Thread(target=store.ensure, args=(replace(SCHEMA, name="made"),)))
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert told == [5] * 8
    store.close()
    again = EdgeVectorStore(tmp_path)
    assert again.collections() == ["cats", "made"]
    again.close()


def test_random_changes_between_openings_are_counted(tmp_path: Path) -> None:
    pick, there = random.Random(3), set[int]()
    for _ in range(6):
        store = EdgeVectorStore(tmp_path)
        store.ensure(SCHEMA)
        assert store.count("cats") == len(there)
        if pick.random() < 0.7:
            start = pick.randrange(20)
            store.upsert("cats", points(start, start + 4))
            there.update(range(start, start + 4))
        if there and pick.random() < 0.5:
            gone = pick.choice(sorted(there))
            store.delete("cats", [point_id(gone)])
            there.remove(gone)
        assert store.count("cats") == len(there)
        store.close()
