"""Conditions without those on one field: a facet shows what else could be chosen in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitrine.services.category.field_names import find_bound, find_field, find_member
from vitrine.services.category.fields import PLAIN
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import IndexKind

_ON_TAGS = ("tags_all", "tags_none")


def without_own(
    conditions: Conditions, field: str, indexes: Mapping[str, IndexKind], *, run: str | None = None
) -> Conditions | None:
    """Return the conditions without those on ``field``, a path of the payload, or on the cluster run ``run``;
    None where there are none. Of ``where`` these are the direct conditions of its ``must`` and ``must_not``;
    what it nests further, and ``ids``, are on no one field and stay."""
    changed: dict[str, object] = {}
    for plain in PLAIN:
        if plain.name == field:
            names = [f"{plain.name}_any" if plain.many else plain.attribute]
            names += _ON_TAGS if plain.name == "tags" else ()
            changed |= {name: _nothing(name) for name in names if getattr(conditions, name, None)}
    for family, members in (("scores", conditions.scores), ("metadata", conditions.metadata)):
        others = {name: it for name, it in members.items() if find_member(family, name, indexes) != field}
        if len(others) < len(members):
            changed[family] = others
    if run is not None and run in conditions.clusters:
        changed["clusters"] = {name: node for name, node in conditions.clusters.items() if name != run}
    where = _without_key(conditions.where or {}, field, indexes)
    if where != (conditions.where or {}):
        changed["where"] = where or None
    pairs: tuple[tuple[str, str], ...] = getattr(conditions, "pairs", ())
    kept = tuple(pair for pair in pairs if find_bound(pair[0], indexes)[0] != field)
    if len(kept) < len(pairs):
        changed["pairs"] = kept
    return conditions.model_copy(update=changed) if changed else None


def _without_key(where: Mapping[str, Any], field: str, indexes: Mapping[str, IndexKind]) -> dict[str, Any]:
    """Return a filter in Qdrant's JSON without the conditions on ``field`` that all images must, or must not,
    meet."""
    left: dict[str, Any] = {}
    for clause, conditions in where.items():
        if clause in ("must", "must_not") and isinstance(conditions, list):
            conditions = [one for one in conditions if not _is_on(one, field, indexes)]
        if conditions != []:
            left[clause] = conditions
    return left


def _is_on(condition: Any, field: str, indexes: Mapping[str, IndexKind]) -> bool:
    key = condition.get("key") if isinstance(condition, dict) else None
    return isinstance(key, str) and find_field(key, indexes) == field


def _nothing(name: str) -> object:
    """Return what a condition is where nothing is asked for."""
    return Conditions.model_fields[name].default
