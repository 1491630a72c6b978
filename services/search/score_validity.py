"""Which stored scores count: only scores that the taggers in service gave.

While a tag is unsettled, some images still carry a score by a former tagger. Queries take such a score as
absent: each condition on it is narrowed to the images whose ``scored_by`` names the tagger in service, where
it stands in the filter, so that it is right under ``must_not`` and ``should`` too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitrine.services.artifacts.taggers import score_field
from vitrine.services.category.fields import QUALITY
from vitrine.services.domain import Payload
from vitrine.services.filters.conditions import (
    Condition,
    Filter,
    HasId,
    HasVector,
    IsEmpty,
    MatchValue,
    MinShould,
    Nested,
)
from vitrine.services.values.field_paths import field_path

if TYPE_CHECKING:
    from vitrine.services.category.catalog import Catalog, Category


@dataclass(frozen=True)
class Source:
    """Who must have given a value for it to count: ``signature`` at the path ``field``. ``people``: a value
    that no tagger gave counts too."""

    field: str
    signature: str
    people: bool = False


def is_score(field: str) -> bool:
    """Return whether the payload field is one that taggers fill."""
    return field == QUALITY or field.startswith("scores.")


def source_field(tag: str) -> str:
    """Return the payload field that says which tagger gave the score of ``tag``."""
    return field_path("scored_by", tag)


def unsettled_sources(unsettled: Mapping[str, str]) -> dict[str, Source]:
    """Return by score field which tagger must have given it, from the signatures of
    ``TaggerStore.unsettled``."""
    return {
        score_field(tag): Source(source_field(tag), who, people=tag == QUALITY)
        for tag, who in unsettled.items()
    }


def explained(payload: Mapping[str, Any], unsettled: Mapping[str, str]) -> Payload:
    """Return the payload without the scores that a former tagger may have left behind.

    ``unsettled``: of TaggerStore. The head ``quality`` fills the field of that name.

    >>> payload = {"scores": {"red": 0.9, "old": 0.1}, "scored_by": {"red": "b@2", "old": "a@1"}}
    >>> explained(payload, {"old": "a@2"})["scores"]
    {'red': 0.9}
    """
    if not unsettled:
        return dict(payload)
    by = payload.get("scored_by", {})
    clean = dict(payload)
    clean["scores"] = {
        tag: score
        for tag, score in payload.get("scores", {}).items()
        if tag not in unsettled or by.get(tag) == unsettled[tag]
    }
    if QUALITY in unsettled and by.get(QUALITY, unsettled[QUALITY]) != unsettled[QUALITY]:
        clean.pop(QUALITY, None)
    return clean


def index_sources(catalog: Catalog, category: str, tags: Iterable[str]) -> Category:
    """Index who gave the scores of these tags, so that queries can ask.

    The searcher does it for a tag that is asked for while it is unsettled. It takes seconds on 100,000
    images, and every index makes writing slower: retraining fifty tags must not cost fifty indexes that
    nobody uses.
    """
    return catalog.ensure_indexes(category, {source_field(tag): "keyword" for tag in tags})


def narrowed(filter: Filter | None, sources: Mapping[str, Source], *fields: str) -> Filter | None:
    """Return the filter with each condition on a field of ``sources`` restricted to values from its source.
    The ``fields`` that the query orders by or counts are restricted as well."""
    inner = None if filter is None else _narrowed_filter(filter, sources)
    given = tuple(_given(sources[field]) for field in fields if field in sources)
    if not given:
        return inner
    return Filter(must=given if inner is None else (*given, inner))


def _narrowed_filter(filter: Filter, sources: Mapping[str, Source]) -> Filter:
    least = filter.min_should
    return Filter(
        must=_clause(filter.must, sources),
        should=_clause(filter.should, sources),
        must_not=_clause(filter.must_not, sources),
        min_should=least and MinShould(_clause(least.conditions, sources), least.min_count),
    )


def _clause(clause: tuple[Condition, ...], sources: Mapping[str, Source]) -> tuple[Condition, ...]:
    return tuple(_condition(each, sources) for each in clause)


def _condition(condition: Condition, sources: Mapping[str, Source]) -> Condition:
    if isinstance(condition, Filter):
        return _narrowed_filter(condition, sources)
    if isinstance(condition, HasId | HasVector | Nested) or condition.key not in sources:
        return condition
    source = sources[condition.key]
    if isinstance(condition, IsEmpty) and condition.empty:
        return _either(condition, source)
    return Filter(must=(condition, _given(source)))


def _either(condition: Condition, source: Source) -> Condition:
    """Return a condition for: absent, or given by another tagger, which is as good as absent."""
    return Filter(should=(condition, Filter(must_not=(_given(source),))))


def _given(source: Source) -> Condition:
    by_tagger = MatchValue(source.field, source.signature)
    return Filter(should=(by_tagger, IsEmpty(source.field))) if source.people else by_tagger
