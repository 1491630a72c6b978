from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from indexer.clustering.runs import cluster, fit_tree
from indexer.clustering.tree import TreeOptions
from services.catalog import Catalog, spec_from_json, spec_to_json
from services.domain import EncoderSpec, Preprocessing
from services.encoders.base import check_encoder
from services.errors import AlreadyExists, BadRequest, EncoderMismatch, NotFound, UnknownVector
from services.object_store.local import LocalObjectStore
from tests.indexer.heads import fill, head
from tests.indexer.pictures import CATEGORY, make_runtime
from tests.services.vector_store.oracle import OracleVectorStore

PIXELS = Preprocessing(resize=8, crop=(8, 8), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
SPEC = EncoderSpec("clip", "some/clip", "abc", 4, ("image", "text"), PIXELS)
OTHER = EncoderSpec("vit", "some/vit", "def", 3, ("image",), replace(PIXELS, resize=(8, 9), crop=None))


@pytest.fixture
def vectors() -> OracleVectorStore:
    return OracleVectorStore()


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path, min_free_mb=0)


@pytest.fixture
def catalog(objects: LocalObjectStore, vectors: OracleVectorStore) -> Catalog:
    return Catalog(objects, vectors)


def test_a_created_category_is_found_by_other_processes(
    catalog: Catalog, objects: LocalObjectStore, vectors: OracleVectorStore
) -> None:
    made = catalog.create("shoes", [SPEC, OTHER], description="All shoes")
    elsewhere = Catalog(objects, vectors)
    assert elsewhere.get("shoes") == made
    assert elsewhere.get("shoes").encoders == (SPEC, OTHER)
    assert [category.name for category in elsewhere.list()] == ["shoes"]
    assert vectors.info("shoes").schema.dim("vit") == 3
    assert vectors.info("shoes").schema.indexes["tags"] == "keyword"


def test_specs_survive_json() -> None:
    assert spec_from_json(spec_to_json(OTHER)) == OTHER


def test_creating_twice_and_bad_names_are_refused(catalog: Catalog) -> None:
    catalog.create("a", [SPEC])
    with pytest.raises(AlreadyExists):
        catalog.create("a", [SPEC])
    for name in ("", "A", "-a", "a/b", "../a", "a" * 64, "_categories"):
        with pytest.raises(BadRequest):
            catalog.create(name, [SPEC])
        with pytest.raises(NotFound):
            catalog.get(name)
    with pytest.raises(BadRequest):
        catalog.create("b", [])


def test_deleting_removes_points_objects_and_manifest_of_that_category_alone(
    catalog: Catalog, objects: LocalObjectStore, vectors: OracleVectorStore
) -> None:
    for name in ("a", "ab"):
        catalog.create(name, [SPEC])
        objects.put(f"{name}/images/00/00/x.jpg", b"x")
    catalog.delete("a")
    assert [category.name for category in catalog.list()] == ["ab"]
    assert vectors.collections() == ["ab"]
    assert [stat.key for stat in objects.list()] == ["_categories/ab.json", "ab/images/00/00/x.jpg"]
    with pytest.raises(NotFound):
        catalog.delete("a")


class Interrupted(Exception):
    pass


def test_an_interrupted_deletion_hides_the_category_and_is_completed_later(
    catalog: Catalog, objects: LocalObjectStore, vectors: OracleVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.create("a", [SPEC])
    objects.put("a/images/00/00/x.jpg", b"x")

    def fail(collection: str) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(vectors, "drop", fail)
        with pytest.raises(Interrupted):
            catalog.delete("a")
    assert catalog.list() == []
    with pytest.raises(NotFound):
        catalog.get("a")
    catalog.create("a", [OTHER])
    assert catalog.get("a").encoders == (OTHER,)
    assert [stat.key for stat in objects.list("a/")] == []


def test_encoders_can_be_added_and_another_revision_is_refused(catalog: Catalog) -> None:
    catalog.create("a", [SPEC])
    assert catalog.add_encoder("a", OTHER).encoders == (SPEC, OTHER)
    assert catalog.add_encoder("a", OTHER).encoders == (SPEC, OTHER)
    with pytest.raises(EncoderMismatch) as caught:
        catalog.add_encoder("a", replace(OTHER, revision="newer"))
    assert "revision" in caught.value.message
    assert catalog.get("a").encoder().name == "clip"
    with pytest.raises(UnknownVector):
        catalog.get("a").encoder("resnet")


def test_a_model_may_move_but_not_change_its_preprocessing(catalog: Catalog) -> None:
    known = catalog.create("a", [SPEC]).encoder("clip")
    check_encoder(known, replace(SPEC, model="elsewhere/clip"))
    with pytest.raises(EncoderMismatch):
        check_encoder(known, replace(SPEC, preprocessing=replace(PIXELS, resize=16)))


def test_a_field_keeps_its_first_kind_and_columns_end_at_the_cap(catalog: Catalog, vectors: OracleVectorStore) -> None:
    catalog.create("a", [SPEC])
    catalog.ensure_indexes("a", {"metadata.year": "integer"})
    catalog.ensure_indexes("a", {"metadata.year": "keyword", "scores.cat": "float"})
    assert catalog.get("a").indexes["metadata.year"] == "integer"
    catalog.ensure_indexes("a", {f"metadata.c{n}": "keyword" for n in range(100)} | {"scores.dog": "float"})
    indexes = vectors.info("a").schema.indexes
    assert sum(field.startswith("metadata.") for field in indexes) == 64
    assert indexes["scores.cat"] == indexes["scores.dog"] == "float"


def test_description_and_count_are_kept(catalog: Catalog) -> None:
    catalog.create("a", [SPEC])
    catalog.describe("a", "new")
    catalog.set_images("a", 7)
    assert (catalog.get("a").description, catalog.get("a").images) == ("new", 7)


def test_a_category_of_the_same_name_has_nothing_of_the_one_before(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    fill(runtime, 6)
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(2, 2)))
    runtime.taggers.save(CATEGORY, [head(runtime, "red")])
    assert runtime.clusters.in_service(CATEGORY) and runtime.taggers.in_service(CATEGORY)
    encoders = runtime.catalog.get(CATEGORY).encoders
    runtime.catalog.delete(CATEGORY)
    runtime.catalog.create(CATEGORY, encoders)  # at once: what was read a moment ago counts for a while
    assert not runtime.clusters.in_service(CATEGORY) and not runtime.taggers.in_service(CATEGORY)
