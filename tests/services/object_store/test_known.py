from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitrine.services.errors import Unavailable
from vitrine.services.object_store import known as known_module
from vitrine.services.object_store.known import Known
from vitrine.services.object_store.local import LocalObjectStore

KEY = "_a/x.json"


class Shaky(LocalObjectStore):
    """A folder that can be gone, or hang until it is let go."""

    gone = False
    held: threading.Event | None = None
    reads = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, min_free_mb=0)
        self.entered = threading.Event()

    def get(self, key: str) -> bytes:
        self.reads += 1
        self.entered.set()
        if self.held is not None:
            assert self.held.wait(30)
        if self.gone:
            raise Unavailable("The object store does not answer.")
        return super().get(key)


@pytest.fixture
def store(tmp_path: Path) -> Shaky:
    made = Shaky(tmp_path)
    made.put(KEY, b"1")
    return made


@pytest.fixture
def known(store: Shaky) -> Iterator[Known]:
    made = Known(store)
    yield made
    if store.held:
        store.held.set()
    made.close()


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was read is old at once."""
    monkeypatch.setattr(known_module, "FRESH_SECONDS", 0.0)


def settle(known: Known) -> None:
    """Until the reader has nothing to do any more."""
    while (thread := known._thread) is not None:
        thread.join(10)


def test_what_was_read_is_believed_for_a_moment(known: Known, store: Shaky) -> None:
    assert [known.read(KEY, int) for _ in range(5)] == [1] * 5
    assert store.reads == 1
    known.put(KEY, b"2")
    assert known.read(KEY, int) == 2
    known.forget(KEY)
    assert known.read(KEY, int) == 1


@pytest.mark.usefixtures("old")
def test_changes_of_others_are_seen_by_the_next_reader(known: Known, store: Shaky) -> None:
    for number in range(1, 5):
        store.put(KEY, b"%d" % number)
        assert known.read(KEY, int) == number
    store.delete(KEY)
    assert known.read(KEY, int) is None
    assert known.keys("_a/") == []
    store.put(KEY, b"7")
    assert (known.read(KEY, int), known.keys("_a/")) == (7, [KEY])


@pytest.mark.usefixtures("old")
def test_a_store_that_is_gone_is_answered_for_and_noticed_when_it_is_back(known: Known, store: Shaky) -> None:
    assert known.read(KEY, int) == 1 and known.read("_a/none.json", int) is None and known.away_since is None
    store.gone = True
    for _ in range(20):
        assert known.read(KEY, int) == 1 and known.read("_a/none.json", int) is None
    settle(known)
    assert known.away_since is not None
    with pytest.raises(Unavailable):
        known.read("_a/never-read.json", int)
    store.gone = False
    store.put(KEY, b"2")
    known.read(KEY, int)
    settle(known)
    assert known.read(KEY, int) == 2 and known.away_since is None


@pytest.mark.usefixtures("old")
def test_a_store_that_hangs_costs_one_thread_and_a_moment(known: Known, store: Shaky) -> None:
    keys = [f"_a/{number}.json" for number in range(5)]
    for key in keys:
        store.put(key, b"1")
        known.read(key, int)
    settle(known)
    store.held, store.reads = threading.Event(), 0
    threads = threading.active_count()
    started = time.monotonic()
    for _ in range(200):
        assert all(known.read(key, int) == 1 for key in keys)
    assert time.monotonic() - started < 5 * known_module.PATIENCE_SECONDS + 2
    assert store.reads == 1 and threading.active_count() == threads + 1
    store.put(KEY, b"2")
    store.held.set()
    settle(known)
    assert [known.read(key, int) for key in keys] == [1] * 5


@pytest.mark.usefixtures("old")
def test_readers_at_the_same_moment_make_one_request(known: Known, store: Shaky) -> None:
    known.read(KEY, int)
    store.held, store.reads = threading.Event(), 0
    answers: list[int | None] = []
    readers = [threading.Thread(target=lambda: answers.append(known.read(KEY, int))) for _ in range(8)]
    for reader in readers:
        reader.start()
    store.held.set()
    for reader in readers:
        reader.join(10)
    settle(known)
    assert answers == [1] * 8 and store.reads < 8


@pytest.mark.usefixtures("old")
def test_nothing_is_read_after_close(known: Known, store: Shaky) -> None:
    known.read(KEY, int)
    known.close()
    store.reads = 0
    assert known.read(KEY, int) == 1
    assert store.reads == 0 and known._thread is None


def test_a_late_answer_undoes_nothing_that_was_written_meanwhile(
    known: Known, store: Shaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    known.read(KEY, int)
    store.entered.clear()
    monkeypatch.setattr(known_module, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(known_module, "PATIENCE_SECONDS", 0.0)
    store.held = threading.Event()
    known.read(KEY, int)  # begins to read the old value
    assert store.entered.wait(10)
    monkeypatch.setattr(known_module, "FRESH_SECONDS", 60.0)
    known.put(KEY, b"2")
    store.held.set()
    settle(known)
    assert known.read(KEY, int) == 2
