"""Names that are answered by one of several vectors, and what else a category keeps of its trained
encoders."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.category.catalog import Catalog, Category
from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.errors import BadRequest, UnknownVector
from vitrine.services.object_store.local import LocalObjectStore

PIXELS = Preprocessing(8, None, (0.0,) * 3, (1.0,) * 3)  # type: ignore[arg-type]
CLIP = EncoderSpec("clip", "org/clip", "commit", 4, ("image", "text"), PIXELS)


def look(number: int, category: str = "a") -> EncoderSpec:
    model = f"store:_encoders/{category}/look/{number:016x}"
    return EncoderSpec(f"look-{number}", model, f"sha256:{number}", 4, ("image",), PIXELS)


@pytest.fixture
def catalog(objects: LocalObjectStore) -> Catalog:
    made = Catalog(objects, OracleVectorStore())
    made.create("a", [CLIP])
    for number in (1, 2, 3):
        made.add_encoder("a", look(number))
    return made


def names(category: Category) -> list[str]:
    return [spec.name for spec in category.active_encoders]


def test_the_alias_is_answered_by_the_latest_and_the_former_are_kept_in_order(catalog: Catalog) -> None:
    for number in (1, 2, 3):
        found = catalog.promote("a", "look", f"look-{number}")
        assert found.encoder("look").name == found.encoder().name == f"look-{number}"
    assert found.promoted == {"look": ("look-3", "look-2", "look-1")}
    back = catalog.promote("a", "look", "look-2")
    assert back.promoted == {"look": ("look-2", "look-3", "look-1")}
    assert catalog.promote("a", "look", "look-3").promoted == {"look": ("look-3", "look-2", "look-1")}
    assert back.encoder("look-1").name == "look-1"


def test_new_images_get_the_vectors_that_are_in_service_or_on_their_way(catalog: Catalog) -> None:
    assert names(catalog.get("a")) == ["clip", "look-1", "look-2", "look-3"]
    catalog.promote("a", "look", "look-1")
    assert names(catalog.promote("a", "look", "look-2")) == ["clip", "look-2", "look-3"]
    assert names(catalog.promote("a", "look", "look-1")) == ["clip", "look-1", "look-3"]


def test_the_default_stays_where_it_was_asked_to_stay(catalog: Catalog) -> None:
    assert catalog.promote("a", "look", "look-1", default=False).encoder().name == "clip"
    catalog.promote("a", "look", "look-2")
    assert catalog.promote("a", "look", "look-3", default=False).encoder().name == "look-3"


def test_the_default_is_chosen_and_what_it_was_is_known(catalog: Catalog) -> None:
    assert catalog.set_default("a", "look-2").encoder().name == "look-2"
    assert catalog.promote("a", "look", "look-1").replaced == {"look": "look-2"}
    assert catalog.promote("a", "look", "look-3").replaced == {"look": "look-2"}
    assert catalog.set_default("a", None).encoder().name == "clip"
    with pytest.raises(UnknownVector, match="it has: look, clip"):
        catalog.set_default("a", "look-9")
    assert catalog.get("a").encoder().name == "clip"


def test_another_process_reads_the_same(catalog: Catalog, objects: LocalObjectStore) -> None:
    catalog.promote("a", "look", "look-2")
    assert Catalog(objects, catalog._vectors).get("a") == catalog.get("a")


def test_what_cannot_be_promoted(catalog: Catalog) -> None:
    with pytest.raises(UnknownVector):
        catalog.promote("a", "look", "look-9")
    with pytest.raises(BadRequest, match="is a named vector"):
        catalog.promote("a", "clip", "look-1")
    assert catalog.get("a").promoted == {}


def test_encoders_are_deleted_with_their_category_unless_another_uses_them(
    catalog: Catalog, objects: LocalObjectStore
) -> None:
    for number in (1, 2):
        objects.put(f"{look(number).model.removeprefix('store:')}/config.json", b"{}")
    catalog.create("b", [replace(look(2), name="mine")])
    catalog.delete("a")
    assert [stat.key for stat in objects.list("_encoders/")] == [f"_encoders/a/look/{2:016x}/config.json"]
    assert catalog.remains() == []  # it serves b
    catalog.delete("b")
    assert [left.name for left in catalog.remains()] == ["a"]
    catalog.delete("a")
    assert list(objects.list("_encoders/")) == []
