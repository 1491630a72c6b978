"""Decide which kind each metadata column has: what a user names, what the category holds, or what the source
has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitrine.services.category.catalog import Category
from vitrine.services.category.field_names import find_member
from vitrine.services.category.fields import PLAIN
from vitrine.services.category.payload import clean_name, settled
from vitrine.services.domain import IndexKind
from vitrine.services.errors import BadRequest
from vitrine.services.values.field_paths import field_path, path_keys

_WORDS = tuple(field.name for field in PLAIN if field.from_tables and field.holds == "keyword")
"""Columns that are no metadata; their words are taken as written if a user says so."""


@dataclass(frozen=True)
class ColumnKinds:
    """Kinds by field path, and those that a user named, by column. Values of the latter are cast to that
    kind, or refused.

    A column has the kind that a user names; else its kind in the category, where whole numbers become numbers
    if the source has fractions; else the kind of all its values in the source.
    """

    kinds: Mapping[str, IndexKind]
    named: Mapping[str, IndexKind]

    @classmethod
    def of(
        cls, category: Category, source: Mapping[str, IndexKind], named: Mapping[str, IndexKind] | None = None
    ) -> ColumnKinds:
        """Decide the kinds from the kinds in the ``source``, by field path, and those ``named``, by column.
        Raises ``BadRequest`` for a column that neither source nor category has."""
        kinds = dict(source)
        for field, kind in category.indexes.items():
            kinds[field] = "float" if (kind, kinds.get(field)) == ("integer", "float") else kind
        chosen: dict[str, IndexKind] = {}
        for name, kind in (named or {}).items():
            field = find_member("metadata", name.removeprefix("metadata."), kinds)
            if field in kinds:
                chosen[path_keys(field)[-1]] = kind
            elif name not in _WORDS or kind != "keyword":
                known = sorted(
                    path.removeprefix("metadata.") for path in kinds if path.startswith("metadata.")
                )
                shown = ", ".join(known) or "none"
                raise BadRequest(
                    f"There is no metadata column {name!r} to give a kind; there are: {shown}.", column=name
                )
        return cls({**kinds, **{_field(column): kind for column, kind in chosen.items()}}, chosen)

    @property
    def fixed(self) -> frozenset[str]:
        """Return the field paths of the columns that a user named."""
        return frozenset(map(_field, self.named))

    def to_recast(self, category: Category) -> dict[str, IndexKind]:
        """Return the named columns that the category has already: what its images hold in them is to be of
        that kind."""
        return {column: kind for column, kind in self.named.items() if _field(column) in category.indexes}

    def settled(self, metadata: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, IndexKind]]:
        """Return values as their columns hold them, and the kind of each; see
        ``vitrine.services.category.payload.settled``."""
        return settled(metadata, self.kinds, fixed=self.fixed)


def kinds_of(named: Mapping[str, IndexKind] | None) -> dict[str, IndexKind]:
    """Return by field path the kinds that a user named, for a source that does not know its own."""
    return {_field(clean_name(column)): kind for column, kind in (named or {}).items()}


def _field(column: str) -> str:
    return field_path("metadata", column)
