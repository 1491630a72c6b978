"""One writer at a time among programs that share nothing but the object store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.category.catalog import Catalog
from vitrine.services.category.editor import Editor, ImageChanges
from vitrine.services.category.leases import Leases
from vitrine.services.domain import Point
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.errors import NotFound, Unavailable
from vitrine.services.images.open import point_id
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import assemble
from vitrine.services.search.questions import unit
from vitrine.services.settings import Settings

IMAGE = point_id("a" * 64)


def test_of_many_programs_one_has_it_at_a_time(each_object_store: ObjectStore) -> None:
    """Each adds to a number that it reads and writes back: none is lost, of two categories either."""
    objects = each_object_store

    def work(number: int) -> None:
        leases = Leases(objects)
        for turn in range(6):
            name = ("cats", "dogs")[(number + turn) % 2]
            with leases.take(name):
                try:
                    count = int(objects.get(f"{name}/count"))
                except NotFound:
                    count = 0
                objects.put(f"{name}/count", str(count + 1).encode())

    with ThreadPoolExecutor(5) as programs:
        list(programs.map(work, range(5)))
    assert [objects.get(f"{name}/count") for name in ("cats", "dogs")] == [b"15", b"15"]


def test_who_dies_with_it_holds_up_others_for_a_while_only(each_object_store: ObjectStore) -> None:
    with ExitStack() as dead:
        dead.enter_context(Leases(each_object_store, renewed_seconds=1_000).take("cats"))
        taken = threading.Event()

        def work() -> None:
            with Leases(each_object_store, dead_seconds=1.5).take("cats"):
                taken.set()

        waiting = threading.Thread(target=work)
        waiting.start()
        assert not taken.wait(0.1)
        waiting.join()
        assert taken.is_set()


def test_who_lives_keeps_it_for_as_long_as_it_takes(objects: ObjectStore) -> None:
    taken = threading.Event()

    def work() -> None:
        with Leases(objects, dead_seconds=2.0).take("cats"):
            taken.set()

    waiting = threading.Thread(target=work)
    with Leases(objects, renewed_seconds=0.05).take("cats"):
        waiting.start()
        assert not taken.wait(3.0)
    waiting.join()
    assert taken.is_set()


def test_who_lost_it_says_so_and_leaves_it_to_the_other(
    objects: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    with Leases(objects, renewed_seconds=1_000).take("cats"):
        other = Leases(objects, dead_seconds=0.0).take("cats")
        other.__enter__()
        held = objects.get("_turns/cats")
    assert "was taken over" in caplog.text
    assert objects.get("_turns/cats") == held != b"free"
    other.__exit__(None, None, None)
    assert objects.get("_turns/cats") == b"free"


class Deaf(LocalObjectStore):
    """Its answers to writes get lost, and the client writes again."""

    def replace(self, key: str, data: bytes, version: str | None) -> str:
        super().replace(key, data, version)
        return super().replace(key, data, version)


def test_an_answer_that_got_lost_is_no_other_program(tmp_path: Path) -> None:
    objects = Deaf(tmp_path, min_free_mb=0)
    leases = Leases(objects, dead_seconds=1_000)
    for _ in range(3):
        with leases.take("cats"):
            assert objects.get("_turns/cats") != b"free"
    assert objects.get("_turns/cats") == b"free"


def test_a_store_that_cannot_be_reached_is_an_error(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> str:
        raise Unavailable("The object store does not answer.")

    monkeypatch.setattr(objects, "replace", fail)
    with pytest.raises(Unavailable), Leases(objects).take("cats"):
        pass


def test_two_servers_change_one_image(objects: ObjectStore, tmp_path: Path) -> None:
    """Each is a program of its own; they share a Qdrant server and a bucket."""
    vectors = OracleVectorStore()
    spec = ColourEncoder().spec
    settings = Settings(  # type: ignore[call-arg,unused-ignore]
        _env_file=None, data=tmp_path, qdrant_url="http://qdrant:6333", minio_endpoint="minio:9000"
    )

    def editor() -> Editor:
        return assemble(settings, vectors, objects, EncoderPool(settings)).editor

    Catalog(objects, vectors).create("cats", [spec])
    vector = unit([1.0] * spec.dim)
    vectors.upsert("cats", [Point(IMAGE, {spec.name: vector}, {"object_key": "cats/images/a", "tags": []})])

    def work(number: int) -> None:
        mine = editor()
        for turn in range(8):
            mine.change("cats", [IMAGE], ImageChanges(add_tags=(f"t{number}-{turn}",)))

    with ThreadPoolExecutor(3) as servers:
        list(servers.map(work, range(3)))
    (hit,) = vectors.retrieve("cats", [IMAGE])
    assert hit is not None and set(hit.payload["tags"]) == {
        f"t{n}-{turn}" for n in range(3) for turn in range(8)
    }
