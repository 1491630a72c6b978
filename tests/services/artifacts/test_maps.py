from __future__ import annotations

from pathlib import Path

import pytest

from tests.indexer.enrich.scores.heads import fill, id_of
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.services.artifacts.maps import CategoryMap, MapStore
from vitrine.services.category.filters import Conditions, conditions_from_pairs, parse_conditions
from vitrine.services.errors import BadRequest, NotFound, UnknownField
from vitrine.services.object_store.keys import MAPS
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime


def make_one(name: str = "flat") -> CategoryMap:
    return CategoryMap(name, "pca", "colour", "r1", 12, 3, {"a": 1}, {"explained": 0.5})


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """Ten images on the map ``flat``: image n at x = n / 10, y = 1 - n / 10."""
    made = make_runtime(tmp_path)
    saved = made.maps.save(CATEGORY, make_one())
    fill(made, 10, {n: {"maps": {saved.key: {"x": n / 10, "y": 1 - n / 10}}} for n in range(10)})
    made.catalog.ensure_indexes(CATEGORY, dict.fromkeys(saved.fields, "float"))
    made.maps.put_in_service(CATEGORY, saved.key)
    return made


def test_a_map_is_seen_once_it_is_in_service(objects: LocalObjectStore) -> None:
    store = MapStore(objects)
    saved = store.save("shop", make_one())
    assert (saved.key, saved.fields) == ("flat-1", ("maps.flat-1.x", "maps.flat-1.y")) and saved.created_at
    assert store.in_service("shop") == [] and store.leftovers("shop", "flat") == ["flat-1"]
    with pytest.raises(NotFound, match="it has: none"):
        store.get("shop", "flat")
    store.put_in_service("shop", saved.key)
    assert MapStore(objects).get("shop", "flat") == saved == MapStore(objects).in_service("shop")[0]
    assert store.leftovers("shop", "flat") == []


def test_two_keys_take_turns_and_names_do_not_mix(objects: LocalObjectStore) -> None:
    store = MapStore(objects)
    for turn in range(4):
        saved = store.save("shop", make_one())
        assert saved.key == ("flat-1", "flat-2")[turn % 2]
        store.put_in_service("shop", saved.key)
        for key in store.leftovers("shop", "flat"):
            store.remove("shop", key)
    other = store.save("shop", make_one("flat-2"))  # its key begins like one of the other map's
    assert (
        other.key == "flat-2-1"
        and store.leftovers("shop", "flat") == []
        and store.leftovers("shop", "flat-2") == ["flat-2-1"]
    )
    store.put_in_service("shop", other.key)
    store.withdraw("shop", "flat")
    assert [made.name for made in store.in_service("shop")] == ["flat-2"]
    with pytest.raises(NotFound):
        store.withdraw("shop", "flat")
    reader, other_process = MapStore(objects), MapStore(objects)
    reader.entries("shop")
    other_process.withdraw("shop", "flat-2")  # a map that goes while the list is read is left out of it
    other_process.remove("shop", "flat-2-1")
    assert reader.in_service("shop") == []
    with pytest.raises(NotFound):
        store.put_in_service("shop", "nothing-1")
    for name in ("", "a.b", "-a", "a" * 64):
        with pytest.raises(BadRequest, match="cannot name"):
            store.save("shop", make_one(name))


def test_a_box_of_a_map_is_a_condition(runtime: Runtime) -> None:
    def ids(*pairs: tuple[str, str]) -> set[str]:
        return {hit.id for hit in runtime.searcher.listing(CATEGORY, conditions_from_pairs(pairs)).hits}

    assert ids(("map.flat.x.gte", "0.25"), ("map.flat.x.lte", "0.5")) == {id_of(n) for n in (3, 4, 5)}
    assert ids(("map.flat.x.gt", "0.55"), ("map.flat.y.gt", "0.25")) == {id_of(n) for n in (6, 7)}
    body = parse_conditions({"maps": {"flat": {"x": {"lt": 0.15}, "y": {"lt": 0.95}}}})
    assert [hit.id for hit in runtime.searcher.listing(CATEGORY, body).hits] == [id_of(1)]
    assert runtime.searcher.count(CATEGORY, body) == 1
    with pytest.raises(NotFound, match="no map 'round'"):
        ids(("map.round.x.gte", "0.25"))
    for key in ("map.flat", "map.flat.z.gte", "map.flat.x", "map.x.gte"):
        with pytest.raises(BadRequest):
            ids((key, "0.5"))
    with pytest.raises(BadRequest, match="range of x"):
        parse_conditions({"maps": {"flat": {}}})


def test_without_its_index_a_map_cannot_be_filtered(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    runtime.maps.put_in_service(CATEGORY, runtime.maps.save(CATEGORY, make_one()).key)
    with pytest.raises(UnknownField):
        runtime.searcher.count(CATEGORY, conditions_from_pairs([("map.flat.x.gte", "0.5")]))


def test_conditions_without_maps_read_nothing(runtime: Runtime) -> None:
    conditions = Conditions()
    assert runtime.maps.resolve("nowhere", conditions) is conditions


def test_a_category_takes_its_maps_with_it(runtime: Runtime) -> None:
    assert [stat.key for stat in runtime.objects.list(MAPS)] == [
        f"{MAPS}{CATEGORY}/current.json",
        f"{MAPS}{CATEGORY}/flat-1/manifest.json",
    ]
    runtime.catalog.delete(CATEGORY)
    assert list(runtime.objects.list(MAPS)) == []
