from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.indexer.enrich.vectors.trained import TrainedFamily, trained_folder
from vitrine.services.encoders.families.stored import delete_stored, fetch_stored, save_stored, stored_prefix
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.encoders.reference import STORED, EncoderReference, parse_reference
from vitrine.services.encoders.resolve import folder_revision, resolve_model
from vitrine.services.errors import BadRequest, EncoderMismatch, ModelUnavailable
from vitrine.services.object_store.base import ObjectStat
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.settings import Settings

PREFIX = stored_prefix("pets", "look")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = trained_folder(tmp_path / "look")
    (made / "trunk").mkdir()
    (made / "trunk" / "config.json").write_text("{}")
    (made / "trunk" / "model.safetensors").write_bytes(b"weights")
    (made / "notes.txt").write_text("not of the encoder")
    return made


def test_a_folder_travels_with_its_split_and_report_and_keeps_its_revision(
    objects: LocalObjectStore, folder: Path, tmp_path: Path
) -> None:
    model = save_stored(objects, folder, PREFIX)
    version = folder_revision(folder).removeprefix("sha256:")[:16]
    assert model == f"{STORED}_encoders/pets/look/{version}"
    fetched = fetch_stored(objects, model, tmp_path / "cache")
    assert fetched == tmp_path / "cache" / "pets" / "look" / version
    files = {
        path.relative_to(fetched).as_posix(): path.read_bytes()
        for path in fetched.rglob("*")
        if path.is_file()
    }
    travelling = {
        "config.json",
        "embedder.safetensors",
        "split.json",
        "report.md",
        "trunk/config.json",
        "trunk/model.safetensors",
    }
    assert files == {name: (folder / name).read_bytes() for name in travelling}
    assert folder_revision(fetched) == folder_revision(folder)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["pets"]


class Recording(LocalObjectStore):
    """Notes what is put, and fails from the ``allowed``-th on."""

    def __init__(self, folder: Path, allowed: int = 1000) -> None:
        super().__init__(folder, min_free_mb=0)
        self.allowed = allowed
        self.keys: list[str] = []

    def put_file(self, key: str, file: Path) -> None:
        if len(self.keys) >= self.allowed:
            raise InterruptedError
        self.keys.append(
            key.rpartition("/")[2] if "/trunk/" not in key else "trunk/" + key.rpartition("/")[2]
        )
        super().put_file(key, file)


