"""A backup is one moment of a category that others change while it is read."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.indexer.backup.test_restore import whole
from tests.indexer.pictures import CATEGORY, add_pictures, id_of, picture
from vitrine.indexer.backup import points
from vitrine.indexer.backup.create import create_backup
from vitrine.indexer.backup.place import Place, open_place
from vitrine.indexer.backup.restore import restore_backup
from vitrine.indexer.job.progress import Counts
from vitrine.services.category.editor import ImageChanges
from vitrine.services.category.manifest import manifest_key
from vitrine.services.errors import NotFound
from vitrine.services.runtime import Runtime


class Meddler:
    """A progress that does something whenever a part was read, until it has nothing left to do."""

    def __init__(self, *actions: Callable[[], object]) -> None:
        self.left = list(actions)

    def start(self, stage: str, total: int | None) -> None: ...

    def update(self, report: Counts) -> None:
        if self.left:
            self.left.pop(0)()

    def say(self, text: str) -> None: ...

    def finish(self, report: Counts) -> None: ...


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "PART_POINTS", 4)


def check_pictures(runtime: Runtime) -> None:
    """Every image has its picture, and so has every deleted one."""
    for id, (payload, _) in whole(runtime).items():
        assert runtime.objects.stat(str(payload["object_key"])), id
    for one in runtime.editor.bin.images(CATEGORY, limit=1_000).images:
        assert runtime.objects.stat(one.hit.payload["object_key"]), one.hit.id


def test_what_was_changed_while_it_was_read_is_in_it_as_it_was_at_the_end(
    runtime: Runtime, place: Place, empty: Runtime
) -> None:
    def tag(*seeds: int) -> Callable[[], object]:
        return lambda: runtime.editor.change(
            CATEGORY, [id_of(s) for s in seeds], ImageChanges(add_tags=("new",))
        )

    def forget() -> None:
        runtime.editor.delete(CATEGORY, [id_of(7)])
        runtime.editor.empty_bin(CATEGORY)

    meddler = Meddler(
        tag(*range(40)),
        lambda: add_pictures(runtime, range(40, 50)),
        lambda: runtime.editor.delete(CATEGORY, [id_of(3), id_of(41)]),
        forget,
        lambda: runtime.editor.remove(CATEGORY, [id_of(8)]),
        lambda: add_pictures(runtime, range(8, 9)),
        lambda: runtime.saved.put(CATEGORY, "new ones", {"filter": {"tags": "new"}}),
        tag(8, 44),
    )
    report = create_backup(runtime, place, progress=meddler)
    assert meddler.left == []
    assert (report.status, report.lacking) == ("complete", [])
    assert place.read().categories[0].late != ()
    assert restore_backup(empty, place).error is None
    assert whole(empty) == whole(runtime)
    check_pictures(empty)
    assert [saved.name for saved in empty.saved.all(CATEGORY)] == ["new ones"]


def test_a_vector_that_was_added_meanwhile_is_whole(runtime: Runtime, place: Place, empty: Runtime) -> None:
    """Vectors are written without a change of any payload."""
    spec = runtime.catalog.get(CATEGORY).encoders[0]

    def promote() -> None:
        from dataclasses import replace

        import numpy as np

        runtime.catalog.add_encoder(CATEGORY, replace(spec, name="other"))
        hits = runtime.vectors.scroll(CATEGORY, limit=1_000, with_vectors=(spec.name,)).hits
        rows = np.stack([hit.vectors[spec.name] for hit in hits])
        runtime.vectors.update_vectors(CATEGORY, [hit.id for hit in hits], "other", rows)
        runtime.catalog.promote(CATEGORY, "best", "other")

    create_backup(runtime, place, progress=Meddler(promote))
    assert restore_backup(empty, place).error is None
    assert empty.catalog.get(CATEGORY).encoder().name == "other"
    assert all(vectors.keys() == {spec.name, "other"} for _, vectors in whole(empty).values())


def test_a_category_that_is_deleted_meanwhile_is_left_out(runtime: Runtime, place: Place) -> None:
    report = create_backup(
        runtime, place, progress=Meddler(lambda: runtime.catalog.delete(CATEGORY, keep_images=False))
    )
    assert report.error is None
    assert report.categories == {} and "was deleted" in report.notes[0]
    assert place.read().categories == ()


def test_changes_of_many_at_once_are_in_it_whole_or_not(
    runtime: Runtime, place: Place, empty: Runtime
) -> None:
    """Each change tags two images: in no backup does one have it without the other."""
    stop = threading.Event()

    def write() -> None:
        chosen = random.Random(0)
        for number in itertools.count():
            if stop.is_set():
                return
            both = [id_of(seed) for seed in chosen.sample(range(20), 2)]
            runtime.editor.change(CATEGORY, both, ImageChanges(add_tags=(f"t{number}",)))
            if number % 5 == 0:
                add_pictures(runtime, range(100 + number, 102 + number))
            if number % 7 == 0:
                runtime.editor.delete(CATEGORY, [id_of(20 + number % 20)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            report = create_backup(runtime, open_place(place.name, runtime.settings, make=False))
            assert (report.error, report.lacking) == (None, [])
    finally:
        stop.set()
        writer.join()
    for name in place.names():
        assert restore_backup(empty, place, backup=name).error is None
        check_pictures(empty)
        having: dict[str, int] = {}
        for payload, _ in whole(empty).values():
            for tag in payload["tags"]:  # type: ignore[attr-defined]
                having[tag] = having.get(tag, 0) + 1
        assert {count for tag, count in having.items() if tag.startswith("t")} <= {2}
        empty.catalog.delete(CATEGORY, keep_images=False)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_on_a_server_it_is_read_until_nothing_is_new(
    runtime: Runtime, server: Runtime, place: Place, tmp_path: Path
) -> None:
    create_backup(runtime, place)
    restore_backup(server, place)
    theirs = open_place(str(tmp_path / "theirs"), runtime.settings, make=True)
    tag = ImageChanges(add_tags=("new",))
    changes = [lambda seed=seed: server.editor.change(CATEGORY, [id_of(seed)], tag) for seed in range(20)]
    report = create_backup(server, theirs, progress=Meddler(*changes))
    assert (report.error, report.notes) == (None, [])
    before = whole(server)
    server.catalog.delete(CATEGORY, keep_images=False)
    assert restore_backup(server, theirs).error is None
    assert {id: payload for id, (payload, _) in whole(server).items()} == {
        id: payload for id, (payload, _) in before.items()
    }

    endless = [
        lambda number=number: server.editor.change(
            CATEGORY, [id_of(number % 40)], ImageChanges(add_tags=(f"t{number}",))
        )
        for number in range(1_000)
    ]
    report = create_backup(server, theirs, progress=Meddler(*endless))
    assert report.error is None and "written to all the time" in report.notes[0]


def test_nothing_is_listed_before_it_is_complete(runtime: Runtime, place: Place) -> None:
    stop = threading.Event()
    report = create_backup(runtime, place, progress=Meddler(stop.set), stop=stop)
    assert report.interrupted and place.names() == []
    with pytest.raises(NotFound):
        place.read()
    assert create_backup(runtime, place).status == "complete"


def test_one_damaged_category_does_not_keep_others_out(runtime: Runtime, place: Place) -> None:
    runtime.catalog.create("broken", runtime.catalog.get(CATEGORY).encoders)
    runtime.objects.put(manifest_key("broken"), b"{")
    report = create_backup(runtime, place)
    assert report.categories == {CATEGORY: 40}
    assert list(report.damaged) == ["broken"] and report.exit_code == 3
    assert picture(0) in {place.get(sha256) for sha256, _, _ in place.contents()}
