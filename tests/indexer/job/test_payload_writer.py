"""Pages of payloads: images that are deleted while they are written to are left out, whatever the engine says
of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.indexer.enrich.scores.heads import fill, id_of, stored
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.indexer.job import payload_writer
from vitrine.indexer.job.payload_writer import Change, PayloadWriter, erase_field, revise
from vitrine.services.domain import Hit
from vitrine.services.errors import NotFound
from vitrine.services.filters.conditions import Filter, Range
from vitrine.services.runtime import Runtime
from vitrine.services.values.field_paths import field_path

IMAGES = 12


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    made = make_runtime(tmp_path)
    fill(made, IMAGES, {n: {"class": "mug", "metadata": {"shop": "A", "year": n}} for n in range(IMAGES)})
    return made


def test_fields_are_set_and_removed_at_once(runtime: Runtime) -> None:
    writer = PayloadWriter(runtime, CATEGORY, key="metadata")
    changes = {
        id_of(0): Change({"shop": "B"}),
        id_of(1): Change({"shop": "C"}, ("metadata.year",)),
        id_of(2): Change(delete=("metadata.shop", "class")),
        id_of(3): Change(),
    }
    assert writer.write(changes) == 3
    images = stored(runtime)
    assert images["0.png"][0]["metadata"] == {"shop": "B", "year": 0}
    assert images["1.png"][0]["metadata"] == {"shop": "C"}
    assert images["2.png"][0]["metadata"] == {"year": 2} and "class" not in images["2.png"][0]


@pytest.mark.parametrize("named", [True, False])
def test_images_deleted_meanwhile_are_left_out(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """A server that finds out while it writes does not name them."""
    runtime.vectors.delete(CATEGORY, [id_of(0), id_of(3)])
    set_payload = runtime.vectors.set_payload

    def complaining(category: str, updates: Mapping[str, Any], **options: Any) -> None:
        if not named and {id_of(0), id_of(3)} & updates.keys():
            raise NotFound("Not all of these points are there.")
        set_payload(category, updates, **options)

    monkeypatch.setattr(runtime.vectors, "set_payload", complaining)
    writer = PayloadWriter(runtime, CATEGORY)
    changes = {id_of(n): Change({"class": "cup"}, ("metadata",) if n == 3 else ()) for n in range(5)}
    assert writer.write(changes) == 3
    assert sum(payload.get("class") == "cup" for payload, _ in stored(runtime).values()) == 3
    assert writer.write({id_of(0): Change({"class": "cup"})}) == 0


def test_others_write_while_what_was_written_is_made_durable(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_writer, "FLUSH_EVERY", 8)
    flush, free, written = runtime.vectors.flush, list[bool](), list[int]()

    def watched(category: str) -> None:
        pool = ThreadPoolExecutor(1)
        free.append(pool.submit(can_write, runtime.catalog.writing(category)).result(timeout=30))
        pool.shutdown(wait=False)
        flush(category)

    def can_write(turn: AbstractContextManager[object]) -> bool:
        with turn:
            return True

    monkeypatch.setattr(runtime.vectors, "flush", watched)

    def cups(hits: Sequence[Hit]) -> dict[str, Change]:
        return {hit.id: Change({"class": "cup"}) for hit in hits}

    for _, changed in revise(PayloadWriter(runtime, CATEGORY), cups, size=4):
        written.append(changed)
    assert written == [4, 4, 4]
    assert free == [True, True]  # after eight images, and at the end


def test_what_is_missing_but_an_image_is_told(runtime: Runtime) -> None:
    with pytest.raises(NotFound, match="collection"):
        PayloadWriter(runtime, "nowhere").write({id_of(0): Change({"class": "cup"})})


def test_a_field_is_erased_page_by_page_and_again_goes_on(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_writer, "PAGE", 5)
    runtime.catalog.ensure_indexes(CATEGORY, {"metadata.year": "integer"})
    inside = Filter(must=(Range("metadata.year", gte=0),))
    stop, write = threading.Event(), PayloadWriter.write

    def stopping(self: PayloadWriter, *given: Any) -> int:
        stop.set()
        return write(self, *given)

    monkeypatch.setattr(PayloadWriter, "write", stopping)
    with pytest.raises(InterruptedError):
        erase_field(runtime, CATEGORY, field_path("metadata", "year"), inside, stop=stop)
    assert sum("year" in payload["metadata"] for payload, _ in stored(runtime).values()) == IMAGES - 5
    erase_field(runtime, CATEGORY, field_path("metadata", "year"), inside)
    assert all(payload["metadata"] == {"shop": "A"} for payload, _ in stored(runtime).values())
