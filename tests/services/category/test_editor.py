from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.category.catalog import Catalog
from vitrine.services.category.editor import Editor, ImageChanges
from vitrine.services.category.filters import parse_conditions
from vitrine.services.category.thumbnails import WIDTHS, Thumbnails, thumbnail_key
from vitrine.services.domain import Point
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.images.budget import DecodeBudget, ImageLimits
from vitrine.services.images.open import point_id
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.search.questions import unit

A, B, ABSENT = (point_id(digit * 64) for digit in "abf")


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Editor, Catalog, OracleVectorStore, LocalObjectStore]:
    vectors, objects = OracleVectorStore(), LocalObjectStore(tmp_path, min_free_mb=0)
    catalog = Catalog(objects, vectors)
    spec = ColourEncoder().spec
    catalog.create("c", [spec])
    import numpy as np

    for id, key in ((A, "c/images/a"), (B, "c/images/b")):
        objects.put(key, b"picture")
        payload = {
            "object_key": key,
            "tags": ["old"],
            "class": "hat",
            "caption": "a hat",
            "metadata": {"year": 1990, "who": "me"},
        }
        vectors.upsert("c", [Point(id, {spec.name: unit(np.ones(spec.dim))}, payload)])
    thumbnails = Thumbnails(objects, ImageLimits, lambda: DecodeBudget(1 << 30))
    return Editor(catalog, vectors, objects, thumbnails), catalog, vectors, objects


Parts = tuple[Editor, Catalog, OracleVectorStore, LocalObjectStore]


def test_tags_are_added_removed_and_replaced(parts: Parts) -> None:
    editor = parts[0]
    assert editor.change("c", [A], ImageChanges(add_tags=("new", "old"))).hits[0].payload["tags"] == [
        "old",
        "new",
    ]
    assert editor.change("c", [A], ImageChanges(remove_tags=("old",))).hits[0].payload["tags"] == ["new"]
    assert editor.change("c", [A], ImageChanges(tags=(" x ", "y", "x"))).hits[0].payload["tags"] == ["x", "y"]
    assert editor.change("c", [A], ImageChanges(tags=())).hits[0].payload["tags"] == []


def test_what_is_not_named_stays_and_null_removes(parts: Parts) -> None:
    editor = parts[0]
    changes = ImageChanges.model_validate(
        {"class": None, "quality": 0.5, "metadata": {"year": None, "place": "Oslo"}}
    )
    after = editor.change("c", [A, B], changes)
    for hit in after.hits:
        assert "class" not in hit.payload
        assert hit.payload["caption"] == "a hat" and hit.payload["quality"] == 0.5
        assert hit.payload["metadata"] == {"who": "me", "place": "Oslo"}


def test_new_columns_can_be_filtered_at_once(parts: Parts) -> None:
    editor, catalog, vectors, _ = parts
    editor.change("c", [A], ImageChanges(metadata={"place": "Oslo"}))
    chosen = parse_conditions({"metadata": {"place": "Oslo"}}).to_filter(catalog.get("c").indexes)
    assert vectors.count("c", chosen) == 1


def test_an_absent_image_leaves_all_others_unchanged(parts: Parts) -> None:
    editor, _, vectors, _ = parts
    with pytest.raises(NotFound) as caught:
        editor.change("c", [A, ABSENT], ImageChanges(tags=("new",)))
    assert caught.value.details["ids"] == [ABSENT]
    hit = vectors.retrieve("c", [A])[0]
    assert hit is not None and hit.payload["tags"] == ["old"]


def test_deleting_for_good_takes_point_and_object_and_ignores_what_is_gone(parts: Parts) -> None:
    editor, catalog, vectors, objects = parts
    for width in WIDTHS:
        objects.put(thumbnail_key("c", A, width), b"small")
    objects.put(thumbnail_key("c", B, 320), b"small")
    assert editor.remove("c", [A, ABSENT]) == 1
    assert [stat.key for stat in objects.list("_thumbnails/")] == [thumbnail_key("c", B, 320)]
    assert catalog.get("c").images == 1
    assert vectors.retrieve("c", [A, B])[0] is None
    assert objects.stat("c/images/a") is None and objects.stat("c/images/b") is not None
    assert editor.remove("c", [A]) == 0
    assert editor.bin.images("c").total == 0


@pytest.mark.parametrize("metadata", [{"deep": {"a": 1}}, {"": 1}])
def test_columns_that_could_not_be_filtered_are_refused(parts: Parts, metadata: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        parts[0].change("c", [A], ImageChanges(metadata=metadata))
