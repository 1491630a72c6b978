"""A folder and a category that is kept like it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.indexer.pictures import CATEGORY, id_of, payloads, picture, write
from tests.indexer.sources.test_sources import zipped
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.ingest.sync.options import SyncOptions
from vitrine.indexer.ingest.sync.report import SyncReport
from vitrine.indexer.ingest.sync.sync import sync_folder
from vitrine.indexer.job.report import IndexReport
from vitrine.indexer.sources import base
from vitrine.indexer.sources.open import open_source
from vitrine.services.category.editor import ImageChanges
from vitrine.services.errors import StoreDamaged
from vitrine.services.object_store.base import list_keys
from vitrine.services.object_store.keys import SYNC
from vitrine.services.runtime import Runtime

LONG_AGO = 1_500_000_000


def old(folder: Path) -> Path:
    """The folder, all of whose files were changed long ago."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (LONG_AGO, LONG_AGO))
    return folder


def folder_of(path: Path, **seeds: int) -> Path:
    return old(write(path, {f"{name.replace('__', '/')}.png": picture(seed) for name, seed in seeds.items()}))


def sync(runtime: Runtime, folder: Path, **options: Any) -> SyncReport:
    return sync_folder(runtime, CATEGORY, folder, SyncOptions(**options))


def counts(report: SyncReport) -> tuple[int, int, int, int, int]:
    """Added, known, moved, gone, unchanged."""
    read = report.indexed
    return read.added, read.known, len(report.moved), len(report.gone), report.unchanged


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, as they are read."""
    names: list[str] = []
    read = base.read_file

    def noted(path: str, max_bytes: int) -> bytes:
        names.append(Path(path).name)
        return read(path, max_bytes)

    monkeypatch.setattr(base, "read_file", noted)
    return names


def test_new_files_come_gone_ones_leave_and_the_rest_is_not_read(
    runtime: Runtime, tmp_path: Path, reads: list[str]
) -> None:
    folder = folder_of(tmp_path / "set", a=1, b=2, c=3)
    write(folder, {"notes.txt": b"words", ".hidden": b""})
    old(folder)
    assert counts(sync(runtime, folder)) == (3, 0, 0, 0, 0)
    reads.clear()
    assert counts(sync(runtime, folder)) == (0, 0, 0, 0, 3)
    assert not reads
    (folder / "b.png").unlink()
    write(folder, {"d.png": picture(4)})
    report = sync(runtime, folder)
    assert counts(report) == (1, 0, 0, 1, 2) and reads == ["d.png"]
    assert dict(report.gone) == {id_of(2): "b.png"} and report.exit_code == 0
    assert report.indexed.skipped == {"hidden": 1, "no_picture": 1}
    assert sorted(payloads(runtime)) == ["a.png", "c.png", "d.png"]
    assert report.indexed.images == 3
    assert report.undo is not None
    runtime.editor.undo(report.undo.token)
    assert "b.png" in payloads(runtime)
    assert counts(sync(runtime, folder))[3] == 0  # what people take back stays


def test_what_moved_keeps_what_was_said_of_it_and_gets_its_new_name(runtime: Runtime, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set", a=1, x__b=2)
    sync(runtime, folder)
    runtime.editor.change(CATEGORY, [id_of(2)], ImageChanges(add_tags=("red",)))
    (folder / "x").rename(folder / "y")
    report = sync(runtime, folder)
    assert counts(report) == (0, 1, 1, 0, 1)
    assert dict(report.moved) == {id_of(2): ("x/b.png", "y/b.png")}
    assert payloads(runtime)["y/b.png"]["tags"] == ["red"]
    assert not report.indexed.conflicts and "x/b.png is now y/b.png" in report.summary()
    assert counts(sync(runtime, folder)) == (0, 0, 0, 0, 2)


def test_a_file_that_is_edited_is_a_new_image_and_the_old_one_leaves(
    runtime: Runtime, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "set", a=1, b=2)
    sync(runtime, folder)
    write(folder, {"b.png": picture(3)})
    report = sync(runtime, folder)
    assert counts(report) == (1, 0, 0, 1, 1)
    assert sorted(payloads(runtime)) == ["a.png", "b.png"]
    assert runtime.vectors.retrieve(CATEGORY, [id_of(2)]) == [None]
    # a file that was changed a moment ago is read again, since another change might not show
    assert counts(sync(runtime, folder)) == (0, 1, 0, 0, 1)


def test_a_file_that_cannot_be_read_any_more_keeps_its_image(runtime: Runtime, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set", a=1, b=2)
    sync(runtime, folder)
    write(folder, {"b.png": picture(3)[:60]})
    report = sync(runtime, old(folder))
    assert (report.exit_code, counts(report)) == (3, (0, 0, 0, 0, 1))
    again = sync(runtime, folder)
    assert (again.exit_code, counts(again)) == (0, (0, 0, 0, 0, 2))
    assert [name for name, *_ in again.still_refused] == ["b.png"]
    (folder / "b.png").unlink()
    assert dict(sync(runtime, folder).gone) == {id_of(2): "b.png"}


def test_images_of_a_folder_that_may_not_be_entered_stay(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path / "set", a=1, x__b=2)
    sync(runtime, folder)
    scan = os.scandir

    def refused(path: str) -> Any:
        if str(path).endswith("/x"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    shutil.rmtree(folder / "x")
    (folder / "x").mkdir()
    with monkeypatch.context() as denied:
        denied.setattr(os, "scandir", refused)
        assert counts(sync(runtime, folder)) == (0, 0, 0, 0, 1)
    assert counts(sync(runtime, folder)) == (0, 0, 0, 1, 1)


def test_a_copy_elsewhere_in_the_folder_holds_an_image(runtime: Runtime, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set", a=1, b=1, c=2)
    sync(runtime, folder)
    (folder / "a.png").unlink()
    report = sync(runtime, folder)
    assert counts(report)[2:4] == (1, 0) and sorted(payloads(runtime)) == ["b.png", "c.png"]


def test_only_images_of_this_folder_leave(runtime: Runtime, tmp_path: Path) -> None:
    manifest = write(tmp_path / "list", {"1.png": picture(1), "list.csv": b"path\n1.png\n"}) / "list.csv"
    assert index_images(open_source(manifest), runtime, CATEGORY).added == 1
    folder, other = folder_of(tmp_path / "set", a=1, b=2, c=3), folder_of(tmp_path / "other/set", z=3)
    sync(runtime, folder)
    sync(runtime, other)
    for name in "abc":
        (folder / f"{name}.png").unlink()
    report = sync(runtime, folder)
    assert dict(report.gone) == {id_of(2): "b.png"} and report.stay == 2
    assert len(payloads(runtime)) == 2


def test_images_from_before_the_first_sync_leave_only_where_it_takes_them_over(
    runtime: Runtime, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "set", a=1, b=2, c=3)
    assert index_images(open_source(folder), runtime, CATEGORY).added == 3
    (folder / "a.png").unlink()
    (folder / "b.png").rename(folder / "d.png")
    first = sync(runtime, folder)
    assert counts(first) == (0, 2, 0, 0, 0)
    assert "1 images came from a folder called set before" in first.summary()
    taken = sync(runtime, folder, take_over=True)
    assert counts(taken) == (0, 0, 1, 1, 2)
    assert sorted(payloads(runtime)) == ["c.png", "d.png"]


def test_a_mistake_is_stopped(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrine.indexer.ingest.sync.leaving.FEW_GONE", 3)
    folder = folder_of(tmp_path / "set", a=1, b=2, c=3, d=4, e=5)
    sync(runtime, folder)
    shutil.rmtree(folder)
    folder_of(folder, a=1)
    report = sync(runtime, folder)
    assert report.error is not None and (report.error.code, report.exit_code) == ("too_many_gone", 1)
    assert report.error.details == {"gone": 4, "images": 5}
    assert len(payloads(runtime)) == 5 and not report.gone
    assert "too_many_gone" in sync(runtime, folder).summary()
    assert counts(sync(runtime, folder, max_gone=4))[3] == 4
    assert len(payloads(runtime)) == 1


def test_a_dry_run_says_what_a_sync_then_does(runtime: Runtime, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set", a=1, b=2, c=3)
    sync(runtime, folder)
    (folder / "a.png").unlink()
    (folder / "b.png").rename(folder / "x.png")
    write(folder, {"new.png": picture(7), "again.png": picture(7), "empty.png": b""})
    before = payloads(runtime)
    dry = sync(runtime, folder, dry_run=True)
    assert payloads(runtime) == before
    done = sync(runtime, folder)
    assert (done.indexed.added, len(done.moved), len(done.gone)) == (1, 1, 1)
    assert counts(dry) == counts(done) and (dry.moved, dry.gone) == (done.moved, done.gone)
    assert "Dry run" in dry.summary() and dry.to_json()["dry_run"]


def test_an_archive_is_read_again_as_a_whole_once_it_has_changed(
    runtime: Runtime, tmp_path: Path, reads: list[str]
) -> None:
    folder = write(tmp_path / "set", {"x.zip": zipped({"1.png": picture(1), "2.png": picture(2)})})
    assert counts(sync(runtime, old(folder))) == (2, 0, 0, 0, 0)
    assert counts(sync(runtime, folder)) == (0, 0, 0, 0, 2)
    write(folder, {"x.zip": zipped({"2.png": picture(2), "3.png": picture(3)})})
    report = sync(runtime, old(folder))
    assert counts(report) == (1, 1, 0, 1, 0) and dict(report.gone) == {id_of(1): "x.zip/1.png"}
    write(folder, {"x.zip": b"PK and no more"})
    broken = sync(runtime, old(folder))
    assert (broken.indexed.refused, counts(broken)[3]) == (1, 0)


def test_what_a_table_says_is_taken_in_when_it_changes(runtime: Runtime, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set", a=1, b=2)
    table = folder / "metadata.csv"
    table.write_text("file_name,class\na.png,mug\n")
    sync(runtime, old(folder))
    quiet = sync(runtime, folder)
    assert counts(quiet) == (0, 0, 0, 0, 2) and quiet.exit_code == 0
    table.write_text("file_name,class\na.png,mug\nb.png,cup\n")
    report = sync(runtime, folder)
    assert report.indexed.updated == 1 and payloads(runtime)["b.png"]["class"] == "cup"
    assert "every file is read again" in report.summary()
    assert sync(runtime, folder, tags=("new",)).indexed.updated == 2


def test_a_sync_that_was_ended_goes_on(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    """Ended anywhere, by an error of the store: nothing is lost, nothing stays too long."""
    folder = folder_of(tmp_path / "set", a=1, b=2, c=3)
    sync(runtime, folder)
    (folder / "a.png").unlink()
    (folder / "b.png").rename(folder / "x.png")
    write(folder, {"d.png": picture(4), "c.png": picture(5)})
    old(folder)
    for step in ("rename", "forget_missing"):
        with monkeypatch.context() as broken:
            broken.setattr(f"vitrine.indexer.ingest.sync.sync.{step}", _fails)
            with pytest.raises(RuntimeError):
                sync(runtime, folder)
    sync(runtime, folder)
    assert sorted(payloads(runtime)) == ["c.png", "d.png", "x.png"]
    assert counts(sync(runtime, folder)) == (0, 0, 0, 0, 3)
    assert runtime.vectors.retrieve(CATEGORY, [id_of(1), id_of(3)]) == [None, None]


def test_what_was_read_is_remembered_while_a_sync_goes_on(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    folder = folder_of(tmp_path / "set", **{f"p{seed}": seed for seed in range(8)})
    monkeypatch.setattr("vitrine.indexer.ingest.sync.sync.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("vitrine.indexer.ingest.sync.sync.SAVE_SHARE", 1e9)
    with monkeypatch.context() as broken:
        broken.setattr("vitrine.indexer.ingest.sync.sync.find_leaving", _fails)
        with pytest.raises(RuntimeError):
            sync(runtime, folder)
    reads.clear()
    assert counts(sync(runtime, folder))[4] >= 6 and len(reads) <= 2


def test_what_is_to_be_read_again_is_so_after_a_sync_that_was_ended(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path / "set", a=1, b=2)
    sync(runtime, folder)
    monkeypatch.setattr("vitrine.indexer.ingest.sync.sync.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("vitrine.indexer.ingest.sync.sync.SAVE_SHARE", 1e9)
    with monkeypatch.context() as broken:
        broken.setattr("vitrine.indexer.ingest.sync.sync.find_leaving", _fails)
        with pytest.raises(RuntimeError):
            sync(runtime, folder, tags=("new",))
    assert counts(sync(runtime, folder, tags=("new",)))[4] == 0
    assert counts(sync(runtime, folder, tags=("new",)))[4] == 2


def test_what_is_remembered_goes_with_the_category_and_is_refused_when_damaged(
    runtime: Runtime, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "set", a=1)
    sync(runtime, folder)
    (key,) = list_keys(runtime.objects, SYNC)
    runtime.objects.put(key, b"\x1f\x8bno")
    with pytest.raises(StoreDamaged, match="--reread"):
        sync(runtime, folder)
    assert counts(sync(runtime, folder, reread=True)) == (0, 1, 0, 0, 0)
    assert counts(sync(runtime, folder)) == (0, 0, 0, 0, 1)
    runtime.catalog.delete(CATEGORY)
    assert not list_keys(runtime.objects, SYNC)


def test_names_that_are_no_text_are_followed_too(runtime: Runtime, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    path = Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))
    path.write_bytes(picture(1))
    assert counts(sync(runtime, old(folder))) == (1, 0, 0, 0, 0)
    assert counts(sync(runtime, folder)) == (0, 0, 0, 0, 1)
    path.unlink()
    assert counts(sync(runtime, folder)) == (0, 0, 0, 1, 0)


def _fails(*arguments: object, **named: object) -> IndexReport:
    raise RuntimeError("the power is out")
