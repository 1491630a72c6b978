"""Verifying finds every damaged file by name; pruning removes what nothing needs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.indexer.backup.test_restore import whole
from tests.indexer.pictures import CATEGORY, add_pictures, id_of
from vitrine.indexer.backup.create import create_backup
from vitrine.indexer.backup.part import pack, unpack
from vitrine.indexer.backup.place import Place, open_place
from vitrine.indexer.backup.restore import restore_backup
from vitrine.indexer.backup.verify import prune_backups, verify_backups
from vitrine.services.domain import Hit
from vitrine.services.errors import BadRequest, NotFound, StoreDamaged
from vitrine.services.runtime import Runtime


def content(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "backups/content").glob("*/*"))


def test_a_sound_backup_has_no_faults(runtime: Runtime, place: Place, tmp_path: Path) -> None:
    create_backup(runtime, place)
    report = verify_backups(place)
    assert (report.status, report.files) == ("complete", len(content(tmp_path)))


@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_every_damaged_file_is_named(runtime: Runtime, place: Place, tmp_path: Path, how: str) -> None:
    create_backup(runtime, place)
    for damaged in content(tmp_path):
        data = damaged.read_bytes()
        if how == "gone":
            damaged.unlink()
        else:
            damaged.write_bytes(data[:-1] if how == "cut" else bytes([data[0] ^ 1]) + data[1:])
        found = verify_backups(place).faults
        assert [fault.file for fault in found if fault.file.endswith(damaged.name)], damaged
        damaged.write_bytes(data)
    assert verify_backups(place).faults == []


def test_removed_files_are_copied_again(runtime: Runtime, place: Place, tmp_path: Path) -> None:
    create_backup(runtime, place)
    for damaged in content(tmp_path)[::5]:
        damaged.write_bytes(b"something else")
    report = verify_backups(place, remove_damaged=True)
    assert report.removed == len(report.faults) > 0
    create_backup(runtime, open_place(place.name, runtime.settings, make=False))
    assert verify_backups(place).faults == []


def test_a_damaged_backup_is_named_and_the_others_can_be_restored(
    runtime: Runtime, place: Place, empty: Runtime, tmp_path: Path
) -> None:
    first = create_backup(runtime, place).backup
    second = create_backup(runtime, place).backup
    file = tmp_path / f"backups/backups/{second}.json"
    file.write_bytes(file.read_bytes().replace(b'"points":40', b'"points":41'))
    with pytest.raises(StoreDamaged, match=second):
        restore_backup(empty, place)
    assert [fault.file for fault in verify_backups(place).faults] == [f"backups/{second}.json"]
    assert restore_backup(empty, place, backup=first).error is None


def test_pruning_keeps_what_is_needed(runtime: Runtime, place: Place, empty: Runtime, tmp_path: Path) -> None:
    create_backup(runtime, place)
    runtime.editor.remove(CATEGORY, [id_of(seed) for seed in range(10)])
    add_pictures(runtime, range(40, 45))
    last = create_backup(runtime, open_place(place.name, runtime.settings, make=False)).backup
    assert prune_backups(place, keep=2).deleted == []
    fresh = prune_backups(place, keep=1)
    assert (fresh.kept, fresh.files) == ([last], 0)  # a day old at least
    long_ago = time.time() - 2 * 24 * 3600
    for file in content(tmp_path):
        os.utime(file, (long_ago, long_ago))
    assert prune_backups(place, keep=1).files >= 11  # ten pictures and a part
    assert verify_backups(place).faults == []
    assert restore_backup(empty, place).error is None
    assert whole(empty) == whole(runtime)


def test_places_that_cannot_be(runtime: Runtime, tmp_path: Path) -> None:
    for text in ("objects:", "objects:_bin", str(runtime.settings.data / "objects/x"), None):
        with pytest.raises(BadRequest):
            open_place(text, runtime.settings, make=True)
    with pytest.raises(NotFound):
        open_place(str(tmp_path / "nowhere"), runtime.settings, make=False)
    with pytest.raises(NotFound, match="no backup"):
        open_place(str(tmp_path), runtime.settings, make=True).read()


def test_a_part_is_the_same_bytes_whatever_order_its_payloads_came_in() -> None:
    one = Hit(id_of(1), None, b'{"a":1,"b":{"c":2,"d":[3]}}')
    same = Hit(id_of(1), None, b'{"b":{"d":[3],"c":2},"a":1}')
    assert pack([one]) == pack([same])
    assert unpack(pack([], [id_of(2)])).gone == (id_of(2),)
