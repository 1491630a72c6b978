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
from vitrine.services.values.field_paths import field_path
from vitrine.services.vector_store.fields import clause_list

if TYPE_CHECKING:
    from qdrant_client.models import Condition, Filter

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
    from qdrant_client import models

    inner = None if filter is None else _narrowed_filter(filter, sources)
    given = [_given(sources[field]) for field in fields if field in sources]
    if not given:
        return inner
    return models.Filter(must=given if inner is None else [*given, inner])


def _narrowed_filter(filter: Filter, sources: Mapping[str, Source]) -> Filter:
    from qdrant_client import models

    least = filter.min_should
    return models.Filter(
        must=_clause(filter.must, sources),
        should=_clause(filter.should, sources),
        must_not=_clause(filter.must_not, sources),
        min_should=least
        and models.MinShould(conditions=_clause(least.conditions, sources) or [], min_count=least.min_count),
    )


def _clause(clause: Any, sources: Mapping[str, Source]) -> list[Condition] | None:
    return None if clause is None else [_condition(each, sources) for each in clause_list(clause)]


def _condition(condition: Any, sources: Mapping[str, Source]) -> Condition:
    from qdrant_client import models

    found: Condition = condition
    if isinstance(condition, models.Filter):
        found = _narrowed_filter(condition, sources)
    elif isinstance(condition, models.FieldCondition) and condition.key in sources:
        absent = condition.is_empty is True
        found = (
            _either(condition, sources[condition.key]) if absent else _both(condition, sources[condition.key])
        )
    elif isinstance(condition, models.IsEmptyCondition) and condition.is_empty.key in sources:
        found = _either(condition, sources[condition.is_empty.key])
    return found


def _both(condition: Condition, source: Source) -> Condition:
    from qdrant_client import models

    return models.Filter(must=[condition, _given(source)])


def _either(condition: Condition, source: Source) -> Condition:
    """Return a condition for: absent, or given by another tagger, which is as good as absent."""
    from qdrant_client import models

    return models.Filter(should=[condition, models.Filter(must_not=[_given(source)])])


def _given(source: Source) -> Condition:
    from qdrant_client import models

    by_tagger = models.FieldCondition(key=source.field, match=models.MatchValue(value=source.signature))
    if not source.people:
        return by_tagger
    return models.Filter(
        should=[by_tagger, models.IsEmptyCondition(is_empty=models.PayloadField(key=source.field))]
    )
