"""Filters in Qdrant's JSON: what Qdrant's own model takes is read as what it means, and nothing else is."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from qdrant_client import models

from tests.services.vector_store import random_data
from vitrine.services.errors import BadRequest
from vitrine.services.filters.conditions import (
    DatetimeRange,
    Filter,
    HasId,
    HasVector,
    IsEmpty,
    IsNull,
    MatchAny,
    MatchExcept,
    MatchValue,
    MinShould,
    Nested,
    Range,
    ValuesCount,
)
from vitrine.services.filters.read import read_filter
from vitrine.services.filters.write import filter_json

IDS = ["00000000-0000-4000-8000-00000000000" + str(number) for number in range(10)] * 4
HAT = {"key": "class", "match": {"value": "hat"}}
ONLY_QDRANT = (
    models.MatchText,
    models.MatchTextAny,
    models.MatchPhrase,
    models.MatchPrefix,
    models.MatchSubstring,
)


def test_every_condition_is_read() -> None:
    found = read_filter(
        {
            "must": [
                HAT,
                {"key": "tags", "match": {"any": ["a", "b"]}},
                {"key": "n", "match": {"except": [1, 2]}},
                {"key": "n", "range": {"gte": 1, "lt": "2.5"}},
                {"key": "tags", "values_count": {"gt": 1}},
                {"has_id": IDS[:2]},
                {"has_vector": "clip"},
                {"nested": {"key": "objects", "filter": {"must_not": [HAT]}}},
                {},
            ],
            "should": {"is_empty": {"key": "a"}},
            "must_not": [{"is_null": {"key": "a"}}, {"key": "a", "is_empty": False, "match": None}],
            "min_should": {"conditions": [HAT, HAT], "min_count": 2},
        }
    )
    hat = MatchValue("class", "hat")
    assert found == Filter(
        must=(
            hat,
            MatchAny("tags", ("a", "b")),
            MatchExcept("n", (1, 2)),
            Range("n", gte=1, lt=2.5),
            ValuesCount("tags", gt=1),
            HasId(tuple(IDS[:2])),
            HasVector("clip"),
            Nested("objects", Filter(must_not=(hat,))),
            Filter(),
        ),
        should=(IsEmpty("a"),),
        must_not=(IsNull("a"), IsEmpty("a", False)),
        min_should=MinShould((hat, hat), 2),
    )
    assert hash(found) == hash(read_filter(filter_json(found)))


def test_what_is_written_is_read_again_and_means_the_same_to_qdrant() -> None:
    pick = random.Random(5)
    for _ in range(300):
        tree = filter_json(random_data.filter(pick, IDS))
        assert filter_json(read_filter(tree)) == tree
        # Qdrant's own model drops nothing of it
        assert _bare(models.Filter.model_validate(tree)) == _bare(tree)


def test_paths_are_renamed_wherever_they_stand() -> None:
    filter = Filter(
        must=(Nested("a", Filter(should=(MatchValue("b", "key"), IsNull("c")))),),
        must_not=(IsEmpty("d"), IsEmpty("e", False)),
        min_should=MinShould((ValuesCount("f", gte=1),), 1),
    )
    assert read_filter(filter_json(filter, str.upper)) == Filter(
        must=(Nested("A", Filter(should=(MatchValue("B", "key"), IsNull("C")))),),
        must_not=(IsEmpty("D"), IsEmpty("E", False)),
        min_should=MinShould((ValuesCount("F", gte=1),), 1),
    )


def test_what_qdrant_refuses_is_refused_and_the_rest_is_read() -> None:
    """Random filters with a part that was replaced: our reading and Qdrant's model agree on each."""
    pick, taken, refused = random.Random(11), 0, 0
    for _ in range(1_500):
        tree = _changed(filter_json(random_data.filter(pick, IDS)), pick)
        try:
            theirs = models.Filter.model_validate(tree)
        except ValidationError:
            with pytest.raises(BadRequest, match=r"not a Qdrant filter|exactly one|full-text"):
                read_filter(tree)
            refused += 1
            continue
        if _is_ours(theirs):
            assert _bare(models.Filter.model_validate(filter_json(read_filter(tree)))) == _bare(theirs), tree
            taken += 1
        else:
            with pytest.raises(BadRequest):
                read_filter(tree)
    assert taken > 200 and refused > 200


STRANGE: list[Any] = [
    None, True, 0, 1, -3, 2.5, "", "x", "5", "true", "2024-05-01T10:00:00Z", [], ["x"], [1], [1, "x"], [True],
    {}, {"key": "class"}, {"value": "x"}, {"value": 1.5}, {"any": []}, {"any": ["x", 1]}, {"except": ["x"]},
    {"text": "x"}, {"phrase": "x"}, {"value": "x", "any": ["x"]}, {"gte": 1}, {"gte": "1", "lt": None},
    {"gte": "2024-05-01", "lt": "2025-01-01T00:00:00+02:00"}, {"gte": "soon"}, {"lte": 2, "above": 1},
    HAT, [HAT, HAT], {"must": HAT}, {"no": 1}, {"slice": {"total": 2, "index": 0}}, {"has_id": [1]},
    {"has_id": "x"}, {"has_vector": 1}, {"is_empty": "a"}, {"conditions": [HAT], "min_count": 1},
    {"conditions": HAT, "min_count": 1}, {"key": "a", "filter": {}},
    {"center": {"lon": 1, "lat": 1}, "radius": 1},
]  # fmt: skip
NAMES = [
    *("must", "should", "must_not", "min_should", "key", "match", "range", "values_count", "is_empty"),
    *("is_null", "has_id", "has_vector", "nested", "filter", "geo_radius", "value", "any", "except", "gte"),
    *("colour", "min_count", "conditions"),
]


