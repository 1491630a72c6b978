from __future__ import annotations

import pytest

from vitrine.services.category.payload import clean_name, clean_tags, index_kinds, settled, unite_tags
from vitrine.services.errors import BadRequest
from vitrine.services.values.field_paths import field_path, path_keys, value_at
from vitrine.services.values.kinds import value_kind
from vitrine.services.values.words import composed


def test_only_fields_that_can_be_filtered_ask_for_an_index() -> None:
    payload = {
        "scores": {"red mug": 0.5},
        "clusters": {"r1": {"id": "3", "path": ["root", "root-3"]}},
        "caption": "not indexed",
    }
    assert index_kinds(payload) == {'scores."red mug"': "float", "clusters.r1.path": "keyword"}
    metadata = {"n": 1, "x": 0.5, "ok": True, "day": "2020-05-01", "who": ["a"], "none": None, "empty": []}
    values, kinds = settled(metadata, {})
    assert values == {"n": 1, "x": 0.5, "ok": True, "day": "2020-05-01T00:00:00+00:00", "who": ["a"]}
    assert kinds == {
        "metadata.n": "integer",
        "metadata.x": "float",
        "metadata.ok": "bool",
        "metadata.day": "datetime",
        "metadata.who": "keyword",
    }
    with pytest.raises(BadRequest):
        settled({"deep": {"a": 1}}, {})


def test_proposed_and_rejected_tags_are_indexed_from_the_first_one_on() -> None:
    assert index_kinds({"machine_tags": [], "rejected_tags": []}) == {}
    assert index_kinds({"machine_tags": ["cat"], "rejected_tags": ["dog"]}) == {
        "machine_tags": "keyword",
        "rejected_tags": "keyword",
    }


@pytest.mark.parametrize("text", ["2020-99-01", "1999", "2020-05", "May 2020", "12345678901"])
def test_what_only_resembles_a_date_is_a_keyword(text: str) -> None:
    assert value_kind(text) == "keyword"


def test_tags_are_trimmed_and_without_doubles_and_united_in_order() -> None:
    assert clean_tags([" red ", "", "mug", "red"]) == ["red", "mug"]
    assert unite_tags(["b", "a"], ["c", "a"]) == ["b", "a", "c"]
    with pytest.raises(BadRequest):
        clean_tags(["x" * 201])


@pytest.mark.parametrize("name", ["", "  ", "\n", "x" * 201])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        clean_name(name)


def test_names_of_any_script_are_kept_and_quoted() -> None:
    assert field_path("metadata", clean_name(" größe ")) == 'metadata."größe"'


@pytest.mark.parametrize(
    "name", ["St. Moritz", "f/2.8", '"q"', "a\\b", "x=y", "tag.any", "EXIF:ISO", "a[]", "100%22", "\\", '\\"']
)
def test_every_name_makes_a_path_that_leads_back_to_it(name: str) -> None:
    path = field_path("scores", clean_name(name))
    assert path_keys(path) == ("scores", name)
    assert value_at({"scores": {name: 0.5, "other": 1}}, path) == 0.5


def test_names_are_kept_on_one_line_and_in_one_unicode_form() -> None:
    assert clean_name("Preis\r\n(EUR)") == "Preis (EUR)"
    assert clean_name("Zu\u0308rich") == "Z\u00fcrich"
    assert clean_tags(["Zu\u0308rich", "Z\u00fcrich", "a\nb"]) == ["Z\u00fcrich", "a b"]
    assert composed("caf\udce9") == "caf?"


def test_field_paths_lead_into_payloads() -> None:
    payload = {"quality": 0.5, "scores": {"red mug": 0.25, "mug": 1}}
    assert value_at(payload, "quality") == 0.5
    assert value_at(payload, 'scores."red mug"') == 0.25
    assert value_at(payload, "scores.mug") == 1
    assert value_at(payload, "scores.cup") is value_at(payload, "quality.deeper") is None
