"""Stored objects that do not hold what was written: named with their category, in every store, and no other
category suffers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vitrine.services.artifacts.clusters import ClusterStore
from vitrine.services.artifacts.duplicates import DuplicateStore
from vitrine.services.artifacts.maps import CategoryMap, MapStore
from vitrine.services.artifacts.taggers import TaggerStore, TagHead
from vitrine.services.errors import OtherFormat, StoreDamaged
from vitrine.services.object_store.local import LocalObjectStore

READS: dict[str, tuple[str, Callable[[LocalObjectStore, str], object]]] = {
    "taggers": ("_taggers/a/current.json", lambda objects, name: TaggerStore(objects).unsettled(name)),
    "cluster runs": (
        "_clusters/a/current.json",
        lambda objects, name: ClusterStore(objects).in_service(name),
    ),
    "maps": ("_maps/a/current.json", lambda objects, name: MapStore(objects).in_service(name)),
    "duplicates": (
        "_duplicates/a/current.json",
        lambda objects, name: DuplicateStore(objects).current_key(name),
    ),
    "dismissed pairs": (
        "_duplicates/a/dismissed.json",
        lambda objects, name: DuplicateStore(objects).dismissed(name),
    ),
}
DAMAGE = {
    "empty": b"",
    "cut off": b'{"format": 2, "in_service": {"x',
    "another shape": b"[1]",
    "fields missing": b'{"format": 2}',
}


def head(tag: str) -> TagHead:
    return TagHead(tag, "by-hand", "clip", "abc", np.ones(4, np.float32), 0.0)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize(("key", "read"), READS.values(), ids=READS)
def test_a_damaged_pointer_is_named(
    objects: LocalObjectStore, key: str, read: Callable[[LocalObjectStore, str], object], damage: bytes
) -> None:
    objects.put(key, damage)
    with pytest.raises(StoreDamaged, match=r"category 'a'.*Restore it") as caught:
        read(objects, "a")
    assert key in caught.value.message and caught.value.details["category"] == "a"
    read(objects, "ab")


@pytest.mark.parametrize(("key", "read"), READS.values(), ids=READS)
def test_what_another_version_wrote_is_refused_with_what_to_do(
    objects: LocalObjectStore, key: str, read: Callable[[LocalObjectStore, str], object]
) -> None:
    objects.put(key, b'{"format": 1, "taggers": {}}')
    with pytest.raises(OtherFormat, match=r"format 1; this one reads formats 2 to 3\. Remove the objects"):
        read(objects, "a")


@pytest.mark.parametrize("ending", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", [b"", b"{", None], ids=["empty", "cut off", "gone"])
def test_damaged_heads_are_named(objects: LocalObjectStore, ending: str, damage: bytes | None) -> None:
    TaggerStore(objects).save("a", [head("red")])
    (key,) = [stat.key for stat in objects.list("_taggers/a/heads-1/") if stat.key.endswith(ending)]
    objects.delete(key) if damage is None else objects.put(key, damage)
    with pytest.raises(StoreDamaged, match="category 'a'"):
        TaggerStore(objects).in_service("a")


def test_a_damaged_map_is_named(objects: LocalObjectStore) -> None:
    store = MapStore(objects)
    store.put_in_service("a", store.save("a", CategoryMap("look", "pca", "clip", "abc", 3)).key)
    objects.put("_maps/a/look-1/manifest.json", b'{"format": 2}')
    with pytest.raises(StoreDamaged, match=r"_maps/a/look-1/manifest\.json"):
        MapStore(objects).get("a", "look")
