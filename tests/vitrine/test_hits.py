"""Hits: looked at, gone on from, taken elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import vitrine
from vitrine.hits import SHOWN_PICTURES


@pytest.fixture
def hits(shop: vitrine.Category) -> vitrine.Hits:
    return shop.search(like=shop.images(tags="red")[0], limit=6)


def test_they_are_a_sequence(hits: vitrine.Hits) -> None:
    assert len(hits) == 6 and [hit.id for hit in hits] == hits.ids and hits[-1] is hits[5]
    assert isinstance(hits[1:3], vitrine.Hits) and hits[1:3].ids == hits.ids[1:3]
    assert hits[0] in hits and hits.search_ms >= 0


def test_a_search_goes_on_from_a_hit(shop: vitrine.Category) -> None:
    hits = shop.search(like=shop.images(tags="red")[0], any_tags=["red", "blue"], limit=3, offset=1)
    further = hits.similar_to(hits[0])
    assert len(further) == 3 and hits[0].id not in further.ids
    assert all({"red", "blue"} & {*hit.tags} for hit in further)
    assert further.ids == hits.similar_to(hits[0].id).ids


def test_a_terminal_shows_a_table(hits: vitrine.Hits, shop: vitrine.Category) -> None:
    lines = repr(hits).splitlines()
    assert lines[0].split() == ["#", "similarity", "id", "class", "tags", "filename"]
    assert len(lines) == 8 and lines[-1].startswith("6 images: like ")
    assert "similarity" not in repr(shop.images()) and repr(shop.images(tags="none")) == "\n0 images: shop"
    assert repr(hits[0]).startswith("<vitrine.Hit red/")


def test_a_notebook_shows_the_pictures(shop: vitrine.Category, empty: vitrine.Category) -> None:
    page = shop.images()._repr_html_()
    assert page.count('<img src="data:image/jpeg;base64,') == 12
    cards = [Image.new("RGB", (16, 16), (number, 0, 0)) for number in range(SHOWN_PICTURES + 1)]
    empty.add([vitrine.NewImage(card, "<b>&.png") for card in cards])
    page = empty.images()._repr_html_()
    assert page.count("<img") == SHOWN_PICTURES and f"25 images: own ({SHOWN_PICTURES} shown)" in page
    assert "<b>" not in page and "&lt;b&gt;&amp;.png" in page


def test_a_sheet_is_drawn(hits: vitrine.Hits, tmp_path: Path) -> None:
    sheet = hits.sheet(tmp_path / "made" / "red.png")
    with Image.open(sheet) as drawn:
        assert drawn.width > 1000
    with pytest.raises(vitrine.BadRequest, match=r"\.png"):
        hits.sheet(tmp_path / "red.gif")


def test_rows_are_flat(hits: vitrine.Hits) -> None:
    row = hits.to_dicts()[0]
    assert row["id"] == hits[0].id and row["class"] == "red" and row["tags"] == ["red"]


def test_pandas_is_optional(hits: vitrine.Hits, monkeypatch: pytest.MonkeyPatch) -> None:
    def from_records(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return rows

    monkeypatch.setitem(
        sys.modules, "pandas", SimpleNamespace(DataFrame=SimpleNamespace(from_records=from_records))
    )
    assert len(hits.to_pandas()) == 6
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(vitrine.BadRequest, match="pip install pandas"):
        hits.to_pandas()
