"""A bit that has changed in what a store notes of itself is found, or changes nothing that is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.artifacts.duplicates import DuplicateStore
from vitrine.services.artifacts.maps import CategoryMap, MapStore
from vitrine.services.artifacts.taggers import TaggerStore, TagHead
from vitrine.services.category.catalog import Catalog
from vitrine.services.category.changes.bin_files import BinFile
from vitrine.services.category.manifest import manifest_key
from vitrine.services.category.saved import SavedSearches
from vitrine.services.domain import CollectionSchema, EncoderSpec, Hit, Preprocessing, VectorSpec
from vitrine.services.errors import OtherFormat, StoreDamaged
from vitrine.services.object_store.base import ObjectStore, list_keys
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import check_data_format
from vitrine.services.sealed import sealed, unsealed
from vitrine.services.settings import Settings
from vitrine.services.vector_store.edge.files import CollectionFiles, read_schemas

PIXELS = Preprocessing(resize=8, crop=(8, 8), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
SPEC = EncoderSpec("clip", "some/clip", "abc", 4, ("image",), PIXELS)
ID = "00000000-0000-0000-0000-000000000007"
Case = tuple[str, Callable[[ObjectStore], object]]
"""The key of an object that was written, and how its content is read without anything remembered."""


def manifest(objects: ObjectStore) -> Case:
    vectors = OracleVectorStore()
    Catalog(objects, vectors).create("a", [SPEC], description="All shoes")
    return manifest_key("a"), lambda store: Catalog(store, vectors).manifest("a")


def pointer(objects: ObjectStore) -> Case:
    _put_map(objects)
    return "_maps/a/current.json", lambda store: dict(MapStore(store).entries("a"))


def artifact(objects: ObjectStore) -> Case:
    _put_map(objects)
    return "_maps/a/look-1/manifest.json", lambda store: MapStore(store).read("a", "look-1")


def _put_map(objects: ObjectStore) -> None:
    store = MapStore(objects)
    store.put_in_service("a", store.save("a", CategoryMap("look", "pca", "clip", "abc", 3)).key)


def arrays(objects: ObjectStore) -> Case:
    TaggerStore(objects).save("a", [TagHead("red", "by-hand", "clip", "abc", np.ones(4, np.float32), 0.25)])
    (key,) = [key for key in list_keys(objects, "_taggers/a/") if key.endswith(".safetensors")]

    def read(store: ObjectStore) -> object:
        (head,) = TaggerStore(store).in_service("a")
        return head.tag, head.weight.tolist(), head.bias

    return key, read


def dismissed(objects: ObjectStore) -> Case:
    DuplicateStore(objects).dismiss("a", [("one", "other"), ("one", "third")])
    return "_duplicates/a/dismissed.json", lambda store: DuplicateStore(store).dismissed("a")


def saved(objects: ObjectStore) -> Case:
    vectors = OracleVectorStore()
    catalog = Catalog(objects, vectors)
    catalog.create("a", [SPEC])
    SavedSearches(catalog, objects).put("a", "mugs", {"text": "a mug", "limit": 5})
    return "_saved/a/searches.json", lambda store: SavedSearches(Catalog(store, vectors), store).all("a")


def deleted(objects: ObjectStore) -> Case:
    key = "_bin/a/20261201T000000000-0000000000000000"
    BinFile(objects, "a", key).write("2026-12-01T00:00:00+00:00", [Hit(ID, None, b'{"tags":["red"]}')])
    return key, lambda store: (BinFile(store, "a", key).head(), BinFile(store, "a", key).payloads()[1][0])


CASES = (manifest, pointer, artifact, arrays, dismissed, saved, deleted)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_changed_bit_of_an_object_is_found(
    objects: LocalObjectStore, case: Callable[[ObjectStore], Case]
) -> None:
    key, read = case(objects)
    written, content, found = objects.get(key), read(objects), 0
    for data in changed(written):
        objects.put(key, data, durable=False)
        try:
            assert read(objects) == content
        except StoreDamaged as error:
            assert not isinstance(error, OtherFormat)
            found += 1
    assert found > len(written), "nearly every bit counts"


def test_a_changed_bit_of_a_schema_or_a_count_is_not_believed(tmp_path: Path) -> None:
    files = CollectionFiles(tmp_path, "a")
    files.folder.mkdir(parents=True)
    schema = CollectionSchema("a", (VectorSpec("clip", 512),), {"tags": "keyword"})
    files.write_schema(schema)
    files.write_points(1_200, durable=False)
    for data in each_change(files.folder / "collection.json"):
        schemas, damaged = read_schemas(tmp_path)
        assert schemas == {"a": schema} or (schemas == {} and damaged.keys() == {"a"}), data
    for data in each_change(files.folder / "points.json"):
        assert files.read_points() in (1_200, 0), data


def test_a_changed_bit_of_the_format_of_a_data_folder_takes_no_category_away(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, min_free_mb=0, offline=True, _env_file=None)  # type: ignore[call-arg,unused-ignore]
    (tmp_path / "objects").mkdir()
    check_data_format(settings)
    manifest(LocalObjectStore(tmp_path / "objects", min_free_mb=0))
    for _ in each_change(tmp_path / "vitrine.json"):
        check_data_format(settings)


def test_what_version_0_8_wrote_is_read_and_gets_a_checksum_with_its_next_change(
    objects: LocalObjectStore,
) -> None:
    key, read = manifest(objects)
    before = read(objects)
    unseal(objects, key, 2)
    assert read(objects) == before
    Catalog(objects, OracleVectorStore()).set_images("a", 5)
    assert orjson.loads(objects.get(key))["checksum"]

    for case in (pointer, artifact):
        key, read = case(objects)
        before = read(objects)
        unseal(objects, key, 2)
        assert read(objects) == before


@pytest.mark.parametrize("case", [manifest, pointer, artifact], ids=lambda case: case.__name__)
def test_a_checksum_cannot_go_unnoticed(
    objects: LocalObjectStore, case: Callable[[ObjectStore], Case]
) -> None:
    key, read = case(objects)
    unseal(objects, key, 3)
    with pytest.raises(StoreDamaged, match=key):
        read(objects)


def test_an_object_is_the_same_in_any_order_and_with_any_spaces() -> None:
    tree = {"b": [1, 0.1, None], "a": {"z": np.arange(3, dtype=np.float32), "y": "é"}}
    turned = dict(reversed(sealed(tree).items()))
    read = unsealed(orjson.loads(orjson.dumps(turned, option=orjson.OPT_INDENT_2)))
    assert read == {"b": [1, 0.1, None], "a": {"z": [0, 1, 2], "y": "é"}}


def changed(written: bytes) -> list[bytes]:
    """Return the bytes with one bit changed: every third of them, each of its byte's eight in turn."""
    found = []
    for bit in range(0, 8 * len(written), 3):
        data = bytearray(written)
        data[bit // 8] ^= 1 << bit % 8
        found.append(bytes(data))
    return found


def each_change(file: Path) -> Iterator[bytes]:
    """Change one bit of a file after the other, and yield what it holds then."""
    for data in changed(file.read_bytes()):
        file.write_bytes(data)
        yield data


def unseal(objects: ObjectStore, key: str, format: int) -> None:
    """Write an object as it would be without a checksum, in this format."""
    tree = orjson.loads(objects.get(key))
    del tree["checksum"]
    objects.put(key, orjson.dumps(tree | {"format": format}))