def test_config_is_written_last_and_a_killed_upload_is_continued(folder: Path, tmp_path: Path) -> None:
    store = Recording(tmp_path / "objects", allowed=3)
    with pytest.raises(InterruptedError):
        save_stored(store, folder, PREFIX)
    version = folder_revision(folder).removeprefix("sha256:")[:16]
    with pytest.raises(ModelUnavailable, match="promote its folder again"):
        fetch_stored(store, f"{STORED}{PREFIX}/{version}", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    sent = list(store.keys)
    again = Recording(tmp_path / "objects")
    model = save_stored(again, folder, PREFIX)
    assert again.keys[-1] == "config.json"
    assert not set(sent) & {name for name in again.keys if name not in ("split.json", "report.md")}
    fetch_stored(again, model, tmp_path / "cache")


def test_only_encoders_are_stored_and_only_their_names_are_fetched(
    objects: LocalObjectStore, tmp_path: Path
) -> None:
    with pytest.raises(ModelUnavailable, match="no trained encoder"):
        save_stored(objects, tmp_path, PREFIX)
    objects.put("secrets/a/b/config.json", b"{}")
    version = "0" * 16
    for model in (
        f"{STORED}secrets/a/b",
        f"{STORED}_encoders/../secrets/{version}",
        f"{STORED}_encoders/a/{version}",
        f"{STORED}_encoders/a/b/{version}/",
        f"{STORED}_encoders/a/b/..",
        "_encoders/a/b/" + version,
    ):
        with pytest.raises(BadRequest, match="is not a stored encoder"):
            fetch_stored(objects, model, tmp_path / "cache")
    with pytest.raises(ModelUnavailable):
        fetch_stored(objects, f"{STORED}_encoders/a/b/{version}", tmp_path / "cache")


class Hostile(LocalObjectStore):
    """A bucket that lists a key which leads out of its folder."""

    def list(self, prefix: str = "", *, foreign: bool = False) -> Iterator[ObjectStat]:
        for stat in super().list(prefix, foreign=foreign):
            yield stat
            yield ObjectStat(f"{prefix}../../../evil.json", 1, "", stat.modified)

    def get(self, key: str, *, first: int | None = None) -> bytes:
        return b"evil" if "evil" in key else super().get(key, first=first)


def test_a_bucket_cannot_write_outside_of_the_cache(folder: Path, tmp_path: Path) -> None:
    store = Hostile(tmp_path / "objects", min_free_mb=0)
    model = save_stored(store, folder, PREFIX)
    with pytest.raises(BadRequest):
        fetch_stored(store, model, tmp_path / "deep" / "er" / "cache")
    assert not list(tmp_path.rglob("evil.json"))


def test_what_was_changed_in_the_store_is_refused_and_a_damaged_cache_is_replaced(
    objects: LocalObjectStore, folder: Path, tmp_path: Path
) -> None:
    model = save_stored(objects, folder, PREFIX)
    fetched = fetch_stored(objects, model, tmp_path / "cache")
    weights = fetched / "embedder.safetensors"
    weights.write_bytes(b"")
    assert fetch_stored(objects, model, tmp_path / "cache") == fetched
    assert weights.read_bytes() == (folder / "embedder.safetensors").read_bytes()
    objects.put(model.removeprefix(STORED) + "/embedder.safetensors", b"other weights")
    with pytest.raises(ModelUnavailable):
        fetch_stored(objects, model, tmp_path / "another cache")


def test_many_may_fetch_at_once_and_stale_downloads_are_wiped(
    objects: LocalObjectStore, folder: Path, tmp_path: Path
) -> None:
    model = save_stored(objects, folder, PREFIX)
    stale = tmp_path / "cache" / ".tmp-killed"
    stale.mkdir(parents=True)
    os.utime(stale, (time.time() - 7200,) * 2)
    with ThreadPoolExecutor(8) as threads:
        folders = set(threads.map(lambda _: fetch_stored(objects, model, tmp_path / "cache"), range(8)))
    assert len(folders) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["pets"]


def test_deleted_encoders_are_gone(objects: LocalObjectStore, folder: Path, tmp_path: Path) -> None:
    model = save_stored(objects, folder, PREFIX)
    delete_stored(objects, model)
    assert list(objects.list("_encoders/")) == []
    with pytest.raises(ModelUnavailable):
        fetch_stored(objects, model, tmp_path / "cache")


def test_a_pool_serves_stored_encoders_and_refuses_other_revisions(
    objects: LocalObjectStore, folder: Path, tmp_path: Path
) -> None:
    model = save_stored(objects, folder, PREFIX)
    settings = Settings(_env_file=None, data=tmp_path / "data", offline=True)  # type: ignore[call-arg,unused-ignore]
    pool = EncoderPool(settings, (TrainedFamily(),), objects)
    spec = pool.get(EncoderReference("look-1", model)).spec
    assert (spec.name, spec.model, spec.revision) == ("look-1", model, folder_revision(folder))
    assert pool.for_category(spec) is pool.get(EncoderReference("look-1", model, spec.revision))
    (folder / "config.json").write_text(json.dumps({"seed": 2}))
    other = save_stored(objects, folder, PREFIX)
    assert other != model
    assert pool.get(EncoderReference("look-2", other)).spec.revision != spec.revision
    with pytest.raises(EncoderMismatch):
        pool.for_category(replace(spec, name="x", revision="sha256:" + "0" * 64))
    pool.close()
    without = EncoderPool(settings, (TrainedFamily(),))
    with pytest.raises(ModelUnavailable, match="object store"):
        without.for_category(spec)
    without.close()


def test_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = parse_reference(f"{STORED}_encoders/pets/look/0123456789abcdef")
    assert (reference.name, reference.model) == ("look", f"{STORED}_encoders/pets/look/0123456789abcdef")
    monkeypatch.chdir(tmp_path)
    trained_folder(tmp_path / reference.model)  # a folder that is called so must not be taken for it
    with pytest.raises(ModelUnavailable, match="object store"):
        resolve_model(reference, models_folder=tmp_path, offline=True)
