"""Fields as people write them: with the names that a category knows, each text has the one reading that is
expected."""

from __future__ import annotations

import random

import pytest

from vitrine.services.category.field_names import find_bound, find_field, find_order
from vitrine.services.category.filters import NumberRange, conditions_from_pairs, parse_conditions
from vitrine.services.domain import IndexKind, OrderBy
from vitrine.services.errors import UnknownField
from vitrine.services.filters.conditions import Filter, MatchValue, Range
from vitrine.services.values.field_paths import field_path

NAMES = [
    "St. Moritz",
    "f/2.8",
    '"q"',
    "a\\b",
    "x=y",
    "tag.any",
    "EXIF:ISO",
    "a b",
    "camera.make",
    "größe",
    "x:desc",
    "price.gte",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("head", ["scores", "metadata"])
def test_a_field_is_found_as_it_is_printed_and_by_its_bare_name(head: str, name: str) -> None:
    path = field_path(head, name)
    known = {path, "quality", f"{head}.other"}
    assert find_field(path, known) == find_field(f"{head}.{name}", known) == path
    assert find_bound(f"{path}.gte", known) == find_bound(f"{head}.{name}.gte", known) == (path, "gte")
    assert find_order(f"{head}.{name}", known) == find_order(path, known) == OrderBy(path)
    assert (
        find_order(f"{head}.{name}:desc", known)
        == find_order(f"{path}:desc", known)
        == OrderBy(path, descending=True)
    )


def test_random_names_are_found_however_they_are_written() -> None:
    chance = random.Random(5)
    for _ in range(3000):
        name = "".join(chance.choice('ab."\\:=%[] é') for _ in range(chance.randint(1, 6))).strip() or "a"
        path = field_path("metadata", name)
        assert find_field(path, {path}) == find_field(f"metadata.{name}", {path}) == path
        assert find_bound(f"{path}.lte", {path}) == (path, "lte")


def test_names_meet_in_one_unicode_form_and_quotes_are_never_needed_nor_wrong() -> None:
    assert find_field("metadata.Zu\u0308rich", {'metadata."Zürich"'}) == 'metadata."Zürich"'
    assert find_field('metadata."year"', {"metadata.year"}) == "metadata.year"
    assert find_field('score."red mug"', {'scores."red mug"'}) == 'scores."red mug"'


def test_the_longest_known_name_wins_and_quotes_settle_it() -> None:
    known = {"metadata.price", 'metadata."price.gte"'}
    assert find_bound("metadata.price.gte", known) == ('metadata."price.gte"', None)
    assert find_bound("metadata.price.gte.gte", known) == ('metadata."price.gte"', "gte")
    assert find_bound('metadata."price".gte', known) == ("metadata.price", "gte")
    assert find_bound("metadata.price.gte", {"metadata.price"}) == ("metadata.price", "gte")
    assert find_field('metadata."a"', {"metadata.a", r'metadata."\"a\""'}) == "metadata.a"
    assert find_field('metadata."a"', {r'metadata."\"a\""'}) == r'metadata."\"a\""'


def test_an_unknown_field_is_told_as_it_would_be_printed() -> None:
    assert find_field("metadata.EXIF:ISO", ()) == 'metadata."EXIF:ISO"'
    assert find_field("metadata.camera.make", ()) == 'metadata."camera.make"'
    assert find_field("nonsense", ()) == "nonsense"
    with pytest.raises(UnknownField, match=r'metadata."camera.make"'):
        conditions_from_pairs([("metadata.camera.make", "Canon")]).to_filter({})


INDEXES: dict[str, IndexKind] = {
    'metadata."a=b"': "integer",
    "metadata.a": "keyword",
    'metadata."EXIF:ISO"': "integer",
    'metadata."camera.make"': "keyword",
}


def test_the_name_of_a_column_may_hold_an_equal_sign() -> None:
    typed = conditions_from_pairs([("metadata.a", "b=5")], joined=True).to_filter(INDEXES)
    assert typed == Filter(must=(Range('metadata."a=b"', gte=5, lte=5),))
    encoded = conditions_from_pairs([("metadata.a=b", "5")]).to_filter(INDEXES)
    assert encoded == typed
    exact = conditions_from_pairs([("metadata.a", "b=5")]).to_filter(INDEXES)
    assert exact == Filter(must=(MatchValue("metadata.a", "b=5"),))
    quoted = conditions_from_pairs([('metadata."a"', "b=5")], joined=True).to_filter(INDEXES)
    assert quoted == exact


def test_conditions_on_a_column_collect_however_it_is_written() -> None:
    pairs = [
        ("metadata.EXIF:ISO.gte", "100"),
        ('metadata."EXIF:ISO".lt', "400"),
        ('metadata."camera.make"', "Canon"),
    ]
    found = conditions_from_pairs([*pairs, ("metadata.camera.make", "Nikon")]).to_filter(INDEXES)
    body = {"metadata": {"EXIF:ISO": {"gte": 100, "lt": 400}, "camera.make": ["Canon", "Nikon"]}}
    assert found == parse_conditions(body).to_filter(INDEXES)


def test_scores_take_a_bound_whatever_the_tag_is_called() -> None:
    found = conditions_from_pairs([("score.price.gte.gte", "0.5"), ('score."q".lte', "0.25")])
    assert conditions_from_pairs([("score.x", "y.gte=0.5")], joined=True).scores == {
        "x=y": NumberRange(gte=0.5)
    }
    assert found.scores == {"price.gte": NumberRange(gte=0.5), '"q"': NumberRange(lte=0.25)}
    known: dict[str, IndexKind] = {'scores."price.gte"': "float", "scores.q": "float"}
    filter = found.to_filter(known)
    assert filter is not None and [condition.key for condition in filter.must] == [
        'scores."price.gte"',
        "scores.q",
    ]
