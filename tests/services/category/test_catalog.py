from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.indexer.enrich.scores.heads import fill, head
from tests.indexer.pictures import CATEGORY, make_runtime
from tests.services.failing import Failing, Interrupted
from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.runs import cluster, fit_tree
from vitrine.services.category.catalog import Catalog, spec_from_json, spec_to_json
from vitrine.services.category.fields import STANDARD_INDEXES
from vitrine.services.domain import CollectionSchema, EncoderSpec, Point, Preprocessing, VectorSpec
from vitrine.services.encoders.base import check_encoder
from vitrine.services.errors import (
    AlreadyExists,
    BadRequest,
    EncoderMismatch,
    NotFound,
    StoreDamaged,
    UnknownVector,
)
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.vector_store.base import VectorStore

PIXELS = Preprocessing(resize=8, crop=(8, 8), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
SPEC = EncoderSpec("clip", "some/clip", "abc", 4, ("image", "text"), PIXELS)
OTHER = EncoderSpec("vit", "some/vit", "def", 3, ("image",), replace(PIXELS, resize=(8, 9), crop=None))


@pytest.fixture
def vectors() -> OracleVectorStore:
    return OracleVectorStore()


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


def test_quantised_copies_are_part_of_the_manifest(
    catalog: Catalog, objects: LocalObjectStore, vectors: OracleVectorStore
) -> None:
    assert catalog.create("plain", [SPEC]).quantization is None
    catalog.create("large", [SPEC], quantization="int8")
    assert Catalog(objects, vectors).get("large").quantization == "int8"
    assert vectors.info("large").schema.quantization == "int8"
    changed = catalog.set_quantization("large", None)
    assert (changed.quantization, vectors.info("large").schema.quantization) == (None, None)
    assert Catalog(objects, vectors).get("large") == changed
    with pytest.raises(NotFound):
        catalog.set_quantization("nowhere", "int8")


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
    assert keys(objects) == ["_categories/ab.json", "ab/images/00/00/x.jpg"]
    with pytest.raises(NotFound):
        catalog.delete("a")


def interrupted(
    objects: LocalObjectStore, vectors: OracleVectorStore, after: int, act: Callable[[Catalog], object]
) -> bool:
    """Whether ``act`` is killed by the change that follows so many others."""
    left = [after]
    try:
        act(Catalog(Failing(objects, left), Failing(vectors, left)))  # type: ignore[arg-type]
    except Interrupted:
        return True
    return False


def belongings(name: str) -> list[str]:
    image = f"{name}/images/ab/cd/{'ab' * 32}.jpg"
    places = ("_taggers", "_clusters", "_duplicates", "_maps", "_encoders", "_thumbnails")
    return sorted([f"_categories/{name}.json", image, *(f"{place}/{name}/x.json" for place in places)])


def fill_stores(objects: LocalObjectStore, vectors: VectorStore, *names: str) -> Catalog:
    catalog = Catalog(objects, vectors)
    for name in names:
        catalog.create(name, [SPEC])
        for key in belongings(name)[1:]:
            objects.put(key, b"x")
    return catalog


def keys(objects: LocalObjectStore) -> list[str]:
    """All keys but those of copies of manifests."""
    return [stat.key for stat in objects.list() if not stat.key.startswith("_journal/")]


def test_a_deletion_that_is_killed_anywhere_is_named_and_completed_by_the_next(tmp_path: Path) -> None:
    killed, others = True, belongings("ab")
    after = 0
    while killed:
        objects, vectors = LocalObjectStore(tmp_path / str(after), min_free_mb=0), OracleVectorStore()
        fill_stores(objects, vectors, "a", "ab")
        killed = interrupted(objects, vectors, after, lambda catalog: catalog.delete("a"))
        catalog = Catalog(objects, vectors)
        if after:
            assert [category.name for category in catalog.list()] == ["ab"]
        if killed and after:
            assert [(left.name, left.state) for left in catalog.remains()] == [("a", "deleting")]
            with pytest.raises(NotFound, match="vitrine category delete a"):
                catalog.get("a")
        if killed:
            catalog.delete("a")
        assert (keys(objects), vectors.collections()) == (others, ["ab"])
        assert catalog.remains() == []
        after += 1
    assert after > len(others)


def test_a_creation_that_is_killed_anywhere_can_be_repeated_or_deleted(tmp_path: Path) -> None:
    killed, after = True, 0
    while killed:
        for repeat in (True, False):
            objects, vectors = (
                LocalObjectStore(tmp_path / f"{after}-{repeat}", min_free_mb=0),
                OracleVectorStore(),
            )
            kept = belongings("a")[-1]
            objects.put(kept, b"a picture of a category that was deleted and kept its pictures")
            killed = interrupted(objects, vectors, after, lambda catalog: catalog.create("a", [SPEC]))
            catalog = Catalog(objects, vectors)
            if killed and repeat:
                assert catalog.create("a", [OTHER]).encoders == (OTHER,)
                assert (
                    vectors.info("a").schema.dim("vit") == 3 and vectors.info("a").schema.dim("clip") is None
                )
            if killed and not repeat and after:
                catalog.delete("a")
                assert (keys(objects), vectors.collections()) == ([kept], [])
            assert kept in keys(objects)
        after += 1
    assert after == 5


def test_an_interrupted_deletion_keeps_what_it_was_asked_to_keep(
    objects: LocalObjectStore, vectors: OracleVectorStore
) -> None:
    fill_stores(objects, vectors, "a")
    assert interrupted(objects, vectors, 2, lambda catalog: catalog.delete("a", keep_images=True))
    assert Catalog(objects, vectors).delete("a") is True
    image, taggers, encoders = belongings("a")[-1], "_taggers/a/x.json", "_encoders/a/x.json"
    assert keys(objects) == sorted([image, taggers, encoders])
    (left,) = Catalog(objects, vectors).remains()
    assert left.state == "leftover" and "objects:a/images/" in left.message
    assert Catalog(objects, vectors).delete("a") is False
    assert keys(objects) == []


def test_what_no_category_describes_is_found_and_what_is_not_ours_is_left_alone(
    catalog: Catalog, objects: LocalObjectStore, vectors: OracleVectorStore
) -> None:
    mine = belongings("lost")
    for key in (*mine[1:], "incoming/images/holiday.jpg", "Photos/x.jpg", "notes.txt"):
        objects.put(key, b"x")
    vectors.ensure(CollectionSchema("bare", (), dict(STANDARD_INDEXES)))
    vectors.ensure(CollectionSchema("theirs", ()))
    found = {left.name: left for left in catalog.remains()}
    assert {left.state for left in found.values()} == {"leftover"} and found.keys() == {"lost", "bare"}
    assert "pictures" in found["lost"].message and "collection" in found["bare"].message
    for name in found:
        catalog.delete(name)
    assert keys(objects) == ["Photos/x.jpg", "incoming/images/holiday.jpg", "notes.txt"]
    assert vectors.collections() == ["theirs"], "a server may hold collections of other programs"
    for name in ("incoming", "theirs"):
        with pytest.raises(NotFound):
            catalog.delete(name)
    with pytest.raises(AlreadyExists, match="of another program"):
        catalog.create("theirs", [SPEC])


def test_other_objects_below_the_name_of_a_category_stay(
    objects: LocalObjectStore, vectors: OracleVectorStore
) -> None:
    catalog = fill_stores(objects, vectors, "a")
    objects.put("a/to-be-indexed/holiday.jpg", b"x")
    catalog.delete("a")
    assert keys(objects) == ["a/to-be-indexed/holiday.jpg"] and catalog.remains() == []


def test_a_collection_with_points_is_not_taken_over(catalog: Catalog, vectors: OracleVectorStore) -> None:
    vectors.ensure(CollectionSchema("a", (VectorSpec("clip", 4),), dict(STANDARD_INDEXES)))
    vectors.upsert("a", [Point(str(uuid.UUID(int=1)), {"clip": np.eye(4, dtype=np.float32)[0]}, {})])
    with pytest.raises(AlreadyExists, match="belongs to no category"):
        catalog.create("a", [SPEC])
    assert vectors.count("a") == 1


REST = b'"description": "", "encoders": [], "indexes": {}, "created_at": "", "updated_at": ""'
DAMAGE = {
    "empty": b"",
    "cut off": b'{"format": 2, "name": "a", "enc',
    "no JSON": b"\x00\x01\x02",
    "another shape": b"[1, 2]",
    "fields missing": b'{"format": 2, "name": "a"}',
    "another category's": b'{"format": 2, "name": "b", ' + REST + b"}",
    "no encoders": b'{"format": 2, "name": "a", ' + REST + b"}",
    "a field too many": b'{"format": 2, "name": "a", "x": 1, ' + REST + b"}",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_manifest_is_named_and_harms_no_other_category(
    objects: LocalObjectStore, vectors: OracleVectorStore, damage: bytes
) -> None:
    catalog = fill_stores(objects, vectors, "a", "ab")
    objects.put("_categories/a.json", damage)
    catalog = Catalog(objects, vectors)
    for call in (
        lambda: catalog.get("a"),
        lambda: catalog.describe("a", "x"),
        lambda: catalog.create("a", [SPEC]),
    ):
        with pytest.raises(StoreDamaged, match=r"'a'.*vitrine category delete a"):
            call()
    assert [category.name for category in catalog.list()] == ["ab"]
    assert [(left.name, left.state) for left in catalog.remains()] == [("a", "damaged")]
    assert catalog.delete("a") is True, "the pictures of a damaged category stay"
    image = belongings("a")[-1]
    assert image in keys(objects) and vectors.collections() == ["ab"]
    catalog.create("a", [OTHER])
    assert image in keys(objects) and catalog.remains() == []


def test_a_lost_collection_is_damage_and_the_pictures_stay(
    objects: LocalObjectStore, vectors: OracleVectorStore
) -> None:
    fill_stores(objects, vectors, "a", "ab")
    vectors.drop("a")
    catalog = Catalog(objects, vectors)
    with pytest.raises(StoreDamaged, match="'a'"):
        catalog.get("a")
    assert [(left.name, left.state) for left in catalog.remains()] == [("a", "damaged")]
    assert catalog.delete("a") is True
    assert belongings("a")[-1] in keys(objects)


def test_encoders_of_a_category_that_cannot_be_read_are_kept(
    objects: LocalObjectStore, vectors: OracleVectorStore
) -> None:
    catalog = fill_stores(objects, vectors, "a", "ab")
    objects.put("_categories/ab.json", b"{")
    catalog.delete("a")
    assert "_encoders/a/x.json" in keys(objects), "the other category may use it"


def test_changes_of_two_processes_are_all_kept(objects: LocalObjectStore, vectors: OracleVectorStore) -> None:
    folder = Path(objects._folder)
    Catalog(objects, vectors).create("a", [SPEC])
    catalogs = [Catalog(LocalObjectStore(folder, min_free_mb=0), vectors) for _ in range(2)]

    def change(number: int) -> None:
        catalog = catalogs[number % 2]
        if number % 3 == 0:
            catalog.add_encoder("a", replace(OTHER, name=f"vit-{number}"))
        else:
            catalog.ensure_indexes("a", {f"scores.tag-{number}": "float"})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(change, range(30)))
    found = Catalog(objects, vectors).get("a")
    assert {spec.name for spec in found.encoders} == {
        "clip",
        *(f"vit-{number}" for number in range(0, 30, 3)),
    }
    wanted = {f"scores.tag-{number}" for number in range(30) if number % 3}
    assert {field for field in found.indexes if field.startswith("scores.tag-")} == wanted


def test_of_two_creators_of_one_name_one_is_refused(
    objects: LocalObjectStore, vectors: OracleVectorStore
) -> None:
    one, other = Catalog(objects, vectors), Catalog(objects, vectors)
    replace_object = objects.replace

    def late(key: str, data: bytes, version: str | None) -> None:
        objects.replace = replace_object  # type: ignore[method-assign]
        other.create("a", [OTHER])
        replace_object(key, data, version)

    objects.replace = late  # type: ignore[method-assign]
    with pytest.raises(AlreadyExists):
        one.create("a", [SPEC])
    assert one.get("a").encoders == (OTHER,)


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


def test_a_field_keeps_its_first_kind_and_columns_end_at_the_cap(
    catalog: Catalog, vectors: OracleVectorStore
) -> None:
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