def _changed(tree: Any, pick: random.Random) -> Any:
    """The tree with one part replaced, removed, or added to."""
    tree = {"tree": tree}
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = [tree]
    while waiting:
        part = waiting.pop()
        for name in list(part) if isinstance(part, dict) else range(len(part)):
            places.append((part, name))
            if isinstance(part[name], dict | list):
                waiting.append(part[name])
    part, name = pick.choice(places[1:])
    way = pick.random()
    if way < 0.6:
        part[name] = pick.choice(STRANGE)
    elif way < 0.7 and isinstance(part, dict):
        del part[name]
    elif isinstance(part[name], dict):
        part[name][pick.choice(NAMES)] = pick.choice(STRANGE)
    elif isinstance(part[name], list):
        part[name].append(pick.choice(STRANGE))
    return tree["tree"]


def _is_ours(part: Any) -> bool:
    """Whether Vitrine can answer what Qdrant's model holds."""
    if isinstance(part, list):
        return all(_is_ours(each) for each in part)
    if not isinstance(part, models.BaseModel):
        return True
    if isinstance(part, (models.SliceCondition, *ONLY_QDRANT)):
        return False
    given = {name: value for name, value in part if value is not None}
    if isinstance(part, models.FieldCondition) and (len(given) != 2 or "geo_radius" in given):
        return False
    return all(_is_ours(value) for value in given.values())


def _bare(tree: Any) -> Any:
    """What a filter in JSON says, in one form of those that mean the same."""
    if isinstance(tree, models.BaseModel):
        tree = tree.model_dump(mode="json", exclude_none=True, by_alias=True)
    if isinstance(tree, list):
        return [_bare(item) for item in tree]
    if not isinstance(tree, dict):
        return tree.replace("Z", "+00:00") if isinstance(tree, str) else tree
    found = {
        name: _bare([value] if name in ("must", "should", "must_not") and isinstance(value, dict) else value)
        for name, value in tree.items()
        if not (name in ("must", "should", "must_not") and value == [])
    }
    for name in ("is_empty", "is_null"):
        if found.keys() == {"key", name} and found[name] is True:
            return {name: {"key": found["key"]}}
    for narrower, other, sign in (("gt", "gte", 1), ("lt", "lte", -1)):
        if narrower in found and other in found:
            values = [_ordered(found[name]) * sign for name in (narrower, other)]
            del found[other if values[0] >= values[1] else narrower]
    if "has_id" in found:
        found["has_id"] = [str(id) for id in found["has_id"]]
    return found


def _ordered(bound: Any) -> float:
    if not isinstance(bound, str):
        return float(bound)
    moment = datetime.fromisoformat(bound)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def test_of_two_bounds_on_one_side_the_narrower_is_written() -> None:
    early, late = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2)  # without a zone: UTC
    assert _written(Range("n", gte=1, gt=1, lte=5, lt=9)) == {"gt": 1.0, "lte": 5.0}
    assert _written(Range("n", gte=3, gt=1, lte=5, lt=5)) == {"gte": 3.0, "lt": 5.0}
    assert _written(DatetimeRange("at", gte=late, gt=early)) == {"gte": "2024-01-02T00:00:00"}


def _written(condition: Range | DatetimeRange) -> Any:
    return filter_json(Filter(must=(condition,)))["must"][0]["range"]


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"no": 1}, "no is not known here .known: must, should, must_not, min_should."),
        ({"must": [{"key": "class", "match": {"value": "hat"}, "weight": 2}]}, "must.0.weight is not known"),
        ({"must": [{"key": 1}]}, "must.0.key must be text"),
        ({"must": [HAT, "hat"]}, "must.1 must be a condition"),
        ({"must": [{"key": "n", "match": {"value": 0.5}}]}, "match.value must be text, a whole number"),
        ({"must": [{"key": "n", "match": {}}]}, "must.0.match must have one of value, any, except"),
        ({"must": [{"key": "n", "range": {"gte": "soon"}}]}, "range must have bounds that are numbers"),
        ({"must": [{"key": "n", "range": {"gte": 1}, "is_null": False}]}, "2 clauses .range, is_null.: give"),
        ({"must": [{"key": "n"}]}, "no clause: give"),
        ({"must": [{"key": "n", "match": {"text": "x"}}]}, "matches by text: Vitrine has no full-text index"),
        ({"must": [{"key": "n", "geo_radius": {}}]}, "uses geo_radius: Vitrine has no geo index"),
        ({"must": [{"slice": {"total": 2, "index": 0}}]}, "says slice"),
        ({"min_should": {"conditions": [HAT]}}, "min_should.min_count is missing"),
        ({"must": [{"nested": {"key": "a"}}]}, "must.0.nested.filter is missing"),
        ({"must": [{"has_id": "x"}]}, "must.0.has_id must be a list"),
        ([], "it must be an object with names and values"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_wrong(tree: object, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read_filter(tree)


def test_filters_nest_so_deep_and_no_deeper() -> None:
    def nested(levels: int) -> dict[str, Any]:
        tree: dict[str, Any] = HAT
        for _ in range(levels):
            tree = {"must": [tree]}
        return tree

    assert read_filter(nested(20)).must
    with pytest.raises(BadRequest, match="nests more than"):
        read_filter(nested(200))


def test_dates_are_read_as_dates() -> None:
    bounds = {"gte": "2024-05-01", "lt": "2024-06-01T00:00:00+02:00"}
    (found,) = read_filter({"must": [{"key": "taken", "range": bounds}]}).must
    assert isinstance(found, DatetimeRange) and found.gte is not None and found.lt is not None
    assert (found.gte.month, found.lt.isoformat()) == (5, "2024-06-01T00:00:00+02:00")
