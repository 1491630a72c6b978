"""The values that colour the points of a map: one of each image's payload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vitrine.services.artifacts.clusters import ROOT
from vitrine.services.category.field_names import find_field
from vitrine.services.category.fields import FIELDS, PLAIN
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Payload
from vitrine.services.errors import BadRequest, UnknownField
from vitrine.services.runtime import Runtime
from vitrine.services.search.counts import CLUSTER_FIELD, count_values
from vitrine.services.search.score_validity import explained, is_score
from vitrine.services.values.field_paths import field_path, path_keys, value_at

Value = str | int | float | bool | None
_NESTED = tuple(field.family for field in FIELDS if field.family and field.from_tables)
_FIELDS = tuple(field.name for field in PLAIN if field.colour)
_LISTS = (*(field.name for field in PLAIN if field.many), "metadata.")
"""Fields that may have several values, by the beginning of their path."""
_COMMON = 0.9
"""A tag of such a share of the images does not tell parts of a map apart."""
_RANKED = 1_000


@dataclass(frozen=True)
class ValueReader:
    """Reads one value of an image from the ``fields`` of its payload; None where it has none."""

    by: str
    fields: tuple[str, ...]
    read: Callable[[Payload], Value]
    labels: Mapping[str, str]
    """Names of some of the values, for people."""


def value_reader(runtime: Runtime, category: str, by: str, *, depth: int = 1) -> ValueReader:
    """Return the reader of ``class``, ``tags``, ``quality``, ``scores.<tag>``, ``metadata.<column>`` ..., or
    of ``cluster.<run>``: the node at ``depth``.

    Of several values the most frequent in the category is taken; those that nearly all images have come last.
    Scores count if the tagger in service gave them. ``UnknownField`` for another field, ``NotFound``
    (category, run), ``BadRequest`` (depth).
    """
    if by.startswith(CLUSTER_FIELD):
        return _nodes(runtime, category, by, depth)
    field = find_field(by, runtime.catalog.get(category).indexes)
    head, *names = path_keys(field)
    if field not in _FIELDS and not (head in _NESTED and len(names) == 1):
        known = ", ".join([*_FIELDS, *(f"{name}.NAME" for name in _NESTED), f"{CLUSTER_FIELD[0]}RUN"])
        raise UnknownField(f"A map cannot be coloured by {by!r}, but by: {known}.", field=by)
    unsettled = runtime.taggers.unsettled(category) if is_score(field) else {}
    ranks = _ranks(runtime, category, field)

    def read(payload: Payload) -> Value:
        value = value_at(explained(payload, unsettled) if unsettled else payload, field)
        if isinstance(value, list):
            value = min(value, key=lambda one: ranks.get(one, len(ranks)), default=None)
        return value if isinstance(value, str | int | float) else None

    return ValueReader(by, (field, *(("scored_by",) if unsettled else ())), read, {})


def _nodes(runtime: Runtime, category: str, by: str, depth: int) -> ValueReader:
    if depth < 1:
        raise BadRequest(f"The nodes below the root are at depth 1 and more, not {depth}.", depth=depth)
    run = runtime.clusters.get(category, by[len(CLUSTER_FIELD[0]) :])

    def read(payload: Payload) -> Value:
        path = payload.get("clusters", {}).get(run.key, {}).get("path")
        return path[min(depth, len(path) - 1)] if path else None

    labels = {
        node.id: f"{node.id.removeprefix(f'{ROOT}-')}  {node.name}".rstrip()
        for node in run.nodes.values()
        if node.depth <= depth
    }
    return ValueReader(by, (field_path("clusters", run.key),), read, labels)


def _ranks(runtime: Runtime, category: str, field: str) -> dict[object, int]:
    """Return the ranks of the values of a list field, the most frequent first; those that nearly all images
    have come last."""
    if runtime.catalog.get(category).indexes.get(field) != "keyword" or not field.startswith(_LISTS):
        return {}
    facets = count_values(runtime.searcher, category, field, Conditions(), limit=_RANKED)
    most = _COMMON * runtime.searcher.count(category)
    ranked = sorted(facets, key=lambda facet: facet.count >= most)
    return {facet.value: rank for rank, facet in enumerate(ranked)}
