from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vitrine.services.category.filters import Conditions, conditions_from_pairs, parse_conditions
from vitrine.services.errors import BadRequest, UnknownField
from vitrine.services.filters.conditions import (
    DatetimeRange,
    Filter,
    HasId,
    HasVector,
    MatchAny,
    MatchValue,
    Nested,
    Range,
)

INDEXES = {
    "metadata.year": "integer",
    "metadata.price": "float",
    "metadata.sold": "bool",
    "metadata.place": "keyword",
    "metadata.taken": "datetime",
}


def keys(found: Filter | None) -> list[str]:
    assert found is not None
    return [
        condition.key
        for condition in found.must
        if not isinstance(condition, Filter | HasId | HasVector | Nested)
    ]


def test_no_conditions_are_no_filter() -> None:
    assert Conditions().to_filter({}) is None


def test_all_tags_are_one_condition_each_and_any_tags_one_together() -> None:
    found = parse_conditions({"tags_all": ["a", "b"], "tags_any": ["c", "d"], "tags_none": ["e"]}).to_filter(
        {}
    )
    assert found is not None
    assert found.must == (MatchValue("tags", "a"), MatchValue("tags", "b"), MatchAny("tags", ("c", "d")))
    assert found.must_not == (MatchValue("tags", "e"),)


def test_score_ranges_name_the_tag_as_qdrant_quotes_it() -> None:
    found = conditions_from_pairs(
        [("score.red mug.gte", "0.5"), ("score.red mug.lt", "1"), ("score.t-shirt.lte", "0.2")]
    )
    assert keys(found.to_filter({})) == ['scores."red mug"', "scores.t-shirt"]
    assert found.scores["red mug"].gte == 0.5 and found.scores["red mug"].lt == 1.0


@pytest.mark.parametrize(
    ("column", "word", "expected"),
    [
        ("sold", "true", True),
        ("place", "1999", "1999"),
    ],
)
def test_words_of_a_query_string_become_what_the_column_holds(
    column: str, word: str, expected: str | bool
) -> None:
    found = conditions_from_pairs([(f"metadata.{column}", word)]).to_filter(INDEXES)
    assert found is not None and found.must == (MatchValue(f"metadata.{column}", expected),)


def test_numbers_and_dates_are_matched_by_range() -> None:
    pairs = [("metadata.price", "9.5"), ("metadata.taken.gte", "2020-01-01"), ("metadata.year", "1999")]
    found = conditions_from_pairs(pairs).to_filter(INDEXES)
    assert found is not None
    assert found.must == (
        Range("metadata.price", gte=9.5, lte=9.5),
        DatetimeRange("metadata.taken", gte=datetime(2020, 1, 1, tzinfo=UTC)),
        Range("metadata.year", gte=1999, lte=1999),
    )


def test_a_year_given_as_a_date_bound_stays_a_number_for_a_number_column() -> None:
    found = conditions_from_pairs([("metadata.year.gte", "1990")]).to_filter(INDEXES)
    assert found is not None and found.must == (Range("metadata.year", gte=1990),)


def test_a_plain_value_is_both_bounds() -> None:
    one = conditions_from_pairs([("created_at", "2024-05"), ("width", "400")])
    both = conditions_from_pairs(
        [
            ("created_at.gte", "2024-05"),
            ("created_at.lte", "2024-05"),
            ("width.gte", "400"),
            ("width.lte", "400"),
        ]
    )
    assert one == both
    with pytest.raises(BadRequest, match="date"):
        conditions_from_pairs([("created_at", "last week")])


def test_several_values_of_a_column_mean_any_of_them() -> None:
    found = conditions_from_pairs([("metadata.place", "Oslo"), ("metadata.place", "Rome")]).to_filter(INDEXES)
    assert found is not None and found.must == (MatchAny("metadata.place", ("Oslo", "Rome")),)


def test_raw_filters_are_qdrants_own_json() -> None:
    found = parse_conditions({"where": {"should": [{"key": "class", "match": {"value": "hat"}}]}}).to_filter(
        {}
    )
    assert found == Filter(must=(Filter(should=(MatchValue("class", "hat"),)),))


@pytest.mark.parametrize(
    "tree",
    [
        {"colour": "red"},
        {"tags_all": "red"},
        {"quality": {}},
        {"quality": {"gte": "high"}},
        {"quality": {"gte": float("nan")}},
        {"created_at": {"gte": "yesterday"}},
        {"scores": {"cat": 0.5}},
    ],
)
def test_malformed_conditions_are_refused_by_field(tree: dict[str, object]) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_conditions(tree)
    assert caught.value.details["field"].split(".")[0] in tree


@pytest.mark.parametrize(
    "pair", [("colour", "red"), ("score.cat", "1"), ("quality.above", "1"), ("metadata.", "1"), ("", "")]
)
def test_unknown_query_keys_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(BadRequest):
        conditions_from_pairs([pair])


def test_unindexed_columns_and_misfit_values_are_refused() -> None:
    with pytest.raises(UnknownField) as caught:
        conditions_from_pairs([("metadata.weight", "1")]).to_filter(INDEXES)
    assert "metadata.year" in caught.value.message
    for column, word in [("year", "MCM"), ("sold", "perhaps"), ("price", "cheap"), ("taken", "now")]:
        with pytest.raises(BadRequest):
            conditions_from_pairs([(f"metadata.{column}", word)]).to_filter(INDEXES)
    with pytest.raises(BadRequest):
        parse_conditions({"where": {"must": [{"key": 1}]}}).to_filter({})


def test_proposed_and_rejected_tags_are_asked_for_apart_from_peoples() -> None:
    found = conditions_from_pairs([("machine_tag", "a"), ("machine_tag", "b"), ("rejected_tag", "c")])
    assert (found.machine_tags_any, found.rejected_tags_any, found.tags_all) == (("a", "b"), ("c",), ())
    assert keys(found.to_filter({})) == ["machine_tags", "rejected_tags"]
