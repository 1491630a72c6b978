"""What all kinds share: one read of what is in service, writers at the same moment, and what kills leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.services.artifacts.test_clusters import make_run
from vitrine.services.artifacts.clusters import ClusterStore
from vitrine.services.artifacts.duplicates import DuplicateGroup, DuplicateRun, DuplicateStore, Member
from vitrine.services.artifacts.maps import CategoryMap, MapStore
from vitrine.services.artifacts.store import ArtifactStore, Entry
from vitrine.services.artifacts.taggers import TaggerStore, TagHead
from vitrine.services.errors import NotFound, Unavailable
from vitrine.services.object_store import known
from vitrine.services.object_store.local import LocalObjectStore


class Counted(LocalObjectStore):
    """A folder that counts what is read of it, and can be gone."""

    gone = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, min_free_mb=0)
        self.reads: Counter[str] = Counter()

    def get(self, key: str, *, first: int | None = None) -> bytes:
        self.reads[key] += 1
        if self.gone:
            raise Unavailable("The object store does not answer.")
        return super().get(key, first=first)


def groups(*sizes: int) -> DuplicateRun:
    """A run with groups of so many members."""
    made = []
    for size in sizes:
        made.append(DuplicateGroup("", tuple(Member(f"{size}-{n}", "keep", 1.0) for n in range(size))))
    return DuplicateRun("clip", sum(sizes), tuple(made))


MADE: dict[str, tuple[type[ArtifactStore[Any]], Any, str]] = {
    "cluster runs": (ClusterStore, make_run(), "look"),
    "maps": (MapStore, CategoryMap("flat", "pca", "clip", "abc", 3), "flat"),
    "duplicates": (DuplicateStore, groups(2, 3), "groups"),
}
kinds = pytest.mark.parametrize(("kind", "made", "name"), MADE.values(), ids=MADE)


@pytest.fixture
def objects(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


def head(tag: str) -> TagHead:
    return TagHead(tag, "by-hand", "clip", "abc", np.ones(4, np.float32), 0.5)


def ways_to_ask(objects: Counted) -> dict[str, Callable[[], object]]:
    """By kind, what a query asks of a store that has read nothing yet; each has something in service."""
    for kind, made, _ in MADE.values():
        store = kind(objects)
        store.put_in_service("shop", store.save("shop", made).key)
    TaggerStore(objects).save("shop", [head("red"), head("blue")], scored=["red"])
    clusters, maps = ClusterStore(objects), MapStore(objects)
    duplicates, taggers = DuplicateStore(objects), TaggerStore(objects)
    return {
        "cluster runs": lambda: clusters.get("shop", "look"),
        "maps": lambda: maps.get("shop", "flat"),
        "duplicates": lambda: duplicates.get("shop"),
        "taggers": lambda: (taggers.in_service("shop"), taggers.unsettled("shop")),
    }


@pytest.mark.parametrize("name", ["cluster runs", "maps", "duplicates", "taggers"])
def test_the_second_query_reads_nothing_and_answers_without_the_object_store(
    objects: Counted, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ways_to_ask(objects)[name]
    objects.reads.clear()
    first = ask()
    assert 2 <= sum(objects.reads.values()) <= 3 and set(objects.reads.values()) == {1}
    objects.reads.clear()
    assert ask() == first and not objects.reads
    monkeypatch.setattr(known, "FRESH_SECONDS", 0.0)
    ask()
    assert list(objects.reads) == [next(key for key in objects.reads if key.endswith("current.json"))]
    objects.gone = True
    assert ask() == first


@kinds
def test_of_two_writers_at_the_same_moment_each_gets_a_key(
    tmp_path: Path, kind: type[ArtifactStore[Any]], made: Any, name: str
) -> None:
    def save(number: int) -> str:
        return str(kind(LocalObjectStore(tmp_path, min_free_mb=0)).save("shop", made).key)

    with ThreadPoolExecutor(4) as pool:
        keys = sorted(pool.map(save, range(8)))
    assert keys == [f"{name}-{number}" for number in range(1, 9)]
    assert kind(LocalObjectStore(tmp_path, min_free_mb=0)).leftovers("shop", name) == keys


@kinds
def test_killed_between_any_two_writes_the_former_or_the_new_one_is_in_service(
    objects: Counted, kind: type[ArtifactStore[Any]], made: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def put(key: str, data: bytes, *, media_type: str = "") -> None:
        if not left:
            raise Killed
        left.pop()
        LocalObjectStore.put(objects, key, data, media_type=media_type)

    store = kind(objects)
    former = store.save("shop", made).key
    store.put_in_service("shop", former)
    for writes in range(9):
        left = [None] * writes
        ended = False
        with monkeypatch.context() as patched:
            patched.setattr(objects, "put", put)
            try:
                new = kind(objects).save("shop", made).key
                kind(objects).put_in_service("shop", new)
                ended = True
            except Killed:
                pass
        reader = kind(objects)
        assert reader.key_of("shop", name) == (new if ended else former)
        assert reader.get("shop", name).using == made.using
        for key in reader.leftovers("shop", name):
            reader.remove("shop", key)
        assert reader.leftovers("shop", name) == []
        if ended:
            break
    assert ended and writes >= 2
    folders = {key.split("/")[2] for key in (stat.key for stat in objects.list(kind.prefix))}
    assert folders == {"current.json", new}


def test_changes_of_two_processes_at_the_same_moment_are_both_kept(tmp_path: Path) -> None:
    stores = [DuplicateStore(LocalObjectStore(tmp_path, min_free_mb=0)) for _ in range(4)]
    run = stores[0].save("shop", groups(*range(2, 18)))
    stores[0].put_in_service("shop", run.key)

    def drop(number: int) -> None:
        id = run.groups[number].id
        stores[number % 4].update("shop", run.key, lambda present: present.without({id}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(drop, range(15)))
    assert [group.id for group in DuplicateStore(LocalObjectStore(tmp_path)).get("shop").groups] == ["1-16"]


def test_what_was_replaced_is_not_changed(objects: Counted) -> None:
    store = DuplicateStore(objects)
    old = store.save("shop", groups(2))
    store.put_in_service("shop", old.key)
    new = store.save("shop", groups(3))
    store.put_in_service("shop", new.key)
    with pytest.raises(NotFound, match="replaced meanwhile"):
        store.update("shop", old.key, lambda run: run.without({"1-1"}))
    assert len(store.read("shop", old.key).groups) == 1


def test_a_key_that_another_process_uses_again_is_read_again(
    objects: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = ClusterStore(objects), ClusterStore(objects)
    for seed in range(3):
        saved = writer.save("shop", make_run(seed=seed))
        writer.put_in_service("shop", saved.key)
        for key in writer.leftovers("shop", "look"):
            writer.remove("shop", key)
        monkeypatch.setattr(known, "FRESH_SECONDS", 0.0)
        assert reader.get("shop", "look").seed == seed
    assert saved.key == "look-1"


def test_what_is_gone_is_not_held(objects: Counted) -> None:
    store = DuplicateStore(objects)
    for _ in range(3):
        store.put_in_service("shop", store.save("shop", groups(2)).key)
    assert list(store._held) == [("shop", "groups-3")]
    store.forget("shop")
    assert not store._held


def test_an_entry_says_what_queries_need_without_reading_more(objects: Counted) -> None:
    store = DuplicateStore(objects)
    store.put_in_service("shop", store.save("shop", groups(2)).key)
    asked = DuplicateStore(objects)
    objects.reads.clear()
    assert asked.collapsing_key("shop") == asked.current_key("shop") == "groups-1"
    assert dict(objects.reads) == {"_duplicates/shop/current.json": 1}
    assert isinstance(asked.entries("shop")["groups"], Entry)
