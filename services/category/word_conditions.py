"""Conditions on tags and classes alone, which most listings and searches have if any. All others are read by
pydantic (``vitrine.services.category.filters``), whose import and models take a tenth of a second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vitrine.services.filters.conditions import Condition, Filter, MatchAny, MatchValue
from vitrine.services.values.words import composed


@dataclass(frozen=True)
class WordConditions:
    """Conditions on words; all that are given must hold. They mean what those of the same names in
    ``Conditions`` mean."""

    tags_all: tuple[str, ...] = ()
    tags_any: tuple[str, ...] = ()
    tags_none: tuple[str, ...] = ()
    class_: tuple[str, ...] = ()

    def to_filter(self) -> Filter | None:
        """Return the filter, or None where there are no conditions."""
        must = [match_words("tags", [tag]) for tag in self.tags_all]
        for field, words in (("class", self.class_), ("tags", self.tags_any)):
            must += [match_words(field, words)] if words else []
        must_not = (match_words("tags", self.tags_none),) if self.tags_none else ()
        return Filter(must=tuple(must), must_not=must_not) if must or must_not else None


def match_words(field: str, words: Iterable[str]) -> Condition:
    """Return the condition that a field has any of the words, however their letters are put together."""
    wanted = tuple(composed(word) for word in words)
    return MatchValue(field, wanted[0]) if len(wanted) == 1 else MatchAny(field, wanted)
