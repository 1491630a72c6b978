"""Conditions on words alone mean what they mean among all others."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import asdict

import pytest

from vitrine.cli.options import Filters
from vitrine.services.category.filters import Conditions, conditions_from_pairs, in_full
from vitrine.services.category.word_conditions import WordConditions
from vitrine.services.errors import BadRequest

WORDS = ("red", "größe", unicodedata.normalize("NFD", "größe"), "two words", "", '5" disk', "a,b", "0")
KEYS = {"tags_all": "tag", "tags_any": "tag.any", "tags_none": "tag.none", "class_": "class"}


def some(pick: random.Random) -> WordConditions:
    return WordConditions(**{name: tuple(pick.choices(WORDS, k=pick.randrange(3))) for name in KEYS})


def test_they_give_the_filter_that_the_same_pairs_give() -> None:
    pick = random.Random(4)
    for _ in range(200):
        given = some(pick)
        pairs = [(KEYS[name], word) for name, words in asdict(given).items() for word in words]
        full = conditions_from_pairs(pairs)
        assert given.to_filter() == full.to_filter({})
        assert in_full(given) == full


def test_none_are_none() -> None:
    assert WordConditions().to_filter() is None
    assert in_full(WordConditions()) == in_full(None) == Conditions()
    kept = Conditions(class_=("hat",))
    assert in_full(kept) is kept


def test_flags_are_read_by_their_kind() -> None:
    words = Filters(tag=("red", "blue"), any_tag=("a",), not_tag=("b",), class_=("hat",))
    assert isinstance(words.asked, WordConditions)
    assert in_full(words.asked) == words.conditions
    for other in ({"score": ("red=0.5..",)}, {"quality": "0.5.."}, {"where": ("width.gte=1",)}):
        assert isinstance(Filters(**other).asked, Conditions)
    with pytest.raises(BadRequest, match="--score takes"):
        Filters(score=("red",)).asked  # noqa: B018
